"""One process at a time in a run folder: `run.lock`, held while it trains, says who."""

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from stgcn_cli.errors import UsageError
from stgcn_cli.files import disk_error
from stgcn_cli.wording import printable

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
