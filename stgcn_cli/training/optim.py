"""Losses: from logits (N, classes) and labels (N,) to one number.

Shapes: N clips. Losses are computed in float32 (float64 for float64 logits), whatever autocast says.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from stgcn_cli.config.schema import OptimConfig


def build_loss(
    name: str, class_counts: Sequence[int] | None = None, beta: float = 0.9999, gamma: float = 2.0
) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss called `name` ("cross-entropy" or "cb-focal") as a function of logits (N, classes) and labels (N,).

    "cb-focal" needs `class_counts` (training clips per class); `beta` and `gamma` are as in `class_weights` and
    `cb_focal_loss`. Names and counts were checked with the preset (`config_reading.py`, `config_checks.py`).
    """
    if name == "cross-entropy":
        return cross_entropy
    assert name == "cb-focal" and class_counts is not None
    weights = class_weights(class_counts, beta)
    return lambda logits, labels: cb_focal_loss(logits, labels, weights, gamma)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the clips."""
    with torch.autocast(logits.device.type, enabled=False):
        return F.cross_entropy(_precise(logits), labels)


def class_weights(counts: Sequence[int], beta: float = 0.9999) -> Tensor:
    """Weight (1 - beta) / (1 - beta^n) of a class with n clips, float64 (classes,), rescaled to a mean of 1.

    A class without clips gets weight 0 and is left out of the rescaling. Source: Cui et al. 2019, "Class-Balanced Loss".
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


# Learning rates as pure functions of the epoch.


def learning_rate(optim: OptimConfig, epoch: int) -> float:
    """The rate of a 0-based epoch: `lr` times `gamma` for every step reached (step 10 = from the 11th epoch on)."""
    return optim.lr * optim.gamma ** sum(step <= epoch for step in optim.steps)
