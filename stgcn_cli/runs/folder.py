"""Run folders: names, the lock of a running training, and the record of its environment."""

import contextlib
import itertools
import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stgcn_cli import __version__
from stgcn_cli.errors import UsageError
from stgcn_cli.io import files
from stgcn_cli.io.files import make_dirs, sync_folder, writing
from stgcn_cli.io.locks import Held, locked

NAME = "run.lock"
_OWN_NAME = re.compile(  # of the files that training, evaluation and reports write into a run folder
    r"preset\.toml|environment\.json|log\.jsonl|results\.csv|(?:.+\.)?report\.html|.+\.pth|.+\.result\.(?:pkl|npz)"
    r"|.+\.per_class\.csv|.+\.confusion\.(?:csv|png)|learning_curve\.png"
)
_MADE = ("preset.toml", "environment.json", "log.jsonl", "results.csv", "report.html", "best.pth", "last.pth")


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of the run in `folder` while the block runs.

    Raises UsageError naming the process that holds it, and for links under names of the run, RunError when the folder
    cannot be written.
    """
    _refuse_links(folder)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / NAME, wait=False))
        except Held as error:
            raise UsageError(
                f"The run in {folder} is being trained by {error}.",
                "Wait for it or stop it, then add --resume; or choose another --work-dir.",
            ) from None
        yield


def _refuse_links(folder: Path) -> None:
    """Raise UsageError for a link in a folder from elsewhere through which the run would write."""
    for path in folder.glob("*"):
        if path.is_symlink() and _OWN_NAME.fullmatch(path.name):
            raise UsageError(
                f"{path} is a symbolic link; a run writes through none.",
                "Put the file itself there, or choose another folder.",
            )


def remove_abandoned(folder: Path) -> None:
    """Remove what killed runs left half-written in `folder`, and nothing else."""
    files.remove_abandoned(folder, lambda name: bool(_OWN_NAME.fullmatch(name)))


def is_run(folder: Path) -> bool:
    """Whether `folder` contains a run, finished or not."""
    return any((folder / name).exists() for name in ("preset.toml", "log.jsonl", "last.pth"))


def ensure_empty(folder: Path) -> None:
    """Raise UsageError when `folder` contains a run, or a file that a run would replace."""
    if not is_run(folder) and (found := next((name for name in _MADE if os.path.lexists(folder / name)), None)):
        raise UsageError(f"{folder / found} would be replaced by the run.", "Choose another --work-dir.")
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
        with writing(work_dir):
            return make_dirs(work_dir)
    with writing(Path("runs")):
        make_dirs(Path("runs"))
        while True:
            folder = free_folder(preset)
            with contextlib.suppress(FileExistsError):  # another run was faster
                folder.mkdir()
                sync_folder(folder.parent)
                return folder


def free_folder(name: str, parent: Path = Path("runs")) -> Path:
    """Return the first of NAME, NAME-2, … in `parent` that does not exist."""
    numbered = (parent / (name if count == 1 else f"{name}-{count}") for count in itertools.count(1))
    return next(folder for folder in numbered if not os.path.lexists(folder))


def list_runs(root: Path = Path("runs")) -> list[Path]:
    """Return the runs below `root`, the one last written to first."""
    try:
        runs = [folder for folder in root.iterdir() if folder.is_dir() and is_run(folder)]
    except OSError:
        return []
    return sorted(runs, key=last_written, reverse=True)


def last_written(folder: Path) -> float:
    """Return when a run was last written to, in seconds since 1970; 0 when none of its files exists."""
    times = [
        (folder / name).stat().st_mtime for name in ("log.jsonl", "last.pth", "preset.toml") if (folder / name).exists()
    ]
    return max(times, default=0.0)


def find_run(word: str, work_dir: Path | None, preset: str | None) -> Path:
    """Return the run to resume: `word` (a folder, or a name in ./runs), else `work_dir`, else the newest of `preset` or of all.

    Raises UsageError with the runs there are when it is not a run.
    """
    if word and work_dir and Path(word) != work_dir:
        raise UsageError(f"--resume {word} and --work-dir {work_dir} name two runs.", "Give one of them.")
    runs = list_runs()
    named = Path(word) if word else work_dir
    if named is None:
        found = newest_folder(preset) if preset else next(iter(runs), None)
        wanted = f"run of {preset} in ./runs" if preset else "run in ./runs"
    else:
        found = next((path for path in (named, Path("runs") / named) if is_run(path)), None)
        wanted = f"run in {named}"
    if found is None:
        known = ", ".join(map(str, runs[:8])) + (", …" if len(runs) > 8 else "")
        raise UsageError(
            f"--resume: no {wanted}.",
            f"Runs in ./runs: {known or 'none'}. To start a run when there is none yet: --resume-or-start",
        )
    return found


def newest_folder(preset: str) -> Path | None:
    """Return the preset's run in ./runs with the highest suffix, or None."""
    numbered = re.compile(rf"{re.escape(preset)}(?:-([0-9]+))?")
    runs = {int(found[1] or 1): folder for folder in list_runs() if (found := numbered.fullmatch(folder.name))}
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
