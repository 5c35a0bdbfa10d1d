"""Files in run folders, caches and stores, which may come from elsewhere: opened without following links.

A folder that was unpacked or shared may hold a link, a pipe or another user's file under a name that the program writes.
"""

import errno
import os
import stat
import sys
from pathlib import Path

from stgcn_cli.errors import UsageError

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def open_to_write(path: Path, flags: int, hint: str = "Remove it, or choose another folder.") -> int:
    """Open an own regular file, created when absent, and return its descriptor; nothing is truncated.

    Raises UsageError for a link, a hard link, a file of another user and anything but a regular file, else OSError.
    """
    try:
        handle = os.open(path, flags | os.O_CREAT | _NO_FOLLOW, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK) and path.is_symlink():
            raise UsageError(f"{path} is a symbolic link; nothing is written through it.", hint) from error
        if error.errno in (errno.ENXIO, errno.EISDIR):  # a pipe that nobody reads, a socket, a folder
            raise UsageError(f"{path} is not a regular file.", hint) from error
        raise
    if wrong := _problem(path, os.fstat(handle)):
        os.close(handle)
        raise UsageError(f"{path} {wrong}; nothing is written to it.", hint)
    return handle


def own_opener(path: str, flags: int) -> int:
    """The `opener` of `open` for appending to an own file."""
    return open_to_write(Path(path), flags)


def _problem(path: Path, state: os.stat_result) -> str:
    if not stat.S_ISREG(state.st_mode):
        return "is not a regular file"
    if state.st_nlink > 1:
        return "is a hard link to another file"
    if not is_own(state) and state.st_uid != path.parent.stat().st_uid:  # some drives show one owner for everything
        return f"belongs to another user (uid {state.st_uid})"
    return ""


def is_own(state: os.stat_result) -> bool:
    """Whether a file belongs to the user of this process; true where files have no owners (Windows)."""
    return not hasattr(os, "geteuid") or state.st_uid == os.geteuid()


def read_regular(path: Path, most: int | None = None, own: bool = False) -> bytes:
    """Return the content of a regular file, its first `most` bytes; `own`: one that may not be a link.

    Raises OSError, for pipes and devices too.
    """
    with open(path, "rb", opener=open_own_regular if own else open_regular) as stream:
        size = os.fstat(stream.fileno()).st_size
        return stream.read(size if most is None else min(most, size))  # Python reserves as many bytes as it is to read


def open_regular(path: str, flags: int) -> int:
    """The `opener` of `open` for reading a file that must not block. Raises OSError for anything but a regular file."""
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return handle


def open_own_regular(path: str, flags: int) -> int:
    """The `opener` of `open` for reading a file that nobody has reason to replace by a link."""
    return open_regular(path, flags | getattr(os, "O_NOFOLLOW", 0))


def check_trusted(folder: Path) -> Path:
    """Return `folder`, a cache; raise UsageError when other users can change what is in it."""
    try:
        state = os.stat(folder)
    except OSError:  # absent: it is made by us
        return folder
    if not hasattr(os, "geteuid"):
        return folder
    hint = "Set $STGCN_CACHE (or --cache-dir) to a folder of your own."
    if not is_own(state) and state.st_uid != 0:
        raise UsageError(f"The cache {folder} belongs to another user (uid {state.st_uid}) and is not trusted.", hint)
    if state.st_mode & stat.S_IWOTH and not state.st_mode & stat.S_ISVTX:
        raise UsageError(f"The cache {folder} can be changed by all users and is not trusted.", hint)
    return folder


def cache_folder() -> Path:
    """Return $STGCN_CACHE, or the cache folder of the platform. Raises UsageError when it is another user's."""
    if given := os.environ.get("STGCN_CACHE"):
        folder = Path(given)
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Caches" / "stgcn"
    elif sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "stgcn" / "Cache"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stgcn"
    return check_trusted(folder)
