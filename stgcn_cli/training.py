"""Train: for every epoch: seed, train, validate, log, save. What varies is a pure function of (seed, epoch, rank).

Shapes: N clips of a batch.
"""

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from stgcn_cli import checkpoint, evaluation, presets
from stgcn_cli.batches import Clips, epoch_order, shard
from stgcn_cli.config import Preset
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.distributed import World
from stgcn_cli.losses import build_loss
from stgcn_cli.memory import keep_memory
from stgcn_cli.models import build_model
from stgcn_cli.precision import computing, dtype_of, set_up
from stgcn_cli.runlog import NullLog, RunLog
from stgcn_cli.schedules import learning_rate
from stgcn_cli.screen import SILENT, Screen
from stgcn_cli.watch import Watch

BUCKET_MB = 4  # three buckets for 3.1 M parameters, so that their reduction overlaps with the backward pass


@dataclass(frozen=True)
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
    screen: Screen = SILENT


@dataclass
class State:
    """What training changes: weights, optimiser, epochs done, the best top-1 so far."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    best: dict[str, float] | None = None  # {"top1_acc", "epoch"}


def train(plan: TrainPlan, world: World) -> dict[str, Any]:
    """The worker: trains to the last epoch and returns the best and the last validation. Goes on from last.pth."""
    keep_memory()
    set_up(plan.precision, plan.deterministic)
    stores = open_stores(plan.pickles)
    split = find_split(stores, plan.preset.data.train)
    clips = Clips.of(split, plan.preset.data, world.device, dtype_of(plan.precision))
    val = find_split(stores, plan.preset.data.val) if plan.validate else None
    val_clips = Clips.of(val, plan.preset.data, world.device, dtype_of(plan.precision)) if val else None
    state = start(plan, world)
    net = _parallel(state.model, world)
    log = RunLog(plan.folder) if world.is_first else NullLog()
    if isinstance(log, RunLog):
        log.cut_back(state.epoch)
    last: dict[str, float] = {}
    for epoch in range(state.epoch, plan.preset.train.epochs):
        seed(plan, world, epoch)
        train_epoch(plan, world, state, net, clips, split, log, epoch)
        state.epoch = epoch + 1
        is_best = False
        if val and val_clips and is_due(state.epoch, plan.preset.train.validate_every, plan.preset.train.epochs):
            last = validate(plan, world, state, val, val_clips, log)
            is_best = _note_best(state, last)
        if world.is_first:
            log.results()
            save(plan, state, is_best)
    return {"best": state.best, "last": last, "epochs": state.epoch}


def start(plan: TrainPlan, world: World) -> State:
    """Fresh weights from the seed, or those to go on from: last.pth of the run, else --resume-from or --load-from."""
    torch.manual_seed(plan.seed)
    model = build_model(plan.preset).to(dtype_of(plan.precision))
    going_on = checkpoint.newest(plan.folder) or plan.resume_from
    found = going_on or plan.load_from
    read = checkpoint.read(found) if found else None
    if read:
        checkpoint.load_into(model, read)
    model.to(world.device)
    state = State(model, build_optimizer(plan.preset, model))
    if read and going_on:
        checkpoint.load_optimizer(state.optimizer, read)
        state.epoch, best = int(read.meta.get("epoch", 0)), read.meta.get("best")
        state.best = dict(best) if best else None
    return state


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


def seed(plan: TrainPlan, world: World, epoch: int) -> None:
    """Randomness of an epoch (dropout) as a function of seed, epoch and, with --diff-seed, rank."""
    torch.manual_seed((plan.seed + (world.rank if plan.diff_seed else 0)) * 1_000_003 + epoch)


def batches_of_epoch(plan: TrainPlan, clips: int, epoch: int, rank: int, world: int) -> tuple[Tensor, ...]:
    """The clip indices of each step of a rank, a pure function of (seed, epoch, rank)."""
    order = epoch_order(clips, plan.seed, epoch, plan.preset.data.passes)
    return shard(order, rank, world).split(plan.preset.train.batch_size // world)


def train_epoch(
    plan: TrainPlan, world: World, state: State, net: nn.Module, clips: Clips, split: Split, log: NullLog, epoch: int
) -> None:
    """One pass over this rank's batches. Raises RunError when a loss is not finite, naming the clips."""
    net.train()
    lr = learning_rate(plan.preset.optim, epoch)
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    loss_of = build_loss_of(plan.preset)
    steps = batches_of_epoch(plan, len(clips), epoch, world.rank, world.size)

    def names_of(step: int, rank: int) -> list[str]:
        return split.names(batches_of_epoch(plan, len(clips), epoch, rank, world.size)[step].tolist())

    watch = Watch(plan, world, epoch, lr, names_of)
    label = f"epoch {epoch + 1}/{plan.preset.train.epochs}"
    with plan.screen.progress(label, len(clips) * plan.preset.data.passes, shown=world.is_first) as advance:
        for step, index in enumerate(steps):
            began = time.perf_counter()
            x, labels = clips.batch(index)
            fetched = time.perf_counter() - began
            with computing(plan.precision, world.device):
                logits = net(x)
            loss = loss_of(logits, labels)
            state.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            state.optimizer.step()
            watch.add(step, loss.detach(), logits.detach(), labels, fetched)
            if is_due(step + 1, plan.preset.train.log_every, len(steps)):
                log.write(watch.read_out(step))
            advance(len(index) * world.size, **watch.words)
    log.write(watch.epoch_record())
    watch.warn_if_stuck()


