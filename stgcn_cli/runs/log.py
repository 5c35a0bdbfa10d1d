"""What a run leaves in its folder beside checkpoints: log.jsonl, results.csv, preset.toml, environment.json."""

import contextlib
import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stgcn_cli.io.files import atomic_write, disk_error, sync_folder

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
        with atomic_write(self.folder / "results.csv", "w") as stream:
            frame.to_csv(stream, index=False, lineterminator="\n")

    def cut_back(self, epochs: int, step: int = 0) -> None:
        """Drop what was logged after `epochs` epochs and `step` steps of the next: a resumed run writes it again."""
        kept = [record for record in read_log(self.path) if _is_before(record, epochs, step)]
        if self.path.exists():
            with atomic_write(self.path, "w") as stream:
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


# The training logs of MMAction2 0.x, in both forms: JSON lines, and lines for people.

_MOST_BYTES, _MOST_EPOCHS = 64 << 20, 100_000
_TRAIN = re.compile(r"Epoch \[(\d+)\]\[\d+/\d+\]\s+(.*)")
_VAL = re.compile(r"Epoch ?\(val\) \[(\d+)\](?:\[\d+\])?\s+(.*)")
_PAIR = re.compile(r"([A-Za-z]\w*): (-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")
_MEANS = ("lr", "loss", "top1_acc", "top5_acc")


def read_published(path: Path) -> list[dict[str, Any]]:
    """The records of a published log in our own form: one "epoch" record an epoch (means), and its "val" records.

    Empty when there is nothing of the kind in the file, or it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            text = stream.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    epochs: dict[int, list[dict[str, float]]] = defaultdict(list)
    checks: dict[int, dict[str, Any]] = {}
    for mode, epoch, values in _records(text):
        if mode == "train":
            epochs[epoch].append(values)
        else:
            checks[epoch] = {"mode": "val", "epoch": epoch, **values}
    means = [{"mode": "epoch", "epoch": epoch, **_means(rows)} for epoch, rows in sorted(epochs.items())]
    return means + [checks[epoch] for epoch in sorted(checks)]


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    known = {key: [row[key] for row in rows if key in row] for key in _MEANS}
    return {key: sum(values) / len(values) for key, values in known.items() if values}


def _records(text: str) -> Iterator[tuple[str, int, dict[str, float]]]:
    for line in text.splitlines():
        mode, epoch, values = _of_json(line) if line.startswith("{") else _of_words(line)
        if mode in ("train", "val") and 0 < epoch <= _MOST_EPOCHS:
            yield mode, epoch, {key: value for key, value in values.items() if math.isfinite(value)}


def _of_json(line: str) -> tuple[str, int, dict[str, float]]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return "", 0, {}
    mode, epoch = record.get("mode"), record.get("epoch")
    if not isinstance(mode, str) or type(epoch) is not int:
        return "", 0, {}
    return mode, epoch, {k: float(v) for k, v in record.items() if type(v) in (int, float) and abs(v) < 1e30}


def _of_words(line: str) -> tuple[str, int, dict[str, float]]:
    for mode, pattern in (("train", _TRAIN), ("val", _VAL)):
        if found := pattern.search(line[:2000]):
            return mode, int(found[1][:9]), {key: float(value) for key, value in _PAIR.findall(found[2])}
    return "", 0, {}
