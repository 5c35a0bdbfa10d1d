"""Floating-point operations of a network, counted by torch while it computes a clip; a multiply-add counts as two."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """Operations of one clip: forward alone, and of a training step (forward and backward)."""

    forward: float
    step: float


def cost_of_clip(model: nn.Module, shape: tuple[int, int, int, int]) -> Cost:
    """Return the cost of a clip of this shape (C, T, V, M) with M different persons, for what `model` trains, on the CPU.

    The buffers of BatchNorm change: count on a network that is not used afterwards.
    """
    with FlopCounterMode(display=False, custom_mapping=_IN_PLACE) as counter:
        logits = model(torch.randn(1, *shape))
        forward = counter.get_total_flops()
        logits.sum().backward()
    return Cost(forward, counter.get_total_flops())


def _product(added: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...], **more: Any) -> int:
    """Operations of added += a @ b, from shapes."""
    return 2 * math.prod(added) * a[-1]


_IN_PLACE = {torch.ops.aten.addmm_: _product, torch.ops.aten.baddbmm_: _product}  # unknown to the counter
