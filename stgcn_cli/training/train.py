"""The training worker: for each epoch train, validate, log, save. All randomness follows from (seed, epoch, rank, step)."""

import dataclasses
import functools
import os
import time
import warnings
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from stgcn_cli.config import class_names, presets
from stgcn_cli.data.loader import Clips
from stgcn_cli.data.splits import find_split, open_stores
from stgcn_cli.data.statistics import describe
from stgcn_cli.data.store import Store
from stgcn_cli.evaluation import metrics, results, score
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint, history, transfer
from stgcn_cli.runs.checkpoint import Checkpoint
from stgcn_cli.runs.history import Progress
from stgcn_cli.runs.log import NullLog, RunLog
from stgcn_cli.runtime.distributed import World
from stgcn_cli.runtime.memory import tune_allocator
from stgcn_cli.runtime.precision import dtype_of, evaluation_precision, set_up, without_tf32
from stgcn_cli.runtime.stop import StopRequest
from stgcn_cli.training.collapse import CollapseWarning
from stgcn_cli.training.optim import WeightAverage, build_loss, build_optimizer
from stgcn_cli.training.options import Dataset, Job, Learner, State, TrainContext
from stgcn_cli.training.static_step import StaticSteps, compile_blocks
from stgcn_cli.training.step import EagerSteps, batches_of_epoch, is_due, train_epoch
from stgcn_cli.training.trackers import TensorBoardLog, WandbLog

BUCKET_MB = 4  # three buckets for 3.1 M parameters, so that their reduction overlaps with the backward pass


def train(job: Job, world: World) -> dict[str, Any]:
    """Train to the last epoch, from the newest checkpoint if there is one; return best and last validation."""
    options, config, data = job.options, job.preset.train, job.preset.data
    tune_allocator()
    set_up(options.precision, options.deterministic)
    stores = open_stores(job.pickles)
    training = open_dataset(job, stores, data.train, world)
    validation = open_dataset(job, stores, data.val, world) if options.validate else None
    state = start(job, world)
    log = _open_log(job, world, state, len(training.clips))
    trained_on = describe(training.split) if world.is_first else {}
    save = functools.partial(save_step, job, state, trained_on) if world.is_first else lambda: None
    last: dict[str, float] = {}
    collapsed = CollapseWarning(job.reporter.warn if world.is_first else lambda text: None)
    if options.compile:
        compile_blocks(state.model)
    with StopRequest(world.size > 1, note=world.is_first, watchdog=world.watchdog) as stop:
        context = TrainContext(
            job=job, learner=learner_of(job, world, state), data=training, log=log, save=save, stop=stop
        )
        steps = steps_of(context)
        for epoch in range(state.epoch, config.epochs):
            if _has_stalled(state, config.patience):
                job.reporter.note(f"Stopped after epoch {epoch}: no better top1_acc for {config.patience} epochs.")
                break
            train_epoch(context, epoch, steps)
            is_best = False
            if validation and is_due(epoch + 1, config.validate_every, config.epochs):
                result = validate(context, validation, epoch + 1)
                last = result.metrics
                collapsed.look_at(result)
                is_best = _update_best(state, last, epoch + 1)
                if is_best and world.is_first:
                    results.write(result, job.folder / "best.result.npz")
            state.epoch, state.step, state.sums = epoch + 1, 0, []
            if world.is_first:
                log.results()
                save_epoch(job, state, trained_on, is_best)
    log.close()
    return {"best": state.best, "last": last, "epochs": state.epoch, "skipped": state.skipped}


def steps_of(context: TrainContext) -> EagerSteps:
    """Return what takes the steps of a run: as a CUDA graph where that is wanted, and the clips lie on the device."""
    options, clips = context.job.options, context.data.clips
    if options.cuda_graph and clips.frames.device.type == clips.device.type:
        return StaticSteps(options, context.learner, clips)
    if options.cuda_graph:
        context.job.reporter.warn("--cuda-graph has no effect: the clips do not fit into the memory of the GPU.")
    return EagerSteps(options, context.learner, clips)


