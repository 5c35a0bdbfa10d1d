"""The end of a process that a signal finds inside a wait for another one, where Python runs no handler.

A rank waits in C++ for gradients of a rank that never comes, whether NCCL or gloo carries them. The byte that Python's own
signal handler writes at once wakes a thread; it ends the process when the main thread has not got away within the patience.
"""

import contextlib
import os
import select
import signal
import threading
import time

from stgcn_cli.errors import INTERRUPTED, TERMINATED

GRACE, LONGEST = 5.0, 25.0  # seconds from the signal to the end; torch's launcher and srun kill after 30
_STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]  # as handled
_NOTE = b"\nStopped while waiting for another process. What was complete is kept.\n"


class Watchdog:
    """Active inside its `with` block, in the main thread. `presses`: so many signals end the process without any patience."""

    def __init__(self, presses: int = 2, note: bool = True) -> None:
        self.presses, self.note = presses, note
        self.patience = GRACE
        self.is_held = False  # the end is on its way: a checkpoint is being written

    def __enter__(self) -> "Watchdog":
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._before)
        os.close(self._write)  # the thread reads an end

    def _watch(self) -> None:
        count, first, signum = 0, 0.0, 0
        while True:
            left = None if not count or self.is_held else max(0.0, first + self.patience - time.monotonic())
            if select.select([self._read], [], [], left)[0]:
                byte = os.read(self._read, 1)
                if not byte:
                    os.close(self._read)
                    return
                if byte[0] in _STOPPING:
                    count, first, signum = count + 1, first or time.monotonic(), byte[0]
            if count >= self.presses or (count and not self.is_held and time.monotonic() - first >= self.patience):
                if self.note:
                    with contextlib.suppress(OSError):
                        os.write(2, _NOTE)
                os._exit(INTERRUPTED if signum == signal.SIGINT else TERMINATED)
