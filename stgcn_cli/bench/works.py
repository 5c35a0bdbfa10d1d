"""The pieces of work that are timed: the steps that `train` and `eval` take, and the same in the plain order.

Shapes: N clips, C channels, T frames, V joints, M persons.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from stgcn_cli import training
from stgcn_cli.config import Preset
from stgcn_cli.distributed import World
from stgcn_cli.memory import keep_memory
from stgcn_cli.models import build_model
from stgcn_cli.models.plain import as_published
from stgcn_cli.precision import computing, dtype_of, set_up
from stgcn_cli.stepping import Step, build_loss_of, step_function
from stgcn_cli.train_plan import State, TrainPlan

PLAIN = "float32"  # the precision of the plain path


def prepare(precision: str, keep: bool = True) -> None:
    """The process-wide switches of training and evaluation; they stay until the next call."""
    if keep:
        keep_memory()
    set_up(precision, deterministic=False)


def train_step(preset: Preset, device: torch.device, precision: str, plain: bool = False, keep: bool = True) -> Step:
    """x (N, C, T, V, M), labels (N,) -> loss and logits, the weights changed; `plain`: in the published order."""
    prepare(precision, keep)
    preset = with_counts(preset)
    model = _model(preset, device, precision).train()
    state = State(model, training.build_optimizer(preset, model))
    net = as_published(model) if plain else model
    step = step_function(TrainPlan(preset, (), Path(), precision=precision), World(0, 1, device), state, net)

    def prepared(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        set_up(precision, deterministic=False)
        return step(x, labels)

    return prepared


def eval_step(
    preset: Preset, device: torch.device, precision: str, plain: bool = False
) -> Callable[[Tensor, Tensor], Tensor]:
    """x (N, C, T, V, M) -> logits on the CPU, as evaluation computes them; labels are not looked at."""
    prepare(precision)
    model = _model(preset, device, precision).eval()
    net = as_published(model) if plain else model

    @torch.inference_mode()
    def step(x: Tensor, labels: Tensor) -> Tensor:
        set_up(precision, deterministic=False)
        with computing(precision, device):
            return net(x).cpu()

    return step


def parts_of_a_step(
    preset: Preset, device: torch.device, precision: str, batch: Callable[[], Tensor], labels: Tensor
) -> dict[str, Callable[[], object]]:
    """What a training step consists of, to be called in this order: gather, forward, backward, update."""
    prepare(precision)
    preset = with_counts(preset)
    model = _model(preset, device, precision).train()
    optimizer, loss_of = training.build_optimizer(preset, model), build_loss_of(preset)
    held: dict[str, Tensor] = {}

    def forward() -> None:
        with computing(precision, device):
            logits = model(held["x"])
        held["loss"] = loss_of(logits, labels)

    def backward() -> None:
        optimizer.zero_grad(set_to_none=True)
        held["loss"].backward()

    return {
        "gather": lambda: held.update(x=batch()), "forward": forward, "backward": backward, "update": optimizer.step,
    }  # fmt: skip


def with_counts(preset: Preset) -> Preset:
    """The preset with as many clips of each class as of any other, where it asks for those of the data."""
    if isinstance(preset.loss.class_counts, str):
        return replace(preset, loss=replace(preset.loss, class_counts=(100,) * preset.model.num_classes))
    return preset


def _model(preset: Preset, device: torch.device, precision: str) -> nn.Module:
    torch.manual_seed(0)
    return build_model(preset).to(device, dtype_of(precision))
