"""One process at a time: the others wait until the first is done with a file, or has died."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from stgcn_cli.io.files import disk_error
from stgcn_cli.io.reporter import Reporter

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

POLL_S = 0.2
STALE_S = 300.0  # without the system's locks: a holder that has written nothing for so long has died


@contextlib.contextmanager
def locked(target: Path, reporter: Reporter) -> Iterator[None]:
    """Hold the lock of `target`, waiting for it where need be. Raises RunError when the folder cannot be written."""
    lock, said = target.with_name(target.name + ".lock"), False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        while (held := _by_system(lock)) is None:
            if not said:
                reporter.note(f"Another process is fetching {target.name}; waiting for it.")
            said = True
            time.sleep(POLL_S)
    except OSError as error:
        raise disk_error(error, target) from error
    try:
        yield
    finally:
        held.close()


class _Held:
    """A lock that this process holds. `handle` is None where the file's being there is the lock."""

    def __init__(self, path: Path, handle: int | None) -> None:
        self.path, self.handle = path, handle

    def close(self) -> None:
        """Give the lock back. The file goes first, so that nobody locks one that is about to go."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        if self.handle is not None:
            os.close(self.handle)


def _by_system(lock: Path) -> _Held | None:
    """The lock by flock, which ends with its process; None while another holds it."""
    if fcntl is None:
        return _by_presence(lock)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == lock.stat().st_ino:
            return _Held(lock, handle)
    except (BlockingIOError, FileNotFoundError):  # held; or its holder was done and took the file away
        pass
    except OSError:  # a file system without locks
        os.close(handle)
        return _by_presence(lock.with_suffix(".held"))
    os.close(handle)
    return None


def _by_presence(lock: Path) -> _Held | None:
    """The lock by a file that only one process can create; None while another has it."""
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        return _Held(lock, None)
    except FileExistsError:
        with contextlib.suppress(OSError):  # it may be going right now
            signs = (lock, *lock.parent.glob(f"{lock.stem}.part"))
            if time.time() - max(path.stat().st_mtime for path in signs) > STALE_S:
                lock.unlink()
    return None
