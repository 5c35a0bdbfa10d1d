"""Locks between processes, held by a lock file and given back by the system when their process ends (filelock)."""

import contextlib
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from stgcn_cli.io.files import make_dirs, writing
from stgcn_cli.io.own_files import open_to_write, own_opener
from stgcn_cli.io.text import printable

PATIENCE_S = 2.0  # seconds of waiting before the user is told


class Held(Exception):
    """Another process holds a lock; the text names it."""


@contextlib.contextmanager
def locked(path: Path, wait: bool = True, on_wait: Callable[[str], object] = lambda holder: None) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; it names the holder and is removed afterwards.

    If another process holds it, wait, and after two seconds call `on_wait` with its name; without `wait` raise Held.
    Raises RunError when the lock file cannot be written, UsageError when it is a link or another user's.
    """
    lock = FileLock(path)
    with writing(path):
        make_dirs(path.parent)
        os.close(open_to_write(path, os.O_RDWR))
        try:
            lock.acquire(timeout=PATIENCE_S if wait else 0)
        except Timeout:
            if not wait:
                raise Held(_holder(path)) from None
            on_wait(_holder(path))
            lock.acquire()
    try:
        with (
            contextlib.suppress(OSError),
            open(path, "a", opener=own_opener) as stream,
        ):  # without a name on a full disk
            stream.truncate(0)
            stream.write(f"process {os.getpid()} on {platform.node()}\n")
        yield
    finally:
        with contextlib.suppress(OSError):  # before the release: whoever waits notices and makes a new one
            path.unlink()
        lock.release()


def is_held(path: Path) -> bool:
    """Whether another process of this machine holds the lock file `path`; nothing is created or waited for."""
    if path.is_symlink() or not path.is_file():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        return printable(stream.readline(200).strip()) or "another process"
    return "another process"
