"""One process at a time in a run folder: `run.lock`, held while it trains, says who."""

import contextlib
import glob
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stgcn_cli import __version__
from stgcn_cli.errors import UsageError
from stgcn_cli.io.files import disk_error, make_dirs, sync_folder
from stgcn_cli.io.text import printable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = "run.lock"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the run in `folder` while the block runs. The lock ends with its process, however that ends.

    Raises UsageError naming the process that trains there, RunError when the folder cannot be written. Where the system
    has no such locks (Windows, some network drives) nobody is refused.
    """
    if fcntl is None:
        yield
        return
    handle = _taken(folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the file goes first, so that nobody locks one that is about to go
            (folder / NAME).unlink()
        os.close(handle)


def _taken(folder: Path) -> int:
    path = folder / NAME
    try:
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if _is_ours(handle, path, folder):
                    _sign(handle)
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
    except OSError as error:
        raise disk_error(error, path) from error


def _holder(handle: int) -> str:
    """Who holds it, in words; they may come a moment after the lock."""
    for _ in range(200):  # seconds, on a machine with too much to do
        if words := os.pread(handle, 200, 0).decode("utf-8", "replace").strip():
            return printable(words)
        time.sleep(0.05)
    return "another process"


def _sign(handle: int) -> None:
    """Say who holds it. On a full disk it is held without a word."""
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {platform.node()}\n".encode())


def _is_ours(handle: int, path: Path, folder: Path) -> bool:
    """Lock it; False when its holder has just taken the file away. Raises UsageError when it is another's."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"The run in {folder} is being trained by {_holder(handle)}.",
            "Let it finish or stop it, then go on with --resume; or choose another --work-dir.",
        ) from None
    except OSError:  # a file system without locks
        return True
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def is_run(folder: Path) -> bool:
    """Whether a run has begun in `folder`."""
    return any((folder / name).exists() for name in ("preset.toml", "log.jsonl", "last.pth"))


def ensure_empty(folder: Path) -> None:
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
        ensure_empty(work_dir)
        return _make_dirs(work_dir)
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


def _make_dirs(folder: Path) -> Path:
    try:
        return make_dirs(folder)
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
