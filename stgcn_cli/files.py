"""Files that are whole or absent: written as `.part`, synced, renamed, and the folder synced."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from stgcn_cli.errors import DataError, RunError
from stgcn_cli.unfinished import part_file

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_OURS = (errno.EACCES, errno.EROFS, errno.EPERM)
_NO_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR)
_GONE = (
    errno.ENOENT,
    errno.EIO,
    errno.ESTALE,
    errno.ENODEV,
    errno.ENXIO,
    errno.ENOTCONN,
    errno.EHOSTDOWN,
    errno.ETIMEDOUT,
)
_NO_ROOM = 64 << 10  # bytes; where a library hides the system's error, a disk with less is taken for the cause
_AGAIN = "run the command again (stgcn train: with --resume)"


@contextlib.contextmanager
def written_whole(path: Path, mode: str = "wb") -> Iterator[IO]:
    """Open `path` for writing; it appears under its name only when the block ends without an error.

    Two processes that write the same path never share a part file: the last rename wins, whole. What a killed process
    left of an earlier try is removed. Raises RunError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    try:
        made(path.parent)
        with part_file(path, mode) as (stream, part):
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
            os.replace(part, path)
            sync_folder(path.parent)
    except OSError as error:
        raise disk_error(error, path) from error
    except RuntimeError as error:
        if not isinstance(error.__context__, OSError):
            raise
        raise disk_error(error.__context__, path) from error  # torch.save hides what the system said behind its own


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


def made(folder: Path) -> Path:
    """Make `folder`, and what is absent above it, so that it survives a power loss. Raises OSError."""
    absent = [each for each in (folder, *folder.parents) if not each.is_dir()]
    if absent:
        folder.mkdir(parents=True, exist_ok=True)
    for each in reversed(absent):
        sync_folder(each.parent)
    return folder


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power loss (a no-op where folders cannot be opened or synced, as on Windows)."""
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # what drives answer that cannot
                raise
        finally:
            os.close(handle)


def disk_error(error: OSError, path: Path) -> RunError | DataError:
    """The message for an operating-system error met while writing `path`."""
    if error.errno in _FULL or (error.errno is None and _is_full(path)):
        return RunError(f"The disk is full: {path} could not be written.", f"Free some space, then {_AGAIN}.")
    if error.errno in _NOT_OURS:
        return RunError(f"{path} cannot be written: {error.strerror}.", "Choose a folder of your own.")
    if error.errno in _NO_FOLDER:
        return RunError(
            f"{path} cannot be written: {error.strerror}.", "A file stands where a folder is needed, or the reverse."
        )
    if error.errno in _GONE:
        return RunError(
            f"{path} could not be written: {error.strerror}.",
            f"Is its drive still there, and was its folder not moved or deleted? When it is back, {_AGAIN}.",
        )
    return RunError(f"{path} could not be written: {error.strerror or error}.")


def _is_full(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path.parent).free < _NO_ROOM
    return False