def build_loss_of(preset: Preset):
    """The preset's loss: logits (N, classes), labels (N,) -> a number."""
    counts = preset.loss.class_counts
    if isinstance(counts, str):
        raise TypeError('loss.class_counts = "data" is resolved before training')
    return build_loss(preset.loss.name, counts, preset.loss.beta, preset.loss.gamma)


def validate(plan: TrainPlan, world: World, state: State, split: Split, clips: Clips, log: NullLog) -> dict[str, float]:
    """Metrics on the validation split, shared by all ranks; logged by rank 0."""
    began = time.perf_counter()
    if world.size > 1:  # every rank measures what is saved, as in the reference: rank 0's BatchNorm statistics
        for buffer in state.model.buffers():
            distributed.broadcast(buffer, 0)
    with plan.screen.progress("validate", len(clips), shown=world.is_first) as advance:
        scores = evaluation.score_clips(
            state.model, clips, world=world, precision=plan.precision,
            batch_size=evaluation.default_batch_size(clips), advance=advance,
        )  # fmt: skip
    measured = evaluation.result_of(plan.preset, split, scores).metrics
    log.write({"mode": "val", "epoch": state.epoch, **measured, "time": round(time.perf_counter() - began, 3)})
    shown = "  ".join(f"{name} {value:.4f}" for name, value in measured.items())
    if world.is_first:
        plan.screen.note(f"Epoch {state.epoch}: {shown}")
    return measured


def is_due(count: int, every: int, last: int) -> bool:
    """Whether something done every `every` counts, and at the last one, is due now."""
    return count % every == 0 or count == last


def _note_best(state: State, measured: dict[str, float]) -> bool:
    """Remember a top-1 strictly greater than all before."""
    top1 = measured.get("top1_acc")
    if top1 is None or (state.best and top1 <= state.best["top1_acc"]):
        return False
    state.best = {"top1_acc": top1, "epoch": state.epoch}
    return True


def save(plan: TrainPlan, state: State, is_best: bool) -> None:
    """last.pth every epoch, epoch_N.pth at the preset's interval, best.pth when this is the best."""
    meta = {
        "preset": presets.to_toml(plan.preset),
        "CLASSES": presets.class_names(plan.preset),
        "epoch": state.epoch,
        "seed": plan.seed,
        "best": state.best,
    }
    if is_best:
        checkpoint.save(plan.folder / "best.pth", state.model, meta)
    if is_due(state.epoch, plan.preset.train.checkpoint_every, plan.preset.train.epochs):
        checkpoint.save(plan.folder / f"epoch_{state.epoch}.pth", state.model, meta, state.optimizer)
    checkpoint.save(plan.folder / "last.pth", state.model, meta, state.optimizer)
