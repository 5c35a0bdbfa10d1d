"""A few real training steps, measured: how long a step takes and how much memory. Nothing is written.

Shapes: N clips of a batch.
"""

import contextlib
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stgcn_cli import training
from stgcn_cli.batches import Clips
from stgcn_cli.data.splits import Split
from stgcn_cli.distributed import World
from stgcn_cli.epoch import batches_of_epoch, set_training
from stgcn_cli.memory import keep_memory
from stgcn_cli.models import build_model
from stgcn_cli.precision import computing, dtype_of, set_up
from stgcn_cli.stepping import Step, step_function
from stgcn_cli.train_plan import State, TrainPlan

_SECONDS = 8.0  # that the measured steps may take, roughly
_FIRST = 2  # clips of the first steps


@dataclass(frozen=True)
class Measured:
    """What a step of `batch` clips takes, out of steps of `clips`: seconds, and bytes of one process or of its GPU.

    `forward_s` is the time of one clip in an evaluation.
    """

    batch: int
    clips: int
    step_s: float
    forward_s: float
    memory: float
    spent_s: float

    @property
    def is_whole(self) -> bool:
        """Whether the real batch was measured, not a part of it."""
        return self.clips == self.batch


def measure(plan: TrainPlan, split: Split, device: torch.device, share: int) -> Measured:
    """Steps of the first clips of the first epoch, as training would do them on one of `share` processes."""
    began = time.perf_counter()
    keep_memory()
    set_up(plan.precision, plan.deterministic)
    clips = Clips.of(split, plan.preset.data, device, dtype_of(plan.precision))
    index = batches_of_epoch(plan, len(clips), 0, 0, share)[0]
    world = World(0, 1, device)
    model = build_model(plan.preset).to(device, dtype_of(plan.precision))
    training.freeze(model, plan.freeze)
    set_training(model, plan.freeze)
    step = step_function(plan, world, State(model, training.build_optimizer(plan.preset, model)), model)
    few = min(_FIRST, len(index))
    _forget_peak(device)
    rest = _memory(device)
    seconds, low = _steps(step, clips, index[:few], device)
    many = min(len(index), max(few, int(few * _SECONDS / (3 * seconds))))
    slope, high = (low - rest) / few, low
    if many > few:
        _forget_peak(device)
        seconds, high = _steps(step, clips, index[:many], device)
        slope = max(0.0, (high - low) / (many - few))
    whole = len(index)  # less than the preset's batch where there are fewer clips
    forward = _forward(model, clips, index[:many], plan, device)
    return Measured(
        whole, many, seconds * whole / many, forward / many, high + slope * (whole - many), time.perf_counter() - began
    )


def _steps(step: Step, clips: Clips, index: Tensor, device: torch.device) -> tuple[float, float]:
    """Seconds of the second of two steps, and the peak of memory. The first one also prepares, once."""
    seconds = 0.0
    for _ in range(2):
        seconds = _timed(lambda: step(*clips.batch(index)), device)
    return seconds, _peak(device)


def _forward(model: torch.nn.Module, clips: Clips, index: Tensor, plan: TrainPlan, device: torch.device) -> float:
    """Seconds of an evaluation's forward pass."""
    model.eval()
    with torch.inference_mode(), computing(plan.precision, device):
        return _timed(lambda: model(clips.batch(index)[0]), device)


def _timed(work: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _memory(device: torch.device) -> float:
    """Bytes taken now."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return _status("VmRSS") or _high()


def _peak(device: torch.device) -> float:
    """The most bytes taken since `_forget_peak`, where the system can forget."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return _status("VmHWM") or _high()


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):  # only Linux has it
        Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> float | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith(name + ":"):
                return float(line.split()[1]) * 1024
    return None


def _high() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
