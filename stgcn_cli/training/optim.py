"""Losses, optimizers and learning rates: one function each, chosen by the preset.

Shapes: N clips of a batch. Losses are computed in float32 (float64 for float64 logits), also under autocast.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgcn_cli.config.schema import LossConfig, OptimConfig, Preset

Loss = Callable[[Tensor, Tensor], Tensor]


def build_loss(config: LossConfig) -> Loss:
    """Return the loss of a preset as a function of logits (N, classes) and labels (N,).

    Raises TypeError when class counts are to be counted in the data (`preflight.with_counts` replaces them by numbers).
    """
    return LOSSES[config.name](config)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over the clips."""
    with torch.autocast(logits.device.type, enabled=False):
        return F.cross_entropy(_precise(logits), labels)


def class_weights(counts: Sequence[int], beta: float = 0.9999) -> Tensor:
    """Return the weight (1 - beta) / (1 - beta^n) of a class with n clips, float64 (classes,), scaled to a mean of 1.

    A class without clips has weight 0 and does not count in the mean. Source: Cui et al. 2019, "Class-Balanced Loss".
    """
    clips = torch.as_tensor(counts, dtype=torch.float64)
    present = clips > 0
    weights = torch.where(present, (1 - beta) / (1 - beta ** clips.clamp(min=1)), 0)
    return weights * present.sum() / weights.sum()


def cb_focal_loss(logits: Tensor, labels: Tensor, weights: Tensor, gamma: float = 2.0) -> Tensor:
    """Class-balanced sigmoid focal loss: summed over classes, weighted by the true class, averaged over clips.

    Source: Cui et al. 2019 and the BABEL baseline. The published exp(-g t x - g log(1 + exp(-x))) overflows for large
    negative x; written with the log-sigmoid of the signed logit it is the same number and finite everywhere.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = _precise(logits)
        weights = weights.to(logits)
        is_true = F.one_hot(labels, logits.shape[1]).bool()
        signed = torch.where(is_true, logits, -logits)
        loss = -F.logsigmoid(signed) * torch.exp(gamma * F.logsigmoid(-signed))
        return (weights[labels] @ loss.sum(1)) / len(labels)


def _precise(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _build_cb_focal(config: LossConfig) -> Loss:
    if config.class_counts is None or isinstance(config.class_counts, str):
        raise TypeError(f"loss.class_counts = {config.class_counts!r}: expected one number per class")
    weights = class_weights(config.class_counts, config.beta)
    return lambda logits, labels: cb_focal_loss(logits, labels, weights, config.gamma)


LOSSES: dict[str, Callable[[LossConfig], Loss]] = {
    "cross-entropy": lambda config: cross_entropy,
    "cb-focal": _build_cb_focal,
}


def build_optimizer(preset: Preset, model: nn.Module) -> torch.optim.Optimizer:
    """Return SGD over all parameters, as published."""
    config = preset.optim
    fused = next(model.parameters()).is_cuda
    return torch.optim.SGD(
        model.parameters(), config.lr, config.momentum, weight_decay=config.weight_decay, nesterov=config.nesterov,
        **({"fused": True} if fused else {"foreach": True}),
    )  # fmt: skip


def learning_rate(config: OptimConfig, epoch: int) -> float:
    """Return the rate of a 0-based epoch: `lr` times `gamma` for each step reached (step 10: from the 11th epoch on)."""
    return config.lr * config.gamma ** sum(step <= epoch for step in config.steps)
