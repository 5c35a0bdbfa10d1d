"""Initial state of a run (fresh, resumed or fine-tuned), and its checkpoints."""

from typing import Any

import torch
from torch import distributed, nn

from stgcn_cli.config import class_names, presets
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint, history, transfer
from stgcn_cli.runs.checkpoint import Checkpoint
from stgcn_cli.runs.history import Progress
from stgcn_cli.runtime.distributed import World
from stgcn_cli.runtime.precision import dtype_of
from stgcn_cli.training.optim import WeightAverage, build_optimizer
from stgcn_cli.training.options import Job, State
from stgcn_cli.training.step import is_due


def start(job: Job, world: World) -> State:
    """Return fresh weights from the seed, or those of the run's newest checkpoint, --resume-from or --load-from.

    Rank 0 reads and broadcasts, so that the run folder may be on one machine only.
    """
    options = job.options
    torch.manual_seed(options.seed)
    model = build_model(job.preset).to(dtype_of(options.precision))
    found = [*_start_checkpoints(job)] if world.is_first else [None, None]
    if world.size > 1:
        distributed.broadcast_object_list(found, 0, device=world.device)
    resumed, weights = found
    if resumed:
        checkpoint.load_into(model, resumed.in_training)
    elif weights:
        transfer.load_fitting(model, weights)
    freeze(model, options.freeze)
    model.to(world.device)
    decay = job.preset.optim.ema_decay
    state = State(model, build_optimizer(job.preset, model), average=WeightAverage(model, decay) if decay else None)
    if resumed:
        if state.average:
            checkpoint.load_into(state.average.model, resumed)
        checkpoint.load_optimizer(state.optimizer, resumed)
        _restore_progress(state, history.progress_in(resumed))
    return state


def _start_checkpoints(job: Job) -> tuple[Checkpoint | None, Checkpoint | None]:
    """Return the checkpoint to resume from, and the one to take only weights from."""
    options = job.options
    resumed = history.newest(job.folder, job.reporter.warn)
    if resumed is None and options.resume_from:
        resumed = checkpoint.read(options.resume_from)
    return resumed, checkpoint.read(options.load_from) if options.load_from and not resumed else None


def _restore_progress(state: State, progress: Progress) -> None:
    """Restore the counters of a run; a step within an epoch only together with its sums."""
    state.epoch, state.skipped = progress.epoch, progress.skipped
    state.best = dict(progress.best) if progress.best else None
    if progress.step and len(progress.sums) == 4:
        state.step, state.sums = progress.step, list(progress.sums)


def freeze(model: nn.Module, what: str | None) -> None:
    """Exclude "backbone" from training; None: train everything."""
    if what == "backbone":
        model.backbone.requires_grad_(False)  # type: ignore[union-attr, operator]


def save_step(job: Job, state: State, trained_on: dict[str, Any]) -> None:
    """Write last.pth within an epoch."""
    history.save_last(job.folder, _whole(state, _meta(job, state, trained_on)))


def save_epoch(job: Job, state: State, trained_on: dict[str, Any], is_best: bool) -> None:
    """Write last.pth, epoch_N.pth at the preset's interval, and best.pth when this epoch is the best."""
    meta, config = _meta(job, state, trained_on), job.preset.train
    if is_best:
        checkpoint.save(job.folder / "best.pth", checkpoint.contents(state.evaluated, meta))
    if is_due(state.epoch, config.checkpoint_every, config.epochs):
        checkpoint.save(job.folder / f"epoch_{state.epoch}.pth", _whole(state, meta))
    save_step(job, state, trained_on)


def _whole(state: State, meta: dict[str, Any]) -> dict[str, Any]:
    """Return all that a run resumes from. The state dict holds the averaged weights, where there are some."""
    return checkpoint.contents(state.evaluated, meta, state.optimizer, state.model if state.average else None)


def _meta(job: Job, state: State, trained_on: dict[str, Any]) -> dict[str, Any]:
    """Return the description in a checkpoint: plain values, so that reading it needs no allow-list."""
    meta: dict[str, Any] = {
        "preset": presets.to_toml(job.preset), "CLASSES": class_names.class_names(job.preset), "trained_on": trained_on,
        "epoch": state.epoch, "seed": job.options.seed, "best": state.best, "skipped": state.skipped,
    }  # fmt: skip
    return meta | ({"step": state.step, "sums": state.sums} if state.step else {})
