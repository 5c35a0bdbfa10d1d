"""Input and state of a training run: RunOptions from the command, Job for every worker, State that training changes.

Shapes: N clips of a batch.
"""

import math
import shlex
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stgcn_cli.config.schema import Preset
from stgcn_cli.data.loader import Clips
from stgcn_cli.data.splits import Split
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.runs.log import NullLog
from stgcn_cli.runtime.distributed import LaunchConfig, World
from stgcn_cli.runtime.stop import StopRequest
from stgcn_cli.training.optim import WeightAverage, build_loss

BUCKET_MB = 4  # three buckets for 3.1 M parameters, so that their reduction overlaps with the backward pass


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a run: what the user chose, with device and precision resolved."""

    preset: Preset
    launch: LaunchConfig = field(default_factory=lambda: LaunchConfig("cpu"))
    data: tuple[Path, ...] = ()  # folders and pickles; empty: the default data folder
    work_dir: Path | None = None
    resume: bool = False  # the run in work_dir, else the preset's newest; start one when there is none
    force: bool = False  # resume although settings differ
    resume_from: Path | None = None
    load_from: Path | None = None
    validate: bool = True
    seed: int = 0
    diff_seed: bool = False
    deterministic: bool = False
    precision: str = "float32"
    test: tuple[str, ...] = ()  # checkpoints to evaluate at the end: "best", "last"
    freeze: str | None = None  # "backbone": only the head is trained
    skip_nonfinite: int = 0  # steps with a non-finite loss that may be skipped
    save_minutes: float = 10.0  # between checkpoints within an epoch
    report: bool = True
    tensorboard: bool = False
    wandb: bool = False
    cuda_graph: bool = False  # replay each whole step; on the CPU the same step runs without a graph
    compile: bool = False  # the blocks of the network, by torch.compile


@dataclass(frozen=True)
class Job:
    """A checked run as each worker receives it; the class counts in its preset are numbers."""

    options: RunOptions
    pickles: tuple[Path, ...]
    folder: Path
    reporter: Reporter = SILENT

    @property
    def preset(self) -> Preset:
        """Return the preset of the options."""
        return self.options.preset


@dataclass
class State:
    """What training changes: `epoch` counts finished epochs, `step` the finished steps of the current one."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    step: int = 0
    average: WeightAverage | None = None
    sums: list[float] = field(default_factory=list)  # of the current epoch, as in `Monitor.epoch_sums`
    skipped: int = 0  # steps skipped because their loss was not finite
    best: dict[str, Any] | None = None  # {"top1_acc", "epoch"}

    @property
    def evaluated(self) -> nn.Module:
        """Return the model to evaluate and save: the average of the weights where there is one."""
        return self.average.model if self.average else self.model


@dataclass(frozen=True, kw_only=True)
class Learner:
    """What a training step needs: `net` is the model of `state`, or DistributedDataParallel around it."""

    state: State
    net: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]  # logits (N, classes), labels (N,) -> ()
    world: World
    precision: str = "float32"
    clip_norm: float | None = None  # largest norm of the gradients


def learner_of(options: RunOptions, world: World, state: State) -> Learner:
    """Return what a step needs, with the model distributed over the ranks."""
    preset = options.preset
    return Learner(
        state=state, net=parallel(state.model, world), loss=build_loss(preset.loss), world=world,
        precision=options.precision, clip_norm=preset.optim.clip_norm,
    )  # fmt: skip


def parallel(model: nn.Module, world: World) -> nn.Module:
    """Average gradients over ranks; BatchNorm buffers stay each rank's own, as in the reference."""
    if world.size == 1:
        return model
    for harmless in ("`broadcast_buffers` is deprecated", "Grad strides do not match bucket view strides"):
        warnings.filterwarnings("ignore", message=harmless)
    ids = [world.device.index] if world.device.type == "cuda" else None
    return DistributedDataParallel(
        model, device_ids=ids, broadcast_buffers=False, bucket_cap_mb=BUCKET_MB, gradient_as_bucket_view=True
    )


@dataclass(frozen=True)
class Dataset:
    """A split and its clips, ready to be batched on the device."""

    split: Split
    clips: Clips


@dataclass(frozen=True, kw_only=True)
class TrainContext:
    """Everything that stays the same over the epochs of one rank."""

    job: Job
    learner: Learner
    data: Dataset
    log: NullLog
    save: Callable[[], None] = lambda: None  # writes last.pth within an epoch
    stop: StopRequest = field(default_factory=StopRequest)

    def end(self) -> NoReturn:
        """Save after a signal, note how to resume, and end. Raises KeyboardInterrupt or Terminated."""
        self.stop.watchdog.patience = math.inf
        self.save()
        state = self.learner.state
        if self.learner.world.is_first:
            self.job.reporter.note(
                f"Saved epoch {state.epoch + 1}, step {state.step}. "
                f"Resume: stgcn train --resume {shlex.quote(str(self.job.folder))}"
            )
        self.stop.end()
