"""One pass over the training clips: every step a pure function of (seed, epoch, rank, step) and the weights before it.

Shapes: N clips of a batch.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor, distributed, nn

from stgcn_cli.config.schema import Preset
from stgcn_cli.data.loader import Clips, epoch_order, shard
from stgcn_cli.data.splits import Split
from stgcn_cli.runs.log import NullLog
from stgcn_cli.runtime.distributed import World
from stgcn_cli.runtime.precision import computing
from stgcn_cli.training.monitor import Monitor
from stgcn_cli.training.optim import build_loss, learning_rate
from stgcn_cli.training.options import State, TrainPlan

# One step of training: forward, loss, backward, update; with --skip-nonfinite, a step that may be left out.
#
# Shapes: N clips of a batch.

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor] | None]


def build_loss_of(preset: Preset) -> Callable[[Tensor, Tensor], Tensor]:
    """The preset's loss: logits (N, classes), labels (N,) -> a number."""
    counts = preset.loss.class_counts
    if isinstance(counts, str):
        raise TypeError('loss.class_counts = "data" is resolved before training')
    return build_loss(preset.loss.name, counts, preset.loss.beta, preset.loss.gamma)


def step_function(plan: TrainPlan, world: World, state: State, net: nn.Module) -> Step:
    """x (N, C, T, V, M), labels (N,) -> loss () and logits (N, classes), the weights changed; None: left out."""
    loss_of = build_loss_of(plan.preset)

    def gradients(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with computing(plan.precision, world.device):
            logits = net(x)
        loss = loss_of(logits, labels)
        loss.backward()
        return loss.detach(), logits.detach()

    def update() -> None:
        """Gradients are let go at once: kept through the next forward pass they lie between the feature maps' places,
        and a step at batch 16 takes 5.2 GB in place of 5.9 (glibc, its memory kept)."""
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)

    def step(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        made = gradients(x, labels)
        update()
        return made

    def tolerant_step(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        """Waits for the device, and keeps a copy of BatchNorm's statistics: what tolerance costs."""
        before = [buffer.clone() for buffer in state.model.buffers()]
        made = gradients(x, labels)
        if not _is_finite(made[0], state.model, world):
            for buffer, kept in zip(state.model.buffers(), before, strict=True):
                buffer.copy_(kept)
            state.optimizer.zero_grad(set_to_none=True)
            return None
        update()
        return made

    return tolerant_step if plan.skip_nonfinite else step


def _is_finite(loss: Tensor, model: nn.Module, world: World) -> bool:
    """Whether loss and gradients are finite numbers, on every rank."""
    found = [p.grad.sum() for p in model.parameters() if p.grad is not None]  # an infinite or NaN entry stays in a sum
    bad = (~torch.isfinite(torch.stack([loss.float(), *(each.float() for each in found)]))).any().int()
    if world.size > 1:
        distributed.all_reduce(bad, op=distributed.ReduceOp.MAX)
    return not bool(bad)


_EPOCHS, _STEPS = 1_000_003, 7_919  # primes: seeds of near (seed, epoch, step) do not meet


def seed_step(plan: TrainPlan, world: World, epoch: int, step: int) -> None:
    """Randomness (dropout) as a function of seed, epoch, step and, with --diff-seed, rank."""
    own = plan.seed + (world.rank if plan.diff_seed else 0)
    torch.manual_seed((own * _EPOCHS + epoch) * _STEPS + step)


def batches_of_epoch(plan: TrainPlan, clips: int, epoch: int, rank: int, world: int) -> tuple[Tensor, ...]:
    """The clip indices of each step of a rank, a pure function of (seed, epoch, rank)."""
    order = epoch_order(clips, plan.seed, epoch, plan.preset.data.passes)
    return shard(order, rank, world).split(plan.preset.train.batch_size // world)


def is_due(count: int, every: int, last: int) -> bool:
    """Whether something done every `every` counts, and at the last one, is due now."""
    return count % every == 0 or count == last


def train_epoch(
    plan: TrainPlan, world: World, state: State, net: nn.Module, clips: Clips, split: Split, log: NullLog, epoch: int,
    save: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """The rest of an epoch: this rank's batches from `state.step` on. Raises RunError when a loss is not finite.

    `save` is called at a log point when `plan.save_every` seconds have passed since the last checkpoint.
    """
    set_training(net, plan.freeze)
    lr = learning_rate(plan.preset.optim, epoch)
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    steps = batches_of_epoch(plan, len(clips), epoch, world.rank, world.size)
    watch = Monitor(plan, world, epoch, lr, _naming(plan, world, split, clips, epoch), state)
    step_of = step_function(plan, world, state, net)
    saved = time.monotonic()
    label = f"epoch {epoch + 1}/{plan.preset.train.epochs}"
    with plan.reporter.progress(label, len(clips) * plan.preset.data.passes, shown=world.is_first) as advance:
        advance(sum(map(len, steps[: state.step])) * world.size)
        for step, index in enumerate(steps[state.step :], state.step):
            began = time.perf_counter()
            x, labels = clips.batch(index)
            fetched = time.perf_counter() - began
            seed_step(plan, world, epoch, step)
            made = step_of(x, labels)
            if made:
                watch.add(step, *made, labels, fetched)
            else:
                log.write(watch.leave_out(step, state))
            if is_due(step + 1, plan.preset.train.log_every, len(steps)):
                log.write(watch.read_out(step))
                if time.monotonic() - saved >= plan.save_every and step + 1 < len(steps):
                    state.step, state.sums = step + 1, watch.whole.tolist()
                    save()
                    saved = time.monotonic()
            advance(len(index) * world.size, **watch.words)
    log.write(watch.epoch_record())
    watch.tell_epoch()
    watch.warn_if_stuck()


def _naming(plan: TrainPlan, world: World, split: Split, clips: Clips, epoch: int) -> Callable[[int, int], list[str]]:
    """(step, rank) -> the names of the clips of that step: they follow from seed, epoch and step."""
    return lambda step, rank: split.names(batches_of_epoch(plan, len(clips), epoch, rank, world.size)[step].tolist())


def set_training(net: nn.Module, freeze: str | None) -> None:
    """Training mode; a frozen backbone stays in evaluation mode, so that its BatchNorm statistics stay too."""
    net.train()
    if freeze == "backbone":
        (net.module if hasattr(net, "module") else net).backbone.eval()  # type: ignore[union-attr, operator]
