"""Ctrl-C, SIGTERM and a closed terminal during training: finish the step on all ranks, save, exit."""

import contextlib
import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, NoReturn

import torch
from torch import distributed as dist

from stgcn_cli.errors import Terminated
from stgcn_cli.runtime.watchdog import GRACE, LONGEST, Watchdog

_STEPS = 5.0  # that a signal waits for, before a rank is taken to wait for one that never comes
_NOTE = b"\nStopping after this step. Press Ctrl-C again to stop at once.\n"


def stopping_signals() -> list[int]:
    """Return the signals that stop a run: SIGINT, SIGTERM, and SIGHUP unless it is ignored, as under nohup."""
    stopping: list[int] = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        stopping.append(signal.SIGHUP)
    return stopping


class StopRequest:
    """A signal that was received between `__enter__` and `__exit__`, agreed on by all ranks.

    The first signal is only noted. A second one ends the process as it would have without this object, except in
    workers of our own launcher, which passes on each signal that a terminal has sent already.
    """

    def __init__(self, is_worker_of_several: bool = False, note: bool = True, watchdog: Watchdog | None = None) -> None:
        self.signum = 0
        self._several, self._note, self.watchdog = is_worker_of_several, note, watchdog or Watchdog()
        self.watchdog.patience, self._stepped_at = LONGEST, time.monotonic()
        self._before: dict[int, Any] = {}
        self._group: Any = None
        self._pending: tuple[torch.Tensor, Any] | None = None
        self._is_agreed = False

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # elsewhere signals cannot be handled
            self._before = {sent: signal.signal(sent, self._receive) for sent in stopping_signals()}
        if self._several:
            self._group = dist.new_group(backend="gloo")  # of its own: the gradients may go through NCCL
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for sent, handler in self._before.items():
            signal.signal(sent, handler)
        if self._pending and kind is None:
            self._pending[1].wait()
        self._pending, self._group = None, None

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if not self.signum:
            self.signum = signum
            if self._note:
                with contextlib.suppress(OSError):
                    os.write(2, _NOTE)
        elif self._before.get(signum) is not stop_worker:
            handler = self._before[signum]
            handler(signum, frame) if callable(handler) else None

    def is_agreed(self) -> bool:
        """Whether all ranks stop after this step; every rank calls it after each step.

        With several ranks the answer is that of one step before, so that no step waits for it.
        """
        if not self._group:
            return bool(self.signum)
        began, self._stepped_at = self._stepped_at, time.monotonic()
        self.watchdog.patience = min(LONGEST, max(GRACE, _STEPS * (self._stepped_at - began)))
        flag = torch.tensor([self.signum])
        previous, self._pending = self._pending, (flag, dist.all_reduce(flag, dist.ReduceOp.MAX, self._group, True))
        if previous is None:
            return False
        previous[1].wait()
        self.signum = max(self.signum, int(previous[0]))
        self._is_agreed = bool(previous[0])
        return self._is_agreed

    def end(self) -> NoReturn:
        """Raise KeyboardInterrupt or Terminated. After `is_agreed` every rank waits here for the one that saved."""
        if self._is_agreed and self._pending:
            with contextlib.suppress(RuntimeError):  # a rank that has ended
                self._pending[1].wait()
                dist.barrier(self._group)
        raise KeyboardInterrupt if self.signum == signal.SIGINT else Terminated


def stop_worker(signum: int, frame: FrameType | None) -> None:
    """End a worker once: `finally` blocks run undisturbed, so no half-written file stays, and nothing is printed."""
    for sent in stopping_signals():  # a terminal sends Ctrl-C to all, and the launcher sends it again
        signal.signal(sent, signal.SIG_IGN)
    raise KeyboardInterrupt
