"""Processes started by torchrun or SLURM: their number and addresses, and a common exit on failure."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from torch import distributed as dist

from stgcn_cli import errors
from stgcn_cli.errors import RunError, StgcnError, UsageError
from stgcn_cli.io.text import shown

_WAIT = 60.0  # seconds within which the other processes read a failure or have ended themselves


def joined_world() -> int | None:
    """The size of the world that torchrun or SLURM started this process in, or None."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return _number("WORLD_SIZE", "1")
    # set by srun for the tasks it starts; SLURM_NTASKS is also there in a batch script, which is one process
    tasks = _number("SLURM_STEP_NUM_TASKS", "1")
    return tasks if tasks > 1 and "SLURM_PROCID" in os.environ else None


def _number(name: str, default: str) -> int:
    text = os.environ.get(name, default)
    if not text.isdecimal():
        raise UsageError(f"${name} is {shown(text)}; expected a number.", f"Type: unset {name}")
    return int(text)


def adopt_slurm() -> None:
    """Give torch the names it reads, from SLURM's."""
    if "RANK" in os.environ:
        return
    job, step = (_number(name, "0") for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_NODELIST", "localhost")
    os.environ |= {
        "RANK": os.environ["SLURM_PROCID"],
        "LOCAL_RANK": os.environ.get("SLURM_LOCALID", "0"),
        "WORLD_SIZE": os.environ["SLURM_STEP_NUM_TASKS"],
        "MASTER_ADDR": os.environ.get("MASTER_ADDR", first_host(nodes)),
        "MASTER_PORT": os.environ.get("MASTER_PORT", str(20_000 + (job + 101 * step) % 20_000)),
    }


def first_host(nodelist: str) -> str:
    """The first machine of a SLURM node list such as "gpu[03-05,9],x1"."""
    try:
        listed = subprocess.run(["scontrol", "show", "hostnames", nodelist], capture_output=True, text=True, check=True)
        return listed.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        match = re.match(r"([^,\[]+)(?:\[(\d+))?", nodelist)
        return "".join(part or "" for part in match.groups()) if match else "localhost"


@contextlib.contextmanager
def failing_together() -> Iterator[None]:
    """Propagate a start-up failure of one rank to all ranks, so that none waits forever.

    All end with the exit code of the first failure, whose message is printed once.
    """
    try:
        yield
    except StgcnError as error:
        if joined_world():
            adopt_slurm()
            with contextlib.suppress(RuntimeError), signals_end_at_once():  # the others may have ended by themselves
                store, rank, size = next(dist.rendezvous("env://", timeout=timedelta(seconds=_WAIT)))
                _say(store, rank, error)
                error.is_reported = any(_heard(store, other) == _words(error) for other in range(rank))
                _wait_for_listeners(store, rank, size)
        raise


def begin_together(store: Any, rank: int, size: int) -> None:
    """Wait until all processes are ready. Raises the error of the first that is not."""
    _say(store, rank, None)
    for other in range(size):
        if said := _heard(store, other):
            store.add("heard", 1)
            kind, message, hint = json.loads(said)
            error = getattr(errors, kind, RunError)(message, hint)
            error.is_reported = True
            raise error


@contextlib.contextmanager
def signals_end_at_once() -> Iterator[None]:
    """Let signals end the process during a wait inside torch, where Python runs no handler and nothing needs cleaning up."""
    before = {sent: signal.signal(sent, signal.SIG_DFL) for sent in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sent, handler in before.items():
            signal.signal(sent, handler)


def _words(error: StgcnError | None) -> str:
    return json.dumps([type(error).__name__, error.message, error.hint]) if error else ""


def _say(store: Any, rank: int, error: StgcnError | None) -> None:
    store.set(f"ready {rank}", _words(error) or "yes")


def _heard(store: Any, rank: int) -> str:
    """The start-up error of that process, "" if it is ready; waits for its answer."""
    said = store.get(f"ready {rank}").decode()
    return "" if said == "yes" else said


def _wait_for_listeners(store: Any, rank: int, size: int) -> None:
    """Under SLURM the store is in process 0, which must not end before the others have read the error."""
    store.add("heard", 1)
    end = time.monotonic() + _WAIT
    while rank == 0 and store.add("heard", 0) < size and time.monotonic() < end:
        time.sleep(0.05)
