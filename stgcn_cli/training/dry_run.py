"""`train --dry-run`: the plan of a run, its parameters and operations, and from a few real steps its memory and time.

No run folder is made. All that may be new on the disk is the working copy of the annotations, which training makes first, too.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data.loader import Clips
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.io.files import free_disk
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.models import build_model
from stgcn_cli.models.flops import Cost, cost_of_clip
from stgcn_cli.runs import folder as runlog
from stgcn_cli.runs import history
from stgcn_cli.runtime.distributed import LaunchConfig, World
from stgcn_cli.runtime.memory import peak_bytes, reset_peak, tune_allocator, used_bytes
from stgcn_cli.runtime.precision import computing, dtype_of, set_up
from stgcn_cli.training import train
from stgcn_cli.training.optim import learning_rate
from stgcn_cli.training.options import RunOptions, State, TrainPlan
from stgcn_cli.training.run import check
from stgcn_cli.training.step import Step, batches_of_epoch, is_due, set_training, step_function

# A few real training steps, measured: how long a step takes and how much memory. Nothing is written.
#
# Shapes: N clips of a batch.

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
    tune_allocator()
    set_up(plan.precision, plan.deterministic)
    clips = Clips.of(split, plan.preset.data, device, dtype_of(plan.precision))
    index = batches_of_epoch(plan, len(clips), 0, 0, share)[0]
    world = World(0, 1, device)
    model = build_model(plan.preset).to(device, dtype_of(plan.precision))
    train.freeze(model, plan.freeze)
    set_training(model, plan.freeze)
    step = step_function(plan, world, State(model, train.build_optimizer(plan.preset, model)), model)
    few = min(_FIRST, len(index))
    reset_peak(device)
    rest = used_bytes(device)
    seconds, low = _steps(step, clips, index[:few], device)
    many = min(len(index), max(few, int(few * _SECONDS / (3 * seconds))))
    slope, high = (low - rest) / few, low
    if many > few:
        reset_peak(device)
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
    return seconds, peak_bytes(device)


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


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What `train` would do with these words. Bytes, seconds, operations."""

    preset: Preset
    place: LaunchConfig
    pickles: tuple[Path, ...]
    folder: Path
    precision: str
    clips: dict[str, int]  # by split
    frames: int  # of a clip
    done: int  # epochs that a resumed run has already
    parameters: int
    weights: int  # bytes of a checkpoint without momenta
    momenta: int
    cost: Cost  # of a clip
    measured: Measured

    @property
    def epochs(self) -> range:
        """The epochs to come, counted from 1."""
        return range(self.done + 1, self.preset.train.epochs + 1)

    @property
    def steps(self) -> int:
        """Steps of an epoch, on each process."""
        each = -(-self.clips[self.preset.data.train] * self.preset.data.passes // self.place.world)
        return -(-each // (self.preset.train.batch_size // self.place.world))

    @property
    def validations(self) -> int:
        """Times the validation split is measured; 0 with --no-validate."""
        every, last = self.preset.train.validate_every, self.preset.train.epochs
        return sum(is_due(epoch, every, last) for epoch in self.epochs) if len(self.clips) > 1 else 0

    @property
    def checkpoints(self) -> int:
        """Files epoch_N.pth."""
        every, last = self.preset.train.checkpoint_every, self.preset.train.epochs
        return sum(is_due(epoch, every, last) for epoch in self.epochs)

    @property
    def disk(self) -> int:
        """Bytes that the run folder takes at its end."""
        whole = (self.checkpoints + len(history.KEPT)) * (self.weights + self.momenta)
        return whole + (self.weights if self.validations else 0)

    @property
    def seconds(self) -> float:
        """Of the whole training with its validations."""
        validation = self.clips.get(self.preset.data.val, 0) * self.measured.forward_s / self.place.world
        return len(self.epochs) * self.steps * self.measured.step_s + self.validations * validation

    @property
    def rates(self) -> list[tuple[int, float]]:
        """(epoch counted from 1, learning rate) from which on it holds."""
        rates = [(epoch, learning_rate(self.preset.optim, epoch - 1)) for epoch in self.epochs]
        return [pair for index, pair in enumerate(rates) if not index or pair[1] != rates[index - 1][1]]


def plan_run(preset: Preset, place: LaunchConfig, wishes: RunOptions, reporter: Reporter) -> RunPlan | None:
    """The plan, after all of training's own checks. None on ranks that do not speak. Raises StgcnError as `run` does."""
    reporter = reporter if place.is_first else SILENT
    preset, pickles = check(preset, place, wishes, reporter)
    if not place.is_first:
        return None
    folder = _folder(preset, wishes)
    stores = open_stores(pickles)
    split = find_split(stores, preset.data.train)
    clips = {split.name: len(split.indices)}
    if wishes.validate:
        clips[preset.data.val] = len(find_split(stores, preset.data.val).indices)
    with reporter.progress("measure a few steps", None):
        measured = _measure(preset, place, wishes, split)
    read = history.newest(folder) if wishes.resume and folder.is_dir() else None
    model = build_model(preset).to(dtype_of(wishes.precision))
    return RunPlan(
        preset=preset, place=place, pickles=pickles, folder=folder, precision=wishes.precision, clips=clips, frames=_frames(preset, split),
        done=history.progress_of(read)[0] if read else 0,
        parameters=sum(p.numel() for p in model.parameters()), weights=_bytes(model.state_dict()),
        momenta=_bytes(dict(model.named_parameters())) if preset.optim.momentum else 0,
        cost=_cost(preset, split, wishes), measured=measured,
    )  # fmt: skip


def _folder(preset: Preset, wishes: RunOptions) -> Path:
    """The run folder that training would use."""
    if wishes.work_dir:
        if not wishes.resume:
            runlog.ensure_empty(wishes.work_dir)
        return wishes.work_dir
    if wishes.resume and (newest := runlog.newest_folder(preset.name)):
        return newest
    names = (preset.name if count == 1 else f"{preset.name}-{count}" for count in itertools.count(1))
    return next(folder for name in names if not (folder := Path("runs") / name).exists())


def _measure(preset: Preset, place: LaunchConfig, wishes: RunOptions, split: Split) -> Measured:
    plan = TrainPlan(
        preset=preset, pickles=(), folder=Path(), seed=wishes.seed, precision=wishes.precision, deterministic=wishes.deterministic,
        freeze=wishes.freeze, skip_nonfinite=wishes.skip_nonfinite,
    )  # fmt: skip
    return measure(plan, split, torch.device(place.device), place.world)


def _frames(preset: Preset, split: Split) -> int:
    return preset.data.clip_len or int(split.store.lengths[split.indices[0]])


def _cost(preset: Preset, split: Split, wishes: RunOptions) -> Cost:
    model, data = build_model(preset), preset.data
    train.freeze(model, wishes.freeze)
    joints = len(presets.layout_of(preset).joints)
    return cost_of_clip(model, (len(data.channels), _frames(preset, split), joints, data.num_person))


def _bytes(tensors: dict[str, Any]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def as_dict(plan: RunPlan) -> dict[str, Any]:
    """The plan for scripts; sizes in bytes, times in seconds, operations in floating-point operations."""
    train, world = plan.preset.train, plan.place.world
    return {
        "preset": plan.preset.name, "data": [str(path) for path in plan.pickles], "folder": str(plan.folder),
        "clips": plan.clips, "frames": plan.frames, "persons": plan.preset.data.num_person,
        "device": plan.place.device, "precision": plan.precision, "processes": world,
        "batch_size": train.batch_size, "batch_size_of_a_process": train.batch_size // world,
        "epochs": train.epochs, "epochs_done": plan.done, "steps_per_epoch": plan.steps,
        "learning_rates": [{"from_epoch": epoch, "lr": rate} for epoch, rate in plan.rates],
        "validations": plan.validations, "checkpoints": plan.checkpoints, "disk": plan.disk,
        "disk_free": free_disk(plan.folder), "parameters": plan.parameters, "flop_forward_per_clip": plan.cost.forward,
        "flop_per_step": plan.cost.step * train.batch_size, "memory_of_a_process": round(plan.measured.memory),
        "seconds_per_step": plan.measured.step_s, "seconds": plan.seconds,
        "measured": {"clips": plan.measured.clips, "seconds": round(plan.measured.spent_s, 2)},
    }  # fmt: skip
