"""Locks between processes, held by a lock file and given back by the system when their process ends (filelock)."""

import contextlib
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from stgcn_cli.io.files import disk_error, make_dirs
from stgcn_cli.io.text import printable


class Held(Exception):
    """Another process holds a lock; the text names it."""


@contextlib.contextmanager
def locked(path: Path, wait: bool = True, on_wait: Callable[[str], object] = lambda holder: None) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; it names the holder and is removed afterwards.

    If another process holds it, call `on_wait` with its name and wait; without `wait` raise Held. Raises RunError when
    the lock file cannot be written.
    """
    lock = FileLock(path)
    try:
        make_dirs(path.parent)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise Held(_holder(path)) from None
            on_wait(_holder(path))
            lock.acquire()
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        with contextlib.suppress(OSError):  # on a full disk it is held without a name
            path.write_text(f"process {os.getpid()} on {platform.node()}\n", "utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):  # before the release: whoever waits notices and makes a new one
            path.unlink()
        lock.release()


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        return printable(stream.readline(200).strip()) or "another process"
    return "another process"
