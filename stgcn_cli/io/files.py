"""Files and folders that are complete or absent: written as `.part`, synced, renamed, and the folder synced.

The writer of a `.part` holds a lock on it, which the system releases when the process ends. So what a killed process left is
recognised, and whoever writes the same path next removes it. Without such locks (Windows, some network drives) it stays.
"""

import contextlib
import errno
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from stgcn_cli.errors import DataError, RunError, UsageError
from stgcn_cli.io.own_files import is_own

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def part_file(path: Path, mode: str = "wb") -> Iterator[tuple[IO, Path]]:
    """Open a new `.part` file beside `path` and give its name; remove it at the end if it is still there. Raises OSError."""
    with (
        _part(path, lambda part: part.touch(exist_ok=False)) as part,
        open(part, mode, **_encoding(mode)) as stream,
    ):
        yield stream, part


def part_folder(path: Path) -> contextlib.AbstractContextManager[Path]:
    """Make a new `.part` folder beside `path`; remove it at the end if it is still there. Raises OSError."""
    return _part(path, lambda part: part.mkdir(parents=True))


@contextlib.contextmanager
def _part(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    remove_abandoned(path.parent, lambda name: name == path.name)
    held = None
    while held is None:  # a process id alone does not tell machines apart that share a drive
        part = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(3).hex()}.part")
        make(part)
        held = _claim(part)
    try:
        yield part
    finally:
        _remove(part)
        if held >= 0:
            os.close(held)  # the lock outlives the stream: until the file is renamed


def _claim(part: Path) -> int | None:
    """Lock what is to be written and return the handle that holds the lock, -1 where the system has no locks.

    None when another process is just removing it as abandoned.
    """
    if fcntl is None:
        return -1
    handle = -1
    try:
        handle = os.open(part, os.O_RDONLY if part.is_dir() else os.O_RDWR)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_nlink:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        return handle  # a file system without locks
    if handle >= 0:
        os.close(handle)
    return None


def remove_abandoned(folder: Path, is_ours: Callable[[str], bool]) -> None:
    """Remove what ended writers of the files in `folder` that `is_ours` knows left; other .part files are the user's.

    Links, files of other users, and what is locked stay.
    """
    for found in folder.glob("*.part") if fcntl is not None else ():
        match = _PART.fullmatch(found.name)
        if match is None or not is_ours(match[1]) or found.is_symlink():
            continue
        with contextlib.suppress(OSError):
            if not is_own(found.lstat()):
                continue
            handle = os.open(found, (os.O_RDWR if found.is_file() else os.O_RDONLY) | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(found)
            finally:
                os.close(handle)


_PART = re.compile(r"(.+)\.\d{1,10}-[0-9a-f]{6}\.part", re.DOTALL)


def _remove(path: Path) -> None:
    """Remove a file or folder, as far as that is possible."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _encoding(mode: str) -> dict[str, Any]:
    """How `open` writes texts."""
    return {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace"}


_FULL = (errno.ENOSPC, errno.EDQUOT)
_AGAIN = "run the command again (stgcn train: with --resume)"
_OWN = "Choose a folder of your own."
_FILE = "A file stands where a folder is needed, or the reverse."
_GONE = f"Is its drive still there, and was its folder not moved or deleted? When it is back, {_AGAIN}."
_HINTS = {
    **dict.fromkeys((errno.EACCES, errno.EROFS, errno.EPERM), ("cannot be", _OWN)),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST, errno.EISDIR), ("cannot be", _FILE)),
    **dict.fromkeys(
        (errno.ENOENT, errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT),
        ("could not be", _GONE),
    ),
}  # fmt: skip
_NO_ROOM = 64 << 10  # bytes; where a library hides the system's error, a disk with less is taken for the cause


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "wb") -> Iterator[IO]:
    """Open `path` for writing; it appears under its name only when the block ends without an error.

    Two processes that write the same path never share a part file; the last rename wins. What a killed process left is
    removed. A link is not replaced: `outputs.check_output` follows those that the user gave. Raises RunError when the
    disk is full or the folder cannot be written, UsageError for a link. `-` is written to stdout when all is there.
    """
    path = Path(path)
    if is_stream(path):
        with _open_stream(path, mode) as stream:
            yield stream
        return
    if path.is_symlink():
        raise UsageError(f"{path} is a symbolic link, which is not replaced.", "Remove it, or write elsewhere.")
    try:
        make_dirs(path.parent)
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


def is_stream(path: Path) -> bool:
    """Whether an output is stdout (`-`) or /dev/null: nothing is named, replaced or looked at there."""
    return str(path) in ("-", "/dev/stdout", os.devnull)


@contextlib.contextmanager
def _open_stream(path: Path, mode: str) -> Iterator[IO]:
    if str(path) == os.devnull:
        with open(path, mode, **_encoding(mode)) as nowhere:
            yield nowhere
        return
    with tempfile.TemporaryFile(mode.replace("w", "w+"), **_encoding(mode)) as stream:
        yield stream
        stream.flush()
        with open(stream.fileno(), "rb", closefd=False) as written:
            written.seek(0)
            sys.stdout.flush()
            shutil.copyfileobj(written, sys.stdout.buffer)
            sys.stdout.flush()


def make_dirs(folder: Path) -> Path:
    """Make `folder` and its parents so that they survive a power loss. Raises OSError."""
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
    """Return the error that describes an operating-system error while writing `path`."""
    if error.errno in _FULL or (error.errno is None and free_disk(path) < _NO_ROOM):
        return RunError(f"The disk is full: {path} could not be written.", f"Free some space, then {_AGAIN}.")
    if error.errno == errno.ENAMETOOLONG:
        return RunError(f"{str(path)[:80]}... is too long for a file name.", "Give a shorter one.")
    verb, hint = _HINTS.get(error.errno or 0, ("could not be", ""))
    return RunError(f"{path} {verb} written: {error.strerror or error}.", hint)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise what the system says while `path` is written as the error that describes it."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error


def path_error(error: OSError) -> RunError | DataError:
    """Return the error that describes an operating-system error on some path, which the error names."""
    path = Path(os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename))
    if error.errno in _FULL or error.errno == errno.EROFS:
        return disk_error(error, path)
    if error.errno == errno.ENAMETOOLONG:
        return DataError(f"{str(path)[:80]}... is too long for a file name.", "Give a shorter one.")
    return DataError(f"{path} cannot be used: {error.strerror or error}.", "May you read (or write) it and its folder?")


def free_disk(folder: Path) -> int:
    """Free bytes where `folder` is or would be."""
    return shutil.disk_usage(existing_parent(folder)).free


def existing_parent(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    folder = Path(os.path.abspath(folder))
    return next(place for place in (folder, *folder.parents) if place.is_dir())