def open_dataset(job: Job, stores: list[Store], name: str, world: World) -> Dataset:
    """Return the split `name` with its clips on the device. Raises DataError when it is missing."""
    split = find_split(stores, name)
    return Dataset(split, Clips.of(split, job.preset, world.device, dtype_of(job.options.precision)))


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


def learner_of(job: Job, world: World, state: State) -> Learner:
    """Return what a step needs, with the model distributed over the ranks."""
    net, loss = parallel(state.model, world), build_loss(job.preset.loss)
    return Learner(
        state=state, net=net, loss=loss, world=world, precision=job.options.precision,
        clip_norm=job.preset.optim.clip_norm,
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


def _open_log(job: Job, world: World, state: State, clips: int) -> NullLog:
    """Open the log on rank 0, cut back to the checkpoint that training starts from."""
    if not world.is_first:
        return NullLog()
    records = RunLog(job.folder)
    records.cut_back(state.epoch, state.step)
    log: NullLog = records
    if state.epoch or state.step:
        restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
        if restarts:
            where = f"epoch {state.epoch + 1}" + (f", iteration {state.step + 1}" if state.step else "")
            job.reporter.warn(f"A worker died; all workers were restarted (restart {restarts}) and resume at {where}.")
        log.write({"mode": "resumed", "epoch": state.epoch, "iter": state.step, "restarts": restarts})
    steps = len(batches_of_epoch(job.options, clips, 0, 0, world.size))
    if job.options.tensorboard:
        log = TensorBoardLog(log, job.folder, steps, state.epoch * steps + state.step)
    if job.options.wandb:
        settings = dataclasses.asdict(job.preset) | {"seed": job.options.seed, "precision": job.options.precision}
        log = WandbLog(log, job.folder, steps, settings)
    return log


def validate(context: TrainContext, data: Dataset, epoch: int) -> EvalResult:
    """Score and measure the validation split on all ranks after `epoch` epochs; rank 0 logs the metrics.

    Ends at once when a signal is received: the finished training epoch is saved.
    """
    job, state, world = context.job, context.learner.state, context.learner.world
    began = time.perf_counter()
    if world.size > 1:  # all ranks measure what is saved, as in the reference: rank 0's BatchNorm statistics
        for buffer in state.evaluated.buffers():
            distributed.broadcast(buffer, 0)
    with job.reporter.progress("validate", len(data.clips), shown=world.is_first) as advance:

        def advance_or_end(clips: int) -> None:
            if context.stop.signum:
                context.end()
            advance(clips)

        with without_tf32():
            scores = score.score_clips(
                state.evaluated, data.clips, world=world, precision=evaluation_precision(job.options.precision),
                batch_size=score.default_batch_size(data.clips), advance=advance_or_end,
            )  # fmt: skip
    result = score.result_of(job.preset, data.split, scores)
    seconds = round(time.perf_counter() - began, 3)
    context.log.write({"mode": "val", "epoch": epoch, **result.metrics, "time": seconds})
    shown = metrics.informative(result.metrics, job.preset.model.num_classes)
    if world.is_first and shown:  # empty for a split with hidden labels
        text = ", ".join(f"{name} {100 * value:.2f} %" for name, value in shown.items())
        job.reporter.note(f"Epoch {epoch}/{job.preset.train.epochs}: validation {text}")
    return result


def _has_stalled(state: State, patience: int | None) -> bool:
    """Whether the best epoch is at least `patience` epochs ago."""
    return bool(patience and state.best and state.epoch - state.best["epoch"] >= patience)


def _update_best(state: State, measured: dict[str, float], epoch: int) -> bool:
    """Remember a top-1 accuracy strictly greater than all before; whether it was."""
    top1 = measured.get("top1_acc")
    if top1 is None or (state.best and top1 <= state.best["top1_acc"]):
        return False
    state.best = {"top1_acc": top1, "epoch": epoch}
    return True


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
