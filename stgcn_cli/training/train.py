"""Train: for every epoch: seed, train, validate, log, save. What varies is a pure function of (seed, epoch, rank).

Shapes: N clips of a batch.
"""

import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from stgcn_cli.config import class_names, presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data.loader import Clips
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.data.statistics import describe
from stgcn_cli.evaluation import metrics, results, score
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint, history, transfer
from stgcn_cli.runs.checkpoint import Checkpoint
from stgcn_cli.runs.log import NullLog, RunLog
from stgcn_cli.runtime.distributed import World
from stgcn_cli.runtime.memory import tune_allocator
from stgcn_cli.runtime.precision import dtype_of, set_up
from stgcn_cli.training.options import State, TrainPlan
from stgcn_cli.training.step import batches_of_epoch, is_due, train_epoch
from stgcn_cli.training.tensorboard import TensorBoardLog

BUCKET_MB = 4  # three buckets for 3.1 M parameters, so that their reduction overlaps with the backward pass


def train(plan: TrainPlan, world: World) -> dict[str, Any]:
    """The worker: trains to the last epoch and returns the best and the last validation. Goes on from last.pth."""
    tune_allocator()
    set_up(plan.precision, plan.deterministic)
    stores = open_stores(plan.pickles)
    split = find_split(stores, plan.preset.data.train)
    clips = Clips.of(split, plan.preset.data, world.device, dtype_of(plan.precision))
    val = find_split(stores, plan.preset.data.val) if plan.validate else None
    val_clips = Clips.of(val, plan.preset.data, world.device, dtype_of(plan.precision)) if val else None
    state = start(plan, world)
    net = _parallel(state.model, world)
    log: NullLog = RunLog(plan.folder) if world.is_first else NullLog()
    if isinstance(log, RunLog):
        log.cut_back(state.epoch, state.step)
        if state.epoch or state.step:
            log.write(_resumption(plan, state))
    if plan.tensorboard and world.is_first:
        steps = len(batches_of_epoch(plan, len(clips), 0, 0, world.size))
        log = TensorBoardLog(log, plan.folder, steps, state.epoch * steps + state.step)
    about = describe(split) if world.is_first else {}
    last: dict[str, float] = {}
    for epoch in range(state.epoch, plan.preset.train.epochs):
        train_epoch(plan, world, state, net, clips, split, log, epoch, save=saver(plan, world, state, about))
        state.epoch, state.step, state.sums = epoch + 1, 0, []
        is_best = False
        if val and val_clips and is_due(state.epoch, plan.preset.train.validate_every, plan.preset.train.epochs):
            measured = validate(plan, world, state, val, val_clips, log)
            last = measured.metrics
            is_best = _note_best(state, last)
            if is_best and world.is_first:
                results.write(measured, plan.folder / "best.result.npz")
        if world.is_first:
            log.results()
            save_epoch(plan, state, about, is_best)
    return {"best": state.best, "last": last, "epochs": state.epoch, "skipped": state.skipped}


def start(plan: TrainPlan, world: World) -> State:
    """Fresh weights from the seed, or those to go on from: the run's newest checkpoint, --resume-from or --load-from.

    Rank 0 reads; the others get it from there, so that the run folder may lie on one machine alone.
    """
    torch.manual_seed(plan.seed)
    model = build_model(plan.preset).to(dtype_of(plan.precision))
    going_on, weights = _shared(_to_start_from(plan) if world.is_first else (None, None), world)
    if going_on:
        checkpoint.load_into(model, going_on)
    elif weights:
        transfer.load_fitting(model, weights)
    freeze(model, plan.freeze)
    model.to(world.device)
    state = State(model, build_optimizer(plan.preset, model))
    if going_on:
        checkpoint.load_optimizer(state.optimizer, going_on)
        _go_on(state, going_on.meta)
    return state


def _to_start_from(plan: TrainPlan) -> tuple[Checkpoint | None, Checkpoint | None]:
    """The checkpoint to go on from, and that to take weights from."""
    going_on = history.newest(plan.folder, plan.reporter.warn)
    if going_on is None and plan.resume_from:
        going_on = checkpoint.read(plan.resume_from)
    return going_on, checkpoint.read(plan.load_from) if plan.load_from and not going_on else None


def _shared(found: Any, world: World) -> Any:
    if world.size > 1:
        everyones = [found]
        distributed.broadcast_object_list(everyones, 0, device=world.device)
        return everyones[0]
    return found


def _go_on(state: State, meta: dict[str, Any]) -> None:
    """Take up what the checkpoint says of the run; a step inside an epoch only where its sums are there."""
    state.epoch, state.skipped = int(meta.get("epoch", 0)), int(meta.get("skipped", 0))
    state.best = dict(meta["best"]) if meta.get("best") else None
    if meta.get("step") and len(meta.get("sums", ())) == 4:
        state.step, state.sums = int(meta["step"]), list(meta["sums"])


