"""End a process that receives a signal while it waits for another process in C++, where Python runs no handler.

A rank may wait for gradients of a rank that never sends them (NCCL or gloo; only gloo is tested, no GPU has confirmed NCCL). Python's
C-level handler writes a byte immediately, which wakes a thread; it ends the process when the main thread does not within the patience.
"""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Iterator

from stgcn_cli.errors import INTERRUPTED, TERMINATED

GRACE, LONGEST = 5.0, 25.0  # seconds from the signal to the end; torch's launcher and srun kill after 30
_NOTE = b"\nStopped while waiting for another process. Everything completed is kept.\n"


@contextlib.contextmanager
def blocked(*signals: int) -> Iterator[None]:
    """Block signals for this thread and for processes started by it, which inherit its mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def watchdog(note: bool = True) -> Iterator["Watchdog"]:
    """Watch one of several processes during its work; to be entered in the main thread."""
    watched, (reading, writing) = Watchdog(), os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=watched.watch, args=(reading, note), daemon=True).start()
    yield watched
    signal.set_wakeup_fd(before)
    os.close(writing)  # the thread reads an end


class Watchdog:
    """`patience`: seconds from the first signal to the end, infinite while a checkpoint is written."""

    patience = GRACE

    def watch(self, reading: int, note: bool) -> None:
        """Wait for a signal, then for the end of patience."""
        signum = os.read(reading, 1)
        began = time.monotonic()
        while signum and time.monotonic() < began + self.patience:
            if select.select([reading], [], [], 0.2)[0] and not os.read(reading, 1):
                return  # the work is done
        if signum:
            if note:
                os.write(2, _NOTE)
            os._exit(INTERRUPTED if signum[0] == signal.SIGINT else TERMINATED)
