"""Run folders: names, the lock of a running training, and the record of its environment."""

import contextlib
import glob
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stgcn_cli import __version__
from stgcn_cli.errors import UsageError
from stgcn_cli.io.files import disk_error, make_dirs, sync_folder
from stgcn_cli.io.locks import Held, locked

NAME = "run.lock"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of the run in `folder` while the block runs.

    Raises UsageError naming the process that holds it, RunError when the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / NAME, wait=False))
        except Held as error:
            raise UsageError(
                f"The run in {folder} is being trained by {error}.",
                "Wait for it or stop it, then add --resume; or choose another --work-dir.",
            ) from None
        yield


def is_run(folder: Path) -> bool:
    """Whether `folder` contains a run, finished or not."""
    return any((folder / name).exists() for name in ("preset.toml", "log.jsonl", "last.pth"))


def ensure_empty(folder: Path) -> None:
    """Raise UsageError when `folder` contains a run."""
    if is_run(folder):
        raise UsageError(
            f"{folder} already contains a run, which is not overwritten.",
            "Add --resume to continue it, or choose another --work-dir.",
        )


def new_folder(work_dir: Path | None, preset: str) -> Path:
    """Create the folder of a new run: `work_dir`, else ./runs/<preset> with the first free number as suffix.

    Raises UsageError when `work_dir` contains a run, RunError when it cannot be created.
    """
    if work_dir is not None:
        ensure_empty(work_dir)
        try:
            return make_dirs(work_dir)
        except OSError as error:
            raise disk_error(error, work_dir) from error
    for count in range(1, 100_000):
        folder = Path("runs") / (preset if count == 1 else f"{preset}-{count}")
        try:
            make_dirs(folder.parent)
            folder.mkdir()
            sync_folder(folder.parent)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise disk_error(error, folder) from error
    raise UsageError("There are 100,000 runs of this preset in ./runs.", "Choose a --work-dir.")


def newest_folder(preset: str) -> Path | None:
    """Return the preset's run in ./runs with the highest suffix, or None."""
    runs = {1: Path("runs") / preset} if is_run(Path("runs") / preset) else {}
    for folder in Path("runs").glob(f"{glob.escape(preset)}-*"):
        suffix = folder.name[len(preset) + 1 :]
        if suffix.isdigit() and is_run(folder):
            runs[int(suffix)] = folder
    return runs[max(runs)] if runs else None


def environment(settings: dict[str, Any]) -> dict[str, Any]:
    """Return versions, machine and settings of a run, for environment.json."""
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
        "command": ["stgcn", *sys.argv[1:]],  # however it was started (python -m, torchrun), this is what to type
        **settings,
    }
