"""Weights that need no file: drawn in the order of the sorted names, by the rule of the reference figures."""

import numpy as np
import torch
from torch import Tensor, nn


def drawn_weights(model: nn.Module, importance_near_one: bool = True) -> dict[str, Tensor]:
    """A state dict for `model`, float32; `importance_near_one` is variant B of the rule, else A."""
    state = model.state_dict()
    rng = np.random.default_rng(20180123)
    for name in sorted(state):
        shape = tuple(state[name].shape)
        positive = name.endswith("running_var") or name.removesuffix("weight") + "running_var" in state
        if not state[name].is_floating_point() or name == "backbone.A":
            continue
        if positive or (importance_near_one and "edge_importance" in name):
            drawn = rng.uniform(0.5, 1.5, shape)
        elif len(shape) >= 2:
            drawn = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
        else:
            drawn = rng.normal(0, 0.02, shape)
        state[name] = torch.tensor(drawn).float()
    return state


def drawn_input(shape: tuple[int, ...], second: bool = False) -> Tensor:
    """Input x (N, C, T, V, M) of the reference figures, or the second one, shifted per clip, channel, joint, person."""
    x = np.random.default_rng(7).normal(size=shape)
    if second:
        x = x + np.random.default_rng(11).normal(0, 2, (*shape[:2], 1, *shape[3:]))
    return torch.tensor(x).float()
