"""`train --dry-run`: the plan of a run, with memory and time measured in a few real steps.

No run folder is made. The stores of the pickles may be built, as in training. Shapes: N clips of a batch.
"""

import time
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
from stgcn_cli.runs import folder as run_folders
from stgcn_cli.runs import history
from stgcn_cli.runtime.distributed import LaunchConfig, World
from stgcn_cli.runtime.memory import memory_errors, peak_bytes, reset_peak, tune_allocator, used_bytes
from stgcn_cli.runtime.precision import computing, dtype_of, evaluation_precision, set_up, without_tf32
from stgcn_cli.runtime.timing import seconds_of
from stgcn_cli.training.check import check
from stgcn_cli.training.optim import build_optimizer, learning_rate
from stgcn_cli.training.options import Learner, RunOptions, State, learner_of
from stgcn_cli.training.start import freeze
from stgcn_cli.training.step import EagerSteps, batches_of_epoch, is_due, memory_hint, set_training

_SECONDS = 8.0  # of the measurement, roughly
_FIRST = 2  # clips of the first steps


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Cost of a step of `batch` clips, measured with `clips` of them: seconds, and bytes of a process or of its GPU.

    `forward_s` is the time of one clip in evaluation, `spent_s` that of the measurement.
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


def measure(options: RunOptions, split: Split) -> Measured:
    """Do steps with the first clips of the first epoch, in one process, with the batch that each process would have."""
    began, preset, device = time.perf_counter(), options.preset, torch.device(options.launch.device)
    tune_allocator()
    set_up(options.precision, options.deterministic)
    clips = Clips.of(split, preset, device, dtype_of(options.precision))
    index = batches_of_epoch(options, len(clips), 0, 0, options.launch.world)[0]
    model = build_model(preset).to(device, dtype_of(options.precision))
    freeze(model, options.freeze)
    state = State(model, build_optimizer(preset, model))
    learner = learner_of(options, World(0, 1, device), state)
    set_training(model, options.freeze)
    few, batch = min(_FIRST, len(index)), len(index)  # less than the preset's batch when there are fewer clips
    reset_peak(device)
    rest = used_bytes(device)
    seconds, low = _steps(options, learner, clips, index[:few])
    many = min(batch, max(few, int(few * _SECONDS / (3 * seconds))))
    slope, high = (low - rest) / few, low
    if many > few:
        reset_peak(device)
        seconds, high = _steps(options, learner, clips, index[:many])
        slope = max(0.0, (high - low) / (many - few))
    forward = _forward(learner, clips, index[:many])
    return Measured(
        batch=batch, clips=many, step_s=seconds * batch / many, forward_s=forward / many,
        memory=high + slope * (batch - many), spent_s=time.perf_counter() - began,
    )  # fmt: skip


def _steps(options: RunOptions, learner: Learner, clips: Clips, index: Tensor) -> tuple[float, float]:
    """Return the seconds of a step and the peak of memory, after a step that also prepares.

    On a GPU several steps are measured as one run, as in training, without a wait between them.
    """
    device = learner.world.device
    placed, steps = clips.placed(index), EagerSteps(options, learner, clips)

    def take_step() -> None:
        steps.prepare(index, placed, 0)
        steps.take(options.preset.optim.lr)

    take_step()
    if device.type == "cuda":
        reset_peak(device)  # without the workspaces of the search for the quickest algorithms
    return seconds_of(take_step, device), peak_bytes(device)


