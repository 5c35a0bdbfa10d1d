"""One step of training: forward, loss, backward, update; with --skip-nonfinite, a step that may be left out.

Shapes: N clips of a batch.
"""

from collections.abc import Callable

import torch
from torch import Tensor, distributed, nn

from stgcn_cli.config import Preset
from stgcn_cli.distributed import World
from stgcn_cli.losses import build_loss
from stgcn_cli.precision import computing
from stgcn_cli.train_plan import State, TrainPlan

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