def freeze(model: nn.Module, what: str | None) -> None:
    """Keep the weights of "backbone" as they are; None: all are trained."""
    if what == "backbone":
        model.backbone.requires_grad_(False)  # type: ignore[union-attr, operator]


def _resumption(plan: TrainPlan, state: State) -> dict[str, Any]:
    """The log's word that a run went on, and whether since a worker had died."""
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    if restarts:
        where = f"epoch {state.epoch + 1}" + (f", iteration {state.step + 1}" if state.step else "")
        plan.reporter.warn(f"A worker died; all were started again (restart {restarts}) and go on at {where}.")
    return {"mode": "resumed", "epoch": state.epoch, "iter": state.step, "restarts": restarts}


def build_optimizer(preset: Preset, model: nn.Module) -> torch.optim.Optimizer:
    """SGD on all parameters, as published."""
    o = preset.optim
    fused = next(model.parameters()).is_cuda
    return torch.optim.SGD(
        model.parameters(), o.lr, o.momentum, weight_decay=o.weight_decay, nesterov=o.nesterov,
        **({"fused": True} if fused else {"foreach": True}),
    )  # fmt: skip


def _parallel(model: nn.Module, world: World) -> nn.Module:
    """Gradients averaged over ranks; BatchNorm buffers stay each rank's own, as in the reference."""
    if world.size == 1:
        return model
    for harmless in ("`broadcast_buffers` is deprecated", "Grad strides do not match bucket view strides"):
        warnings.filterwarnings("ignore", message=harmless)
    ids = [world.device.index] if world.device.type == "cuda" else None
    return DistributedDataParallel(
        model, device_ids=ids, broadcast_buffers=False, bucket_cap_mb=BUCKET_MB, gradient_as_bucket_view=True
    )


def validate(plan: TrainPlan, world: World, state: State, split: Split, clips: Clips, log: NullLog) -> EvalResult:
    """Scores and metrics of the validation split, shared by all ranks; logged by rank 0."""
    began = time.perf_counter()
    if world.size > 1:  # every rank measures what is saved, as in the reference: rank 0's BatchNorm statistics
        for buffer in state.model.buffers():
            distributed.broadcast(buffer, 0)
    with plan.reporter.progress("validate", len(clips), shown=world.is_first) as advance:
        scores = score.score_clips(
            state.model, clips, world=world, precision=plan.precision,
            batch_size=score.default_batch_size(clips), advance=advance,
        )  # fmt: skip
    result = score.result_of(plan.preset, split, scores)
    log.write({"mode": "val", "epoch": state.epoch, **result.metrics, "time": round(time.perf_counter() - began, 3)})
    shown = metrics.informative(result.metrics, plan.preset.model.num_classes)
    if world.is_first and shown:  # of a split whose labels are hidden, there is nothing to say
        said = ", ".join(f"{name} {100 * value:.2f} %" for name, value in shown.items())
        plan.reporter.note(f"Epoch {state.epoch}/{plan.preset.train.epochs}: validation {said}")
    return result


def _note_best(state: State, measured: dict[str, float]) -> bool:
    """Remember a top-1 strictly greater than all before."""
    top1 = measured.get("top1_acc")
    if top1 is None or (state.best and top1 <= state.best["top1_acc"]):
        return False
    state.best = {"top1_acc": top1, "epoch": state.epoch}
    return True


def saver(plan: TrainPlan, world: World, state: State, about: dict[str, Any]) -> Callable[[], None]:
    """What writes last.pth in the middle of an epoch; nothing on ranks that do not speak."""

    def save() -> None:
        history.save_last(plan.folder, checkpoint.contents(state.model, _meta(plan, state, about), state.optimizer))

    return save if world.is_first else lambda: None


def save_epoch(plan: TrainPlan, state: State, about: dict[str, Any], is_best: bool) -> None:
    """last.pth every epoch, epoch_N.pth at the preset's interval, best.pth when this is the best."""
    meta = _meta(plan, state, about)
    whole = checkpoint.contents(state.model, meta, state.optimizer)
    if is_best:
        checkpoint.save(plan.folder / "best.pth", checkpoint.contents(state.model, meta))
    if is_due(state.epoch, plan.preset.train.checkpoint_every, plan.preset.train.epochs):
        checkpoint.save(plan.folder / f"epoch_{state.epoch}.pth", whole)
    history.save_last(plan.folder, whole)


def _meta(plan: TrainPlan, state: State, about: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of itself: plain values, so that reading it needs no allow-list."""
    meta: dict[str, Any] = {
        "preset": presets.to_toml(plan.preset), "CLASSES": class_names.class_names(plan.preset), "trained_on": about,
        "epoch": state.epoch, "seed": plan.seed, "best": state.best, "skipped": state.skipped,
    }  # fmt: skip
    return meta | ({"step": state.step, "sums": state.sums} if state.step else {})
