"""Losses, optimizers and learning rates: one function each, chosen by the preset.

Shapes: N clips of a batch. Losses are computed in float32 (float64 for float64 logits), also under autocast.
"""

import copy
import functools
import math
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


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy over the clips; `smoothing` is the share of each label given to all classes."""
    with torch.autocast(logits.device.type, enabled=False):
        return F.cross_entropy(_precise(logits), labels, label_smoothing=smoothing)


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
    placed: dict[tuple[torch.device, torch.dtype], Tensor] = {}  # once, so that no step waits for a copy

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
        key = logits.device, dtype
        if key not in placed:
            placed[key] = weights.to(*key)
        return cb_focal_loss(logits, labels, placed[key], config.gamma)

    return loss


LOSSES: dict[str, Callable[[LossConfig], Loss]] = {
    "cross-entropy": lambda config: functools.partial(cross_entropy, smoothing=config.label_smoothing),
    "cb-focal": _build_cb_focal,
}


def build_optimizer(preset: Preset, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of the preset over all parameters, in one group."""
    config, parameters = preset.optim, list(model.parameters())
    way = {"fused": True} if parameters[0].is_cuda else {"foreach": True}
    return OPTIMIZERS[config.name](parameters, config, way)


def _sgd(parameters: list[nn.Parameter], config: OptimConfig, way: dict[str, bool]) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        parameters, config.lr, config.momentum, weight_decay=config.weight_decay, nesterov=config.nesterov, **way
    )


def _adam(parameters: list[nn.Parameter], config: OptimConfig, way: dict[str, bool]) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(parameters, config.lr, config.betas, weight_decay=config.weight_decay, **way)


OPTIMIZERS = {"sgd": _sgd, "adam": _adam, "adamw": _adam}


def learning_rate(config: OptimConfig, iteration: int, steps: int, epochs: int) -> float:
    """Return the rate of a 0-based iteration in a training of `epochs` epochs with `steps` iterations each."""
    rate = SCHEDULES[config.schedule](config, iteration // steps, iteration / (steps * epochs))
    warmup = config.warmup_epochs * steps
    return rate * min(1.0, (iteration + 1) / warmup) if warmup else rate


def _step(config: OptimConfig, epoch: int, share: float) -> float:
    """`lr` times `gamma` for each step reached (step 10: from the 11th epoch on)."""
    return config.lr * config.gamma ** sum(step <= epoch for step in config.steps)


def _cosine(config: OptimConfig, epoch: int, share: float) -> float:
    """Half a cosine from `lr` to `min_lr` over the `share` of all iterations that are done."""
    return config.min_lr + (config.lr - config.min_lr) * 0.5 * (1 + math.cos(math.pi * share))


SCHEDULES = {"step": _step, "cosine": _cosine}


class WeightAverage:
    """Exponential moving average of weights and buffers: `model` is what is evaluated and saved.

    In the first iterations the decay is smaller, (1 + i) / (10 + i), so that the fresh weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, iteration: int) -> None:
        """Take in the weights after a 0-based iteration."""
        share = 1 - min(self.decay, (1 + iteration) / (10 + iteration))
        for mean, new in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(new, share)
            else:
                mean.copy_(new)
