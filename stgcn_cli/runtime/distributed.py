"""One process or many, one machine or many: the same worker function everywhere.

A worker raises and never exits by itself; the parent turns the first failure into the message and the exit code.
"""

import contextlib
import gc
import importlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

import torch
from torch import distributed as dist

from stgcn_cli import errors
from stgcn_cli.errors import RunError, StgcnError, Terminated
from stgcn_cli.runtime.devices import check_own_devices, device_of_rank
from stgcn_cli.runtime.memory import out_of_memory
from stgcn_cli.runtime.rendezvous import adopt_slurm, begin_together, joined_world, signals_end_at_once
from stgcn_cli.runtime.stop import stop_worker, stopping_signals
from stgcn_cli.runtime.watchdog import Watchdog, blocked, watchdog

_AFTER_THE_CAUSE = 3.0  # seconds that a rank which lost its connection lets the cause be reported first


@dataclass(frozen=True)
class LaunchConfig:
    """Where workers run: `gpus` processes on this machine, `nodes` machines. `device` is "cpu" or "cuda"."""

    device: str
    gpus: int = 1
    nodes: int = 1
    node_rank: int = 0
    endpoint: str = ""  # host:port of the first machine; empty = this one, a free port
    max_restarts: int = 0

    @property
    def world(self) -> int:
        """Processes in all."""
        return joined_world() or self.gpus * self.nodes

    @property
    def is_first(self) -> bool:
        """Whether this process prints and writes: on machine 0, or as rank 0 of a joined world."""
        if joined_world():
            return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))) == 0
        return self.node_rank == 0


@dataclass(frozen=True)
class World:
    """This process among `size`; rank 0 prints and writes."""

    rank: int
    size: int
    device: torch.device
    watchdog: Watchdog | None = None  # where several processes wait for each other

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that prints and writes."""
        return self.rank == 0


def launch(worker: Callable[[Any, World], Any], argument: Any, place: LaunchConfig) -> Any:
    """Run `worker(argument, world)` in every process of `place` and return what rank 0 returned (None elsewhere).

    Raises the first failing worker's StgcnError; KeyboardInterrupt or Terminated when stopped by a signal.
    """
    if joined_world():
        adopt_slurm()
        return _work(worker, argument, place.device)
    if place.gpus * place.nodes == 1:
        return worker(argument, World(0, 1, torch.device(place.device)))
    return _launch_elastic(worker, argument, place)


def _launch_elastic(worker: Callable[[Any, World], Any], argument: Any, place: LaunchConfig) -> Any:
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("torch.distributed", "torch.multiprocessing")):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # the launcher reports the first failure once
    config = LaunchConfig(
        min_nodes=place.nodes,
        max_nodes=place.nodes,
        nproc_per_node=place.gpus,
        rdzv_backend="c10d",
        rdzv_endpoint=place.endpoint or "localhost:0",
        rdzv_configs={"is_host": place.node_rank == 0} if place.endpoint else {},
        run_id=os.environ.get("STGCN_RUN_ID", "stgcn"),
        max_restarts=place.max_restarts,
        monitor_interval=0.2,
        local_addr=_address(place),
    )
    handled = ",".join(signal.Signals(sent).name for sent in stopping_signals())  # not SIGHUP under nohup
    if hasattr(config, "signals_to_handle"):
        config.signals_to_handle = handled
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = handled  # where older torch looks
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // place.gpus)))
    try:
        with _ctrl_c_waits_in_children():
            results = elastic_launch(config, _elastic_worker)(worker, argument, place.device)
        return results.get(0)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        raise _first_error(rank, failure.message, failure.exitcode) from None
    except SignalException as stop:
        raise (KeyboardInterrupt if stop.sigval == signal.SIGINT else Terminated)() from None
    finally:
        if threads is None:
            os.environ.pop("OMP_NUM_THREADS", None)


@contextlib.contextmanager
def _ctrl_c_waits_in_children() -> Iterator[None]:
    """Block Ctrl-C in child processes until they reach `_elastic_worker`; earlier it would print a traceback.

    They inherit the signal mask of this thread. Another thread receives the signal, and Python still handles it here.
    """
    with blocked(signal.SIGHUP):  # else the tracker would end with the terminal
        resource_tracker.ensure_running()  # multiprocessing starts it at the first process, and unblocks SIGINT afterwards
    done = threading.Event()
    threading.Thread(target=done.wait, daemon=True).start()
    with blocked(signal.SIGINT):
        try:
            yield
        finally:
            done.set()


def _address(place: LaunchConfig) -> str:
    """Name under which this machine joins. Ranks are assigned in the order of these names, and rank 0 must be on machine 0.

    Only the first one is used as an address: it is the host given to all ranks.
    """
    if not place.endpoint:
        return "localhost"
    if place.node_rank == 0:
        return place.endpoint.rpartition(":")[0].strip("[]")
    return f"~{place.node_rank:06d}"  # after letters and digits


def _elastic_worker(worker: Callable[[Any, World], Any], argument: Any, device: str) -> Any:
    for sent in stopping_signals():  # the launcher passes on which of them it got
        signal.signal(sent, stop_worker)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # see `_ctrl_c_waits_in_children`
    _end_with_parent()
    try:
        return _work(worker, argument, device)
    except (KeyboardInterrupt, Terminated):
        # temporary files are removed; exiting immediately releases ranks that wait for this one in a reduction
        os._exit(errors.TERMINATED)
    except RuntimeError:
        time.sleep(_AFTER_THE_CAUSE)  # a lost connection is what the others see of a failure
        raise


def _end_with_parent() -> None:
    """Ask Linux to end this worker when its launcher dies, so that a killed launcher leaves nothing running."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:  # it was killed before it could be asked for
        os._exit(errors.TERMINATED)


