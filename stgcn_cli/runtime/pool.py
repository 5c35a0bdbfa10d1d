"""Map a function over chunks in several processes: results in order, few in flight, no process left behind."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import TypeVar

from stgcn_cli.errors import RunError
from stgcn_cli.runtime.memory import tune_allocator
from stgcn_cli.runtime.watchdog import blocked

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")
_OF_TERMINALS = (signal.SIGINT, signal.SIGHUP)  # sent to all its processes
_WAITING = (*_OF_TERMINALS, signal.SIGTERM)
_AHEAD = 3  # chunks in flight for each worker: enough to even out long and short ones


def map_in_order(
    function: Callable[[Chunk], Result], chunks: Iterable[Chunk], workers: int
) -> Generator[Result, None, None]:
    """function(chunk) for each chunk, in order; with one worker in this process, else in `workers` others.

    Close the iterator (or use it up) to end the processes. Raises RunError when one of them dies.
    """
    if workers <= 1:
        yield from map(function, chunks)
        return
    remaining, waiting = iter(chunks), deque[Future[Result]]()
    pool = ProcessPoolExecutor(workers, mp_context=_context(), initializer=_start_worker)
    try:
        with blocked(*_WAITING):  # before `_start_worker` a signal would print a traceback in the worker
            waiting.extend(pool.submit(function, chunk) for chunk in islice(remaining, _AHEAD * workers))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, chunk) for chunk in islice(remaining, 1))
            yield result
    except BrokenProcessPool as error:
        hint = "The system ends processes when memory runs out: try again with --workers 1."
        raise RunError("A worker process ended unexpectedly.", hint) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _context() -> BaseContext:
    """Fork where it is safe: start-up is immediate, and workers share the pages of imported modules."""
    forks = sys.platform == "linux" and threading.active_count() == 1
    return multiprocessing.get_context("fork" if forks else "spawn")


def _start_worker() -> None:
    """The parent decides what a signal of the terminal means; SIGTERM and a dead parent end a worker."""
    for sent in _OF_TERMINALS:
        signal.signal(sent, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAITING)  # blocked when it was started, see `map_in_order`
    tune_allocator()  # the same small arrays again and again: giving them back costs a fifth of the time
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
