"""What a training worker is told, and what it changes while it trains."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from stgcn_cli.config.schema import Preset
from stgcn_cli.io.reporter import SILENT, Reporter


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """What a worker needs to train; everything in it crosses process borders."""

    preset: Preset
    pickles: tuple[Path, ...]
    folder: Path
    validate: bool = True
    seed: int = 0
    diff_seed: bool = False
    deterministic: bool = False
    precision: str = "float32"
    resume_from: Path | None = None
    load_from: Path | None = None
    freeze: str | None = None  # "backbone": only the head is trained
    skip_nonfinite: int = 0  # steps whose loss is not finite that may be left out
    save_every: float = 600.0  # seconds between checkpoints inside an epoch
    reporter: Reporter = SILENT
    tensorboard: bool = False


@dataclass
class State:
    """What training changes. `epoch` counts those done, `step` the steps done of the one under way."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=list)  # of the epoch under way, as `Watch` keeps them
    skipped: int = 0  # steps left out since their loss was not finite
    best: dict[str, float] | None = None  # {"top1_acc", "epoch"}


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What the user asked for, beside the preset and the place."""

    data: tuple[Path, ...] = ()
    work_dir: Path | None = None
    resume: bool = False
    resume_from: Path | None = None
    load_from: Path | None = None
    validate: bool = True
    seed: int = 0
    diff_seed: bool = False
    deterministic: bool = False
    precision: str = "float32"
    test: tuple[str, ...] = ()  # "best", "last"
    freeze: str | None = None
    skip_nonfinite: int = 0
    save_minutes: float = 10.0
    report: bool = True
    tensorboard: bool = False
