"""Bounds on what the file of a stranger may take while it is read."""

import contextlib
import gc
import threading
from collections.abc import Iterator
from pathlib import Path

_BASE_BYTES, _BYTES_A_BYTE = 1 << 30, 8  # address space for reading a file: constant, and per byte of the file
_LIMITED = threading.Lock()  # the limit belongs to the process: threads that read take turns


@contextlib.contextmanager
def address_space(size: int) -> Iterator[None]:
    """Limit the address space of the process while a file of `size` bytes is read.

    Only Linux says how much is mapped already; elsewhere (macOS) there is no limit. Python's search for cycles pauses, which
    a million new containers would start again and again: a tenth of the time.
    """
    with _LIMITED, contextlib.ExitStack() as restore:
        if gc.isenabled():
            gc.disable()
            restore.callback(gc.enable)
        with contextlib.suppress(ImportError, OSError, ValueError):
            import resource

            mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            before = resource.getrlimit(resource.RLIMIT_AS)
            limits = [limit for limit in before if limit != resource.RLIM_INFINITY]
            limit = min(mapped + _BASE_BYTES + _BYTES_A_BYTE * size, *limits, 1 << 62)
            resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
            restore.callback(resource.setrlimit, resource.RLIMIT_AS, before)
        yield
