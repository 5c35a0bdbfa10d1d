"""The peak of memory of a training step: on CUDA by the allocator, elsewhere that of a process that does nothing else."""

import multiprocessing
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import torch

from stgcn_cli.bench import clips, works
from stgcn_cli.config import Preset
from stgcn_cli.errors import RunError
from stgcn_cli.stepping import Step


def peak_of_step(preset: Preset, batch: int, device: torch.device, precision: str, plain: bool) -> float:
    """Bytes. The plain one runs with the system's allocator as it is. Raises RunError where there is not as much."""
    try:
        if device.type == "cuda":
            return _on_cuda(preset, batch, device, precision, plain)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            return pool.submit(_of_this_process, preset, batch, precision, plain).result()
    except (BrokenProcessPool, RuntimeError) as error:
        if not isinstance(error, BrokenProcessPool) and "memory" not in str(error):
            raise
        raise RunError(
            f"A training step of {batch} clips{' of the plain path' if plain else ''} needs more memory than there is.",
            f"Take fewer: --batch-size {max(1, batch // 2)}",
        ) from error


def _on_cuda(preset: Preset, batch: int, device: torch.device, precision: str, plain: bool) -> float:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    _two_steps(works.train_step(preset, device, precision, plain), preset, batch, device)
    return torch.cuda.max_memory_allocated(device)


def _of_this_process(preset: Preset, batch: int, precision: str, plain: bool) -> float:
    device = torch.device("cpu")
    _two_steps(works.train_step(preset, device, precision, plain, keep=not plain), preset, batch, device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)


def _two_steps(step: Step, preset: Preset, batch: int, device: torch.device) -> None:
    x, labels = clips.batch_of(preset, batch, device)
    for _ in range(2):
        step(x, labels)