def _forward(learner: Learner, clips: Clips, index: Tensor) -> float:
    """Return the seconds of a forward pass in evaluation."""
    model, device = learner.state.model.eval(), learner.world.device
    with torch.inference_mode(), computing(evaluation_precision(learner.precision), device), without_tf32():
        return seconds_of(
            lambda: model(clips.batch(index)[0], clips.absent(index)), device, warm_up=device.type == "cuda"
        )


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What `train` would do with these options. Bytes, seconds, operations."""

    options: RunOptions
    pickles: tuple[Path, ...]
    folder: Path
    clips: dict[str, int]  # by split
    frames: int  # of a clip
    done: int  # epochs that a resumed run has already
    parameters: int
    weights: int  # bytes of a checkpoint without momenta
    momenta: int
    cost: Cost  # of a clip
    measured: Measured

    @property
    def preset(self) -> Preset:
        """The preset, with class counts as numbers."""
        return self.options.preset

    @property
    def launch(self) -> LaunchConfig:
        """Where the workers would run."""
        return self.options.launch

    @property
    def epochs(self) -> range:
        """Epochs still to train, counted from 1."""
        return range(self.done + 1, self.preset.train.epochs + 1)

    @property
    def steps(self) -> int:
        """Steps of an epoch on each process."""
        return len(batches_of_epoch(self.options, self.clips[self.preset.data.train], 0, 0, self.launch.world))

    @property
    def validations(self) -> int:
        """Number of validations; 0 with --no-validate."""
        every, last = self.preset.train.validate_every, self.preset.train.epochs
        return sum(is_due(epoch, every, last) for epoch in self.epochs) if len(self.clips) > 1 else 0

    @property
    def checkpoints(self) -> int:
        """Number of files epoch_N.pth."""
        every, last = self.preset.train.checkpoint_every, self.preset.train.epochs
        return sum(is_due(epoch, every, last) for epoch in self.epochs)

    @property
    def disk(self) -> int:
        """Bytes of the run folder at its end."""
        whole = (self.checkpoints + len(history.KEPT)) * (self.weights + self.momenta)
        return whole + (self.weights if self.validations else 0)

    @property
    def seconds(self) -> float:
        """Duration of the whole training with its validations."""
        validation = self.clips.get(self.preset.data.val, 0) * self.measured.forward_s / self.launch.world
        return len(self.epochs) * self.steps * self.measured.step_s + self.validations * validation

    @property
    def rates(self) -> list[tuple[int, float]]:
        """(epoch counted from 1, learning rate from this epoch on)."""
        optim, last, steps = self.preset.optim, self.preset.train.epochs, self.steps
        rates = [(epoch, learning_rate(optim, (epoch - 1) * steps, steps, last)) for epoch in self.epochs]
        return [pair for index, pair in enumerate(rates) if not index or pair[1] != rates[index - 1][1]]


def plan_run(options: RunOptions, reporter: Reporter) -> RunPlan | None:
    """Return the plan after all checks of training, None on ranks other than the first. Raises as `run` does."""
    reporter = reporter if options.launch.is_first else SILENT
    options, pickles = check(options, reporter)
    if not options.launch.is_first:
        return None
    preset, folder = options.preset, _folder(options)
    stores = open_stores(pickles)
    split = find_split(stores, preset.data.train)
    clips = {split.name: len(split.indices)}
    if options.validate:
        clips[preset.data.val] = len(find_split(stores, preset.data.val).indices)
    work = f"A training step of {preset.train.batch_size // options.launch.world} clips"
    with reporter.progress("measure a few steps", None), memory_errors(work, memory_hint(options)):
        measured = measure(options, split)
    last = history.newest(folder) if options.resume and folder.is_dir() else None
    model = build_model(preset).to(dtype_of(options.precision))
    parameters = dict(model.named_parameters())
    freeze(model, options.freeze)
    joints, data = len(presets.layout_of(preset).joints), preset.data
    frames = data.clip_len or int(split.store.lengths[split.indices[0]])
    return RunPlan(
        options=options, pickles=pickles, folder=folder, clips=clips, frames=frames,
        done=history.progress_in(last).epoch if last else 0,
        parameters=sum(each.numel() for each in parameters.values()), weights=_bytes(model.state_dict()),
        momenta=_bytes(parameters) * _moments(preset),
        cost=cost_of_clip(model, (len(data.channels), frames, joints, data.num_person)), measured=measured,
    )  # fmt: skip


def _moments(preset: Preset) -> int:
    """Tensors a parameter that a checkpoint has beside its own: the optimizer's, and the weights in training."""
    optim = preset.optim
    moments = bool(optim.momentum) if optim.name == "sgd" else 2
    return moments + (optim.ema_decay is not None)


def _folder(options: RunOptions) -> Path:
    """Return the run folder that training would use. Raises UsageError when it contains a run."""
    if options.work_dir:
        if not options.resume:
            run_folders.ensure_empty(options.work_dir)
        return options.work_dir
    if options.resume and (newest := run_folders.newest_folder(options.preset.name)):
        return newest
    return run_folders.free_folder(options.preset.name)


def _bytes(tensors: dict[str, Any]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def as_dict(plan: RunPlan) -> dict[str, Any]:
    """Return the plan for scripts: sizes in bytes, times in seconds, floating-point operations."""
    train, world = plan.preset.train, plan.launch.world
    return {
        "preset": plan.preset.name, "data": [str(path) for path in plan.pickles], "folder": str(plan.folder),
        "clips": plan.clips, "frames": plan.frames, "persons": plan.preset.data.num_person,
        "device": plan.launch.device, "precision": plan.options.precision, "processes": world,
        "batch_size": train.batch_size, "batch_size_of_a_process": train.batch_size // world,
        "epochs": train.epochs, "epochs_done": plan.done, "steps_per_epoch": plan.steps,
        "learning_rates": [{"from_epoch": epoch, "lr": rate} for epoch, rate in plan.rates],
        "validations": plan.validations, "checkpoints": plan.checkpoints, "disk": plan.disk,
        "disk_free": free_disk(plan.folder), "parameters": plan.parameters, "flop_forward_per_clip": plan.cost.forward,
        "flop_per_step": plan.cost.step * train.batch_size, "memory_of_a_process": round(plan.measured.memory),
        "seconds_per_step": plan.measured.step_s, "seconds": plan.seconds,
        "measured": {"clips": plan.measured.clips, "seconds": round(plan.measured.spent_s, 2)},
    }  # fmt: skip
