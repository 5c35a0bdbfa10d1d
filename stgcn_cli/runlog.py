"""What a run leaves in its folder beside checkpoints: log.jsonl, results.csv, preset.toml, environment.json."""

import contextlib
import glob
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from stgcn_cli import __version__
from stgcn_cli.errors import UsageError
from stgcn_cli.files import disk_error, made, sync_folder, written_whole

_EPOCH_COLUMNS = ("epoch", "lr", "loss", "top1_acc", "top5_acc")
_NEEDED = {"epoch": (*_EPOCH_COLUMNS, "time"), "train": ("iter",), "skipped": ("iter",)}
_LINE, _MOST_LINES = 1 << 16, 2_000_000  # characters; a year of training


class NullLog:
    """The log of a rank that does not speak."""

    def write(self, record: dict[str, Any]) -> None:
        """Nothing."""

    def results(self) -> None:
        """Nothing."""


class RunLog(NullLog):
    """Appends to log.jsonl and keeps results.csv in step with it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "log.jsonl"

    def write(self, record: dict[str, Any]) -> None:
        """Append one record and bring it to the disk, so that no checkpoint outlives the log that leads to it.

        Raises RunError when it cannot be written.
        """
        try:
            is_new = not self.path.exists()
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            if is_new:
                sync_folder(self.folder)
        except OSError as error:
            raise disk_error(error, self.path) from error

    def results(self) -> None:
        """Write results.csv, one line an epoch, out of log.jsonl."""
        import pandas

        rows: dict[int, dict[str, Any]] = {}
        for record in read_log(self.path):
            row = rows.setdefault(record["epoch"], {})
            if record["mode"] == "epoch":
                row |= {key: record[key] for key in (*_EPOCH_COLUMNS, "time")}
            elif record["mode"] == "val":
                row |= {
                    f"val_{key}": value for key, value in record.items() if key not in ("mode", "epoch", "iter", "lr")
                }
        frame = pandas.DataFrame([row for row in rows.values() if "loss" in row])
        with written_whole(self.folder / "results.csv", "w") as stream:
            frame.to_csv(stream, index=False, lineterminator="\n")

    def cut_back(self, epochs: int, step: int = 0) -> None:
        """Drop what was logged after `epochs` epochs and `step` steps of the next: a resumed run writes it again."""
        kept = [record for record in read_log(self.path) if _is_before(record, epochs, step)]
        if self.path.exists():
            with written_whole(self.path, "w") as stream:
                stream.writelines(json.dumps(record) + "\n" for record in kept)


def _is_before(record: dict[str, Any], epochs: int, step: int) -> bool:
    inside = record["epoch"] == epochs + 1 and record["mode"] in ("train", "skipped") and record["iter"] <= step
    return inside or record["epoch"] <= epochs or record["mode"] == "resumed"


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log.jsonl; lines that are none, such as the last one before a crash, are left out."""
    if not path.is_file():
        return []
    records = []
    with open(path, encoding="utf-8", errors="replace") as stream:
        for _ in range(_MOST_LINES):
            if not (line := stream.readline(_LINE)):
                break
            with contextlib.suppress(ValueError, RecursionError):
                record = json.loads(line)
                if _is_record(record):
                    records.append(record)
    return records


def _is_record(record: Any) -> bool:
    """Whether it has the epoch and the mode, and the numbers that a record of this mode has."""
    if not isinstance(record, dict) or not isinstance(record.get("mode"), str):
        return False
    needed = ("epoch", *_NEEDED.get(record["mode"], ()))
    return type(record.get("epoch")) is int and all(type(record.get(key)) in (int, float) for key in needed)


def is_run(folder: Path) -> bool:
    """Whether a run has begun in `folder`."""
    return any((folder / name).exists() for name in ("preset.toml", "log.jsonl", "last.pth"))


def refuse_taken(folder: Path) -> None:
    """Raises UsageError when `folder` holds a run already."""
    if is_run(folder):
        raise UsageError(
            f"{folder} holds a run already; it is not overwritten.",
            "Add --resume to go on with it, or choose another --work-dir.",
        )


def new_folder(work_dir: Path | None, preset: str) -> Path:
    """Make the folder of a new run: `work_dir`, else ./runs/<preset> with the first free counting suffix.

    Raises UsageError when `work_dir` holds a run already.
    """
    if work_dir is not None:
        refuse_taken(work_dir)
        return _made(work_dir)
    for count in range(1, 100_000):
        folder = Path("runs") / (preset if count == 1 else f"{preset}-{count}")
        try:
            made(folder.parent)
            folder.mkdir()
            sync_folder(folder.parent)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise disk_error(error, folder) from error
    raise UsageError("There are 100,000 runs of this preset in ./runs.", "Choose a --work-dir.")


def _made(folder: Path) -> Path:
    try:
        return made(folder)
    except OSError as error:
        raise disk_error(error, folder) from error


def newest_folder(preset: str) -> Path | None:
    """The preset's run in ./runs with the highest suffix, or None."""
    runs = {1: Path("runs") / preset} if is_run(Path("runs") / preset) else {}
    for folder in Path("runs").glob(f"{glob.escape(preset)}-*"):
        suffix = folder.name[len(preset) + 1 :]
        if suffix.isdigit() and is_run(folder):
            runs[int(suffix)] = folder
    return runs[max(runs)] if runs else None


def environment(settings: dict[str, Any]) -> dict[str, Any]:
    """Versions, machine and settings of a run, for environment.json."""
    import numpy
    import torch

    cuda = torch.cuda.is_available()
    return {
        "stgcn": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else [],
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "command": ["stgcn", *sys.argv[1:]],  # whatever way it was started, this is how it is typed
        **settings,
    }
