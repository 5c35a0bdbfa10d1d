"""Weights without a file: the rule by which the reference figures drew theirs."""

import numpy as np
import torch
from torch import nn


def fill(model: nn.Module, variant: str) -> None:
    """Fill `model` by the rule; variant "B" keeps edge_importance near 1, which makes the graph branch count."""
    rng, state = np.random.default_rng(20180123), model.state_dict()
    for key in sorted(state):
        if state[key].is_floating_point() and key != "backbone.A":
            state[key] = torch.from_numpy(_draw(rng, key, tuple(state[key].shape), variant).astype(np.float32))
    model.load_state_dict(state)


def _draw(rng: np.random.Generator, key: str, shape: tuple[int, ...], variant: str) -> np.ndarray:
    is_scale = key.endswith("running_var") or (key.endswith(".weight") and len(shape) == 1)
    if is_scale or (variant == "B" and "edge_importance" in key):
        return rng.uniform(0.5, 1.5, shape)
    if len(shape) >= 2:
        return rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
    return rng.normal(0, 0.02, shape)


def by_rules(figures: dict, state: dict) -> dict:
    """A state dict drawn by the rule that reference figures state for each key: "uniform(.5,1.5)", "normal(0,.02)", "keep"."""
    rng, rules = np.random.default_rng(figures["weight_seed"]), {key: rule for key, _, _, rule, *_ in figures["keys"]}
    for key in sorted(state):
        kind, _, numbers = rules[key].rstrip(")").partition("(")
        if kind not in ("uniform", "normal"):
            continue
        shape = tuple(state[key].shape)
        low, high = numbers.split(",")
        divided, _, fan_in = high.partition("/")
        second = float(divided) / (np.sqrt(np.prod(shape[1:])) if fan_in else 1)
        state[key] = torch.from_numpy(getattr(rng, kind)(float(low), second, shape).astype(np.float32))
    return state


def by_pyskl_rules(figures: dict, graph: torch.Tensor) -> dict:
    """A state dict under PYSKL's names, drawn by the rule of its figures; `graph` is what every block begins with."""
    rng = np.random.default_rng(figures["weight_seed"])
    shapes = {key: tuple(shape) for key, shape, *_ in figures["keys"]}
    is_pp, state = any(".branches." in key for key in shapes), {}
    for key in sorted(shapes):
        shape, is_norm = shapes[key], key.removesuffix("weight") + "running_var" in shapes
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
            continue
        if key.endswith(".gcn.A"):
            state[key] = (graph + torch.from_numpy(rng.normal(0, 0.02, shape))).float() if is_pp else graph.clone()
            continue
        if key.endswith(("running_var", ".PA")) or is_norm:
            drawn = rng.uniform(0.5, 1.5, shape)
        elif is_pp and key == "cls_head.fc_cls.weight":
            drawn = rng.normal(0, 0.01, shape)
        elif len(shape) >= 2:
            drawn = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
        else:
            drawn = rng.normal(0, 0.02, shape)
        state[key] = torch.from_numpy(drawn.astype(np.float32))
    return state
