"""Files and folders that are being written, under names that end in `.part`. A lock says that their writer lives.

The system gives the lock back when a process ends, however it ends. So what a killed process, or one before a power loss,
has left can be told from what another process is writing right now, and whoever writes the same path next removes it.
Without such locks (Windows, some network drives) it stays.
"""

import contextlib
import glob
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def part_file(path: Path, mode: str = "wb") -> Iterator[tuple[IO, Path]]:
    """A new file beside `path` that nobody else writes, and its name; what is still there under it at the end is removed.

    Raises OSError.
    """
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
        stream = open(part, mode.replace("w", "x"), encoding=None if "b" in mode else "utf-8")  # noqa: SIM115
        if _claim(stream.fileno()):
            return stream, part
        stream.close()


@contextlib.contextmanager
def part_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` that nobody else writes; what is still there under its name at the end is removed.

    Raises OSError.
    """
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
    """Remove what writers of `path` that have ended left behind. What cannot be removed stays."""
    _remove_abandoned(path.parent.glob(f"{glob.escape(path.name)}.*.part"))


def remove_all_abandoned(folder: Path) -> None:
    """The same for all files in `folder`, whatever they were to become."""
    _remove_abandoned(folder.glob("*.part"))


def _remove_abandoned(parts: Iterable[Path]) -> None:
    for found in parts:
        with contextlib.suppress(OSError):
            handle = os.open(found, os.O_RDWR if found.is_file() else os.O_RDONLY)
            try:
                if fcntl is not None:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(found)
            finally:
                os.close(handle)


def _name(path: Path) -> Path:
    """A process id alone does not tell machines apart that share a drive."""
    return path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(3).hex()}.part")


def _claim(handle: int) -> bool:
    """Lock what is being written; False when somebody has just taken it for abandoned."""
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
