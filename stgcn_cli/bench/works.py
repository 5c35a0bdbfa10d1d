"""The pieces of work that are timed: the steps that `train` and `eval` take, and the same in the plain order.

Shapes: N clips, C channels, T frames, V joints, M persons.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stgcn_cli import training
from stgcn_cli.config import Preset
from stgcn_cli.distributed import World
from stgcn_cli.memory import keep_memory
from stgcn_cli.models import build_model
from stgcn_cli.models.plain import as_published
from stgcn_cli.precision import computing, dtype_of, set_up
from stgcn_cli.stepping import step_function
from stgcn_cli.train_plan import State, TrainPlan

Work = Callable[[Tensor, Tensor], Any]


def train_step(preset: Preset, device: torch.device, precision: str, plain: bool = False) -> Work:
    """x (N, C, T, V, M), labels (N,) -> loss and logits, the weights changed; `plain`: in the published order."""
    prepare(precision)
    torch.manual_seed(0)
    model = build_model(preset).to(device, dtype_of(precision)).train()
    plan = TrainPlan(preset, (), Path(), precision=precision)
    state = State(model, training.build_optimizer(preset, model))
    return step_function(plan, World(0, 1, device), state, as_published(model) if plain else model)


def eval_step(preset: Preset, device: torch.device, precision: str, plain: bool = False) -> Work:
    """x (N, C, T, V, M) -> logits on the CPU, as evaluation computes them; labels are not looked at."""
    prepare(precision)
    torch.manual_seed(0)
    model = build_model(preset).to(device, dtype_of(precision)).eval()
    net = as_published(model) if plain else model

    @torch.inference_mode()
    def step(x: Tensor, labels: Tensor) -> Tensor:
        with computing(precision, device):
            return net(x).cpu()

    return step


def prepare(precision: str) -> None:
    """The process-wide switches of training and evaluation."""
    keep_memory()
    set_up(precision, deterministic=False)
