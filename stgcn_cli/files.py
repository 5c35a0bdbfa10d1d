"""Files that are whole or absent: written as `.part`, synced, renamed, and the folder synced."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from stgcn_cli.errors import DataError, RunError


@contextlib.contextmanager
def written_whole(path: Path, mode: str = "wb") -> Iterator[IO]:
    """Open `path` for writing; it appears under its name only when the block ends without an error.

    Two processes that write the same path never share a part file: the last rename wins, whole.
    Raises RunError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    encoding = None if "b" in mode else "utf-8"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, mode, encoding=encoding) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
        sync_folder(path.parent)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` while the block runs; other processes that ask for it wait.

    Where the system has no such locks (Windows, some network drives) nobody waits: a courtesy that saves work, not a
    promise that anything depends on.
    """
    handle = None
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power loss (a no-op where folders cannot be opened, as on Windows)."""
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def disk_error(error: OSError, path: Path) -> RunError | DataError:
    """The message for an operating-system error met while writing `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(f"The disk is full: {path} could not be written.", "Free some space and run the command again.")
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return RunError(f"{path} cannot be written: {error.strerror}.", "Choose a folder of your own.")
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return RunError(
            f"{path} cannot be written: {error.strerror}.", "A file stands where a folder is needed, or the reverse."
        )
    return RunError(f"{path} could not be written: {error.strerror or error}.")