def _first_error(rank: int, message: Any, exitcode: int) -> StgcnError:
    """The error of a worker, rebuilt from "Type: message" in its error file."""
    text = message["message"] if isinstance(message, dict) else str(message)
    kind, _, rest = text.partition(": ")
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, StgcnError):
        text, _, hint = rest.partition("\n\n")
        return known(text, hint)
    if exhausted := out_of_memory(RuntimeError(rest), f"Rank {rank}", "Try a smaller batch, or more GPUs (--gpus)."):
        return exhausted
    if exitcode < 0:
        text = f"it was killed by signal {-exitcode} ({signal.Signals(-exitcode).name})"
        return RunError(f"Worker {rank} died: {text}.", "Out of memory? Resume from the last checkpoint with --resume.")
    return RunError(f"Worker {rank} failed: {text}", "Resume from the last checkpoint with --resume.")


def _work(worker: Callable[[Any, World], Any], argument: Any, device: str) -> Any:
    where = device_of_rank(device, int(os.environ.get("LOCAL_RANK", "0")))
    if device == "cuda":
        torch.cuda.set_device(where)
    with _process_group(where), watchdog(note=dist.get_rank() == 0) as watched:
        result = worker(argument, World(dist.get_rank(), dist.get_world_size(), where, watched))
        return result if dist.get_rank() == 0 else None


@contextlib.contextmanager
def _process_group(where: torch.device) -> Iterator[None]:
    backend, device_id = ("nccl", where) if where.type == "cuda" else ("gloo", None)
    # Its functions have the group of this moment as a default, and DistributedDataParallel imports it: a group that they hold
    # is never closed, and its threads are torn down with the interpreter, which now and then aborts.
    importlib.import_module("torch.distributed.nn.functional")
    with signals_end_at_once():
        store, rank, size = next(dist.rendezvous("env://"))
        begin_together(store, rank, size)
        check_own_devices(store, rank, size, where)
        # after a restart the store may still hold addresses of dead workers
        store = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, device_id=device_id)
    yield
    gc.collect()  # what is left of DistributedDataParallel holds the group
    dist.destroy_process_group()  # not after an error: closing connections would make the others fail before it is reported
