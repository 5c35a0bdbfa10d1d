"""Memory kept by the process between steps.

glibc gives a freed tensor of some megabytes back to the system and faults it in again, page by page, at the next step:
a third of the plain training time in a virtual machine. The price of keeping it is a higher resting footprint: at batch 16
(T=300, M=2, V=25, float32) 4.7 to 5.2 GB instead of 3.3.
"""

import ctypes

# The names of <malloc.h>; the values are part of glibc's binary interface.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
PAD_BYTES = 64 << 20


def keep_memory() -> bool:
    """Tell glibc's allocator to keep freed memory for this process; False (and nothing done) where there is no glibc."""
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  a symbol only glibc has
    except (OSError, TypeError, AttributeError):
        return False
    largest = 2**31 - 1  # bytes; mallopt takes an int
    settings = {M_MMAP_MAX: 0, M_TOP_PAD: PAD_BYTES, M_TRIM_THRESHOLD: largest}
    return all([libc.mallopt(name, value) == 1 for name, value in settings.items()])
