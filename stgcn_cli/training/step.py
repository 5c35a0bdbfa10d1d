"""One epoch and one step of training: each step is a function of (seed, epoch, rank, step) and the weights before it.

Shapes: N clips of a batch, C channels, T frames, V joints, M persons.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn

from stgcn_cli.data.draws import Draws, epoch_order, shard
from stgcn_cli.data.loader import Absent, Clips
from stgcn_cli.runtime.distributed import World
from stgcn_cli.runtime.memory import memory_errors
from stgcn_cli.runtime.precision import computing
from stgcn_cli.training.monitor import Monitor
from stgcn_cli.training.optim import learning_rate
from stgcn_cli.training.options import Learner, RunOptions, TrainContext

_EPOCHS, _STEPS = 1_000_003, 7_919  # primes: seeds of near (seed, epoch, step) differ


def train_epoch(context: TrainContext, epoch: int, steps: "EagerSteps | None" = None) -> None:
    """Train the rest of a 0-based epoch: this rank's batches from `state.step` on.

    Saves at a log point once `save_minutes` have passed since the last checkpoint. Raises RunError for a non-finite loss,
    and with what to try where memory runs out.
    """
    options = context.job.options
    clips = -(-options.preset.train.batch_size // context.learner.world.size)
    with memory_errors(f"A training step of {clips} clips", memory_hint(options)):
        _train_epoch(context, epoch, steps or EagerSteps(options, context.learner, context.data.clips))


def memory_hint(options: RunOptions) -> str:
    """What to try where a training step does not fit."""
    batch, device = options.preset.train.batch_size, options.launch.device
    ways = ["share the batch: --gpus N"] if device == "cuda" else []
    ways += ["--precision bf16"] if options.precision in ("float32", "tf32", "float64") else []
    ways.append(f"a smaller batch, which is another recipe: --set train.batch_size={max(1, batch // 2)}")
    text = "; or ".join(ways)
    return f"{text[0].upper()}{text[1:]}"


def _train_epoch(context: TrainContext, epoch: int, steps: "EagerSteps") -> None:
    options, learner, log = context.job.options, context.learner, context.log
    preset, world, state, clips = options.preset, learner.world, learner.state, context.data.clips
    set_training(learner.net, options.freeze)
    batches = batches_of_epoch(options, len(clips), epoch, world.rank, world.size)
    monitor = Monitor(context, epoch, _clip_names(context, epoch))
    label, total = f"epoch {epoch + 1}/{preset.train.epochs}", len(clips) * preset.data.passes
    saved, is_random = time.monotonic(), has_dropout(learner.state.model)
    with context.job.reporter.progress(label, total, shown=world.is_first) as advance:
        advance(sum(map(len, batches[: state.step])) * world.size)
        placed = clips.placed(torch.cat(batches)).split(len(batches[0]))  # once an epoch
        todo = range(state.step, len(batches))
        for number in todo[:1]:
            steps.prepare(batches[number], placed[number], epoch)
        for number in todo:
            if is_random:
                seed_step(options, world, epoch, number)
            iteration = epoch * len(batches) + number
            monitor.lr = learning_rate(preset.optim, iteration, len(batches), preset.train.epochs)
            output, fetch_s = steps.take(monitor.lr), steps.fetch_s
            if number + 1 in todo:  # while the device computes
                steps.prepare(batches[number + 1], placed[number + 1], epoch)
            if output and state.average:
                state.average.update(state.model, iteration)
            if output:
                monitor.add(number, *output, fetch_s)
            else:
                log.write(monitor.skip_step(number))
            stops = context.stop.is_agreed()
            is_log_point = stops or is_due(number + 1, preset.train.log_every, len(batches))
            if is_log_point:
                log.write(monitor.flush(number))
                state.step, state.sums = number + 1, monitor.epoch_sums.tolist()
                if stops:
                    context.end()
                if time.monotonic() - saved >= 60 * options.save_minutes and number + 1 < len(batches):
                    context.save()
                    saved = time.monotonic()
            advance(len(batches[number]) * world.size, is_log_point, **monitor.status)
    record = monitor.epoch_record()
    log.write(record)
    monitor.report_epoch(record)


class EagerSteps:
    """Steps of a run, one operation after the other: `prepare` a batch, then `take` a step with it."""

    def __init__(self, options: RunOptions, learner: Learner, clips: Clips) -> None:
        self.options, self.learner, self.clips = options, learner, clips
        self.batch: Batch | None = None
        self.fetch_s = 0.0  # seconds of the last `prepare`

    def prepare(self, index: Tensor, placed: Tensor, epoch: int) -> None:
        """Fetch the clips `index` (N,), on the host and `placed` on the device, of a 0-based epoch."""
        began = time.perf_counter()
        self.batch = self._fetched(index, placed, epoch)
        self.fetch_s = time.perf_counter() - began

    def _fetched(self, index: Tensor, placed: Tensor, epoch: int | Tensor) -> "Batch":
        draws = Draws.of(self.options.seed, epoch, placed) if self.clips.is_random else None
        x, labels = self.clips.batch(index, draws, placed)
        return Batch(x, labels, self.clips.absent(index, placed))

    def take(self, lr: float) -> tuple[Tensor, Tensor] | None:
        """Do the step; return what `step` does, None for a step that was skipped."""
        assert self.batch is not None
        for group in self.learner.state.optimizer.param_groups:
            group["lr"] = lr
        return (tolerant_step if self.options.skip_nonfinite else step)(self.learner, self.batch)


class Batch(NamedTuple):
    """x (N, C, T, V, M), labels (N,), and the persons that are not there, where the host knows them."""

    x: Tensor
    labels: Tensor
    absent: Absent | None = None


def step(learner: Learner, batch: Batch) -> tuple[Tensor, Tensor]:
    """Update the weights with a batch; return loss () and how many classes score higher than the label of each clip (N,)."""
    output = _forward_backward(learner, batch)
    _update(learner)
    return output


def tolerant_step(learner: Learner, batch: Batch) -> tuple[Tensor, Tensor] | None:
    """Do a `step` unless loss or gradients are not finite on some rank; then nothing changes and None is returned.

    Costs a wait for the device and a copy of BatchNorm's statistics at each step.
    """
    before = [buffer.clone() for buffer in learner.state.model.buffers()]
    output = _forward_backward(learner, batch)
    if _is_finite(output[0], learner):
        _update(learner)
        return output
    for buffer, kept in zip(learner.state.model.buffers(), before, strict=True):
        buffer.copy_(kept)
    learner.state.optimizer.zero_grad(set_to_none=True)
    return None


def _forward_backward(learner: Learner, batch: Batch) -> tuple[Tensor, Tensor]:
    with computing(learner.precision, learner.world.device):
        logits = learner.net(batch.x, batch.absent)
    loss = learner.loss(logits, batch.labels)
    loss.backward()
    found = logits.detach()
    return loss.detach(), (found > found.gather(1, batch.labels[:, None])).sum(1)


def _update(learner: Learner) -> None:
    """Update the weights and free the gradients immediately.

    Gradients that are kept through the next forward pass fragment the heap: a step at batch 16 then takes 5.9 GB instead
    of 5.2 (glibc with `tune_allocator`).
    """
    if learner.clip_norm:
        torch.nn.utils.clip_grad_norm_(learner.state.model.parameters(), learner.clip_norm)
    learner.state.optimizer.step()
    learner.state.optimizer.zero_grad(set_to_none=True)


def _is_finite(loss: Tensor, learner: Learner) -> bool:
    """Whether loss and gradients are finite on every rank."""
    parameters = learner.state.model.parameters()
    sums = [p.grad.sum().float() for p in parameters if p.grad is not None]  # a sum keeps an infinite or NaN entry
    bad = (~torch.isfinite(torch.stack([loss.float(), *sums]))).any().int()
    if learner.world.size > 1:
        distributed.all_reduce(bad, op=distributed.ReduceOp.MAX)
    return not bool(bad)


def has_dropout(model: nn.Module) -> bool:
    """Whether a step draws random numbers, so that it has to be seeded."""
    return any(isinstance(each, nn.Dropout) and each.p > 0 for each in model.modules())


def seed_step(options: RunOptions, world: World, epoch: int, number: int) -> None:
    """Seed randomness (dropout) by seed, epoch, step and, with --diff-seed, rank."""
    seed = options.seed + (world.rank if options.diff_seed else 0)
    torch.manual_seed((seed * _EPOCHS + epoch) * _STEPS + number)


def batches_of_epoch(options: RunOptions, clips: int, epoch: int, rank: int, world: int) -> tuple[Tensor, ...]:
    """Return the items of each step of a rank, a pure function of (seed, epoch, rank): clip indices, see `epoch_order`."""
    order = epoch_order(clips, options.seed, epoch, options.preset.data.passes)
    size = options.preset.train.batch_size // world
    batches = shard(order, rank, world).split(size)
    is_short = len(batches) > 1 and len(batches[-1]) < size
    return batches[:-1] if options.preset.train.drop_last and is_short else batches


def is_due(count: int, every: int, last: int) -> bool:
    """Whether something done every `every` counts, and at the last one, is due now."""
    return count % every == 0 or count == last


def set_training(net: nn.Module, freeze: str | None) -> None:
    """Set training mode; a frozen backbone stays in evaluation mode, which keeps its BatchNorm statistics."""
    net.train()
    if freeze == "backbone":
        (net.module if hasattr(net, "module") else net).backbone.eval()  # type: ignore[union-attr, operator]


def _clip_names(context: TrainContext, epoch: int) -> Callable[[int, int], list[str]]:
    """Return (step, rank) -> names of the clips of that step."""
    options, data, size = context.job.options, context.data, context.learner.world.size
    return lambda number, rank: data.split.names(
        (batches_of_epoch(options, len(data.clips), epoch, rank, size)[number] % len(data.clips)).tolist()
    )
