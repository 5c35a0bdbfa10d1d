"""Memory kept by the process between steps.

glibc gives a freed tensor of some megabytes back to the system and faults it in again, page by page, at the next step:
a third of the plain training time in a virtual machine. The price of keeping it is a higher resting footprint: at batch 16
(T=300, M=2, V=25, float32) 4.7 to 5.2 GB instead of 3.3.
"""

import contextlib
import ctypes
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stgcn_cli.errors import RunError
from stgcn_cli.io.text import size

if TYPE_CHECKING:
    import torch

# The names of <malloc.h>; the values are part of glibc's binary interface.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
PAD_BYTES = 64 << 20


def tune_allocator() -> bool:
    """Make glibc's allocator keep freed memory; returns False and does nothing without glibc."""
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  a symbol only glibc has
    except (OSError, TypeError, AttributeError):
        return False
    largest = 2**31 - 1  # bytes; mallopt takes an int
    settings = {M_MMAP_MAX: 0, M_TOP_PAD: PAD_BYTES, M_TRIM_THRESHOLD: largest}
    return all([libc.mallopt(name, value) == 1 for name, value in settings.items()])


def peak_bytes(device: "torch.device") -> float:
    """Peak memory since `reset_peak`: of the allocator on CUDA, elsewhere of this process (since its start outside Linux)."""
    if device.type == "cuda":
        import torch  # late: workers of `prepare` use this module without it

        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return _status("VmHWM") or float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def used_bytes(device: "torch.device") -> float:
    """Memory in use: of the allocator on CUDA, elsewhere of this process."""
    if device.type == "cuda":
        import torch

        return torch.cuda.memory_allocated(device)
    return _status("VmRSS") or peak_bytes(device)


def reset_peak(device: "torch.device") -> None:
    """Reset the peak, where the system allows it."""
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):  # Linux only
        Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> float | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith(name + ":"):
                return float(line.split()[1]) * 1024
    return None


def machine_memory() -> tuple[int | None, int | None]:
    """Total and free bytes of the machine, or of the container if it has a limit; None if unknown."""
    sizes: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text("utf-8").splitlines():
            name, _, rest = line.partition(":")
            sizes[name] = int(rest.split()[0]) * 1024
    total, free = sizes.get("MemTotal"), sizes.get("MemAvailable")
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text("utf-8"))  # "max": no limit
        used = int((group / "memory.current").read_text("utf-8"))
        if total and free is not None and limit < total:
            return limit, min(free, max(0, limit - used))
    return total, free


_ASKED = re.compile(r"[Tt]ried to allocate ([\d.,]+) ?(GiB|MiB|KiB|bytes)")
_FREE = re.compile(r"total capacity of ([\d.]+ \w+) of which ([\d.]+ \w+) is free")
_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@contextlib.contextmanager
def memory_errors(work: str, hint: str) -> Iterator[None]:
    """Turn out-of-memory errors of `work` ("A training step of 32 clips") into a RunError with sizes and `hint`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if found := out_of_memory(error, work, hint):
            raise found from error
        raise


def out_of_memory(error: BaseException, work: str, hint: str) -> RunError | None:
    """RunError for an out-of-memory `error` of a GPU or of the machine; None for any other error."""
    text = str(error)
    is_gpu = type(error).__name__ == "OutOfMemoryError" or "CUDA out of memory" in text
    if not is_gpu and not isinstance(error, MemoryError) and "can't allocate memory" not in text:
        return None
    where = "the GPU" if is_gpu else "this machine"
    asked, room = _ASKED.search(text), _FREE.search(text)
    wanted = f" It asked for {_size_of(asked)}" if asked else ""
    if room:
        free = f"; {room[2]} of {room[1]} are free"
    else:
        left = None if is_gpu else machine_memory()[1]
        free = f"; {size(left)} are free" if left is not None and asked else ""
    return RunError(f"{work} needs more memory than {where} has.{wanted}{free}{'.' if wanted else ''}", hint)


def _size_of(found: re.Match[str]) -> str:
    return size(int(float(found[1].replace(",", "")) * _UNITS[found[2]]))
