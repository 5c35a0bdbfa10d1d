"""Files and folders that are complete or absent: written as `.part`, synced, renamed, and the folder synced.

The writer of a `.part` holds a lock on it, which the system releases when the process ends. So what a killed process left is
recognised, and whoever writes the same path next removes it. Without such locks (Windows, some network drives) it stays.
"""

import contextlib
import errno
import glob
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from stgcn_cli.errors import DataError, RunError, UsageError
from stgcn_cli.io.own_files import check_trusted, is_own

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def part_file(path: Path, mode: str = "wb") -> Iterator[tuple[IO, Path]]:
    """Open a new `.part` file beside `path` and give its name; remove it at the end if it is still there. Raises OSError."""
    remove_abandoned(path)
    stream, part = _open(path, mode)
    held = os.dup(stream.fileno()) if fcntl is not None else None  # the lock outlives the stream: until it is renamed
    try:
        with stream:
            yield stream, part
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if held is not None:
            os.close(held)


def _open(path: Path, mode: str) -> tuple[IO, Path]:
    while True:
        part = _name(path)
        kept: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace"}
        stream = open(part, mode.replace("w", "x"), **kept)  # noqa: SIM115
        if _claim(stream.fileno()):
            return stream, part
        stream.close()


@contextlib.contextmanager
def part_folder(path: Path) -> Iterator[Path]:
    """Make a new `.part` folder beside `path`; remove it at the end if it is still there. Raises OSError."""
    remove_abandoned(path)
    part, handle = _make_folder(path)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _make_folder(path: Path) -> tuple[Path, int | None]:
    while True:
        part, handle = _name(path), None
        part.mkdir(parents=True)
        try:
            handle = os.open(part, os.O_RDONLY)
            if _claim(handle):
                return part, handle
            os.close(handle)
        except PermissionError:  # Windows opens no folders
            return part, None
        except FileNotFoundError:  # taken for abandoned
            continue


def remove_abandoned(path: Path) -> None:
    """Remove what ended writers of `path` left behind, as far as possible."""
    _remove_abandoned(path.parent.glob(f"{glob.escape(path.name)}.*.part"), lambda name: name == path.name)


def remove_all_abandoned(folder: Path, is_ours: Callable[[str], bool]) -> None:
    """Remove what ended writers of the files in `folder` that `is_ours` knows left; other .part files are the user's."""
    _remove_abandoned(folder.glob("*.part"), is_ours)


def _remove_abandoned(parts: Iterable[Path], is_ours: Callable[[str], bool]) -> None:
    """Remove those named by `_name`, that are neither links nor another user's, nor locked."""
    for found in parts:
        match = _PART.fullmatch(found.name)
        if match is None or not is_ours(match[1]) or found.is_symlink():
            continue
        with contextlib.suppress(OSError):
            if not is_own(found.lstat()):
                continue
            handle = os.open(found, (os.O_RDWR if found.is_file() else os.O_RDONLY) | getattr(os, "O_NONBLOCK", 0))
            try:
                if fcntl is not None:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(found)
            finally:
                os.close(handle)


_PART = re.compile(r"(.+)\.\d{1,10}-[0-9a-f]{6}\.part", re.DOTALL)


def _name(path: Path) -> Path:
    """A process id alone does not tell machines apart that share a drive."""
    return path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(3).hex()}.part")


def _claim(handle: int) -> bool:
    """Lock what is being written; False if another process has just removed it as abandoned."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return os.fstat(handle).st_nlink > 0


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_OURS = (errno.EACCES, errno.EROFS, errno.EPERM)
_NO_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR)
_GONE = (
    errno.ENOENT, errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT,
)  # fmt: skip
_NO_ROOM = 64 << 10  # bytes; where a library hides the system's error, a disk with less is taken for the cause
_AGAIN = "run the command again (stgcn train: with --resume)"


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
    kept: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace"}
    if str(path) == os.devnull:
        with open(path, mode, **kept) as nowhere:
            yield nowhere
        return
    with tempfile.TemporaryFile(mode.replace("w", "w+"), **kept) as stream:
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
    if error.errno in _FULL or (error.errno is None and _is_full(path)):
        return RunError(f"The disk is full: {path} could not be written.", f"Free some space, then {_AGAIN}.")
    if error.errno == errno.ENAMETOOLONG:
        return RunError(f"{str(path)[:80]}... is too long for a file name.", "Give a shorter one.")
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


def path_error(error: OSError) -> RunError | DataError:
    """Return the error that describes an operating-system error on some path, which the error names."""
    path = Path(os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename))
    if error.errno in _FULL or error.errno == errno.EROFS:
        return disk_error(error, path)
    if error.errno == errno.ENAMETOOLONG:
        return DataError(f"{str(path)[:80]}... is too long for a file name.", "Give a shorter one.")
    return DataError(f"{path} cannot be used: {error.strerror or error}.", "May you read (or write) it and its folder?")


def _is_full(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path.parent).free < _NO_ROOM
    return False


def cache_folder() -> Path:
    """Return $STGCN_CACHE, or the cache folder of the platform. Raises UsageError when it is another user's."""
    return check_trusted(_cache_folder())


def _cache_folder() -> Path:
    if os.environ.get("STGCN_CACHE"):
        return Path(os.environ["STGCN_CACHE"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "stgcn"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "stgcn" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stgcn"


def free_disk(folder: Path) -> int:
    """Free bytes where `folder` is or would be."""
    return shutil.disk_usage(existing_parent(folder)).free


def existing_parent(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    folder = Path(os.path.abspath(folder))
    return next(place for place in (folder, *folder.parents) if place.is_dir())
