"""The training worker: for each epoch train, validate, log, save. All randomness follows from (seed, epoch, rank, step)."""

import dataclasses
import functools
import os
import time
from typing import Any

from torch import distributed

from stgcn_cli.data.loader import Clips
from stgcn_cli.data.splits import find_split, open_stores
from stgcn_cli.data.statistics import describe
from stgcn_cli.data.store import Store
from stgcn_cli.evaluation import metrics, results, score
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.runs.log import NullLog, RunLog
from stgcn_cli.runtime.distributed import World
from stgcn_cli.runtime.memory import tune_allocator
from stgcn_cli.runtime.precision import dtype_of, evaluation_precision, set_up, without_tf32
from stgcn_cli.runtime.stop import StopRequest
from stgcn_cli.training.monitor import CollapseWarning
from stgcn_cli.training.options import Dataset, Job, State, TrainContext, learner_of
from stgcn_cli.training.start import save_epoch, save_step, start
from stgcn_cli.training.static_step import StaticSteps, compile_blocks
from stgcn_cli.training.step import EagerSteps, batches_of_epoch, is_due, train_epoch
from stgcn_cli.training.trackers import TensorBoardLog, WandbLog


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
            job=job, learner=learner_of(options, world, state), data=training, log=log, save=save, stop=stop
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
