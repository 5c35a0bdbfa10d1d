"""Checkpoints {"meta", "state_dict"[, "optimizer"]}: loaded without executing code, written atomically."""

import copy
import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stgcn_cli.errors import CheckpointError
from stgcn_cli.io.download import sha256_of
from stgcn_cli.io.files import atomic_write
from stgcn_cli.io.text import printable, shown
from stgcn_cli.models import MODELS, recognise
from stgcn_cli.models.keys import Keys
from stgcn_cli.runs import archive, dialects

MOST = 10**8  # of any number that counts or scales something: epochs, steps, learning rates


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Contents of a checkpoint file: state dict on the CPU without "module." prefixes, and the keys of its network."""

    path: Path
    state: dict[str, Tensor]
    keys: Keys
    meta: dict[str, Any]
    optimizer: dict[str, Any] | None
    dialect: str = ""  # of another collection, whose names became ours
    under: str = ""  # the key of the weights, where it is not `state_dict`
    known_sha256: str = ""
    training_state: dict[str, Tensor] | None = None  # of our runs with averaged weights: the weights in training

    @property
    def preset_text(self) -> str | None:
        """The resolved preset as TOML text; None in checkpoints not written by stgcn."""
        text = self.meta.get("preset")
        return text.encode("utf-8", "replace").decode() if isinstance(text, str) else None  # halves of characters

    @property
    def config_text(self) -> str:
        """The Python config of MMAction2 as text, never executed; empty without one."""
        text = self.meta.get("config", self.meta.get("cfg"))
        return text if isinstance(text, str) else ""

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the file, in hex digits; published names carry the first 8."""
        return self.known_sha256 or sha256_of(self.path)

    @property
    def in_training(self) -> "Checkpoint":
        """The checkpoint with the weights that a run resumes with, where the state dict holds their average."""
        return self if self.training_state is None else replace(self, state=self.training_state)

    @property
    def channels(self) -> int:
        """Values per person and frame: joints times coordinates."""
        return self.keys.input_channels(self.state)

    @property
    def num_classes(self) -> int:
        """Number of classes of the head."""
        return self.keys.num_classes(self.state)


def read(path: Path, hashed: bool = False) -> Checkpoint:
    """Read a checkpoint of `stgcn` or MMAction2, or a bare state dict, to the CPU; with `hashed` its sha256 of the same opened file.

    Raises CheckpointError when it is missing, damaged, references code, or holds no weights of a known network.
    """
    path, digest = Path(path), hashlib.sha256() if hashed else None
    value = archive.read(path, digest)
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{path} contains a {type(value).__name__}, not a checkpoint.")
    if "state_dict" in value and not isinstance(value["state_dict"], Mapping):
        raise CheckpointError(
            f"{path}: its state_dict is a {type(value['state_dict']).__name__}, not a dict of tensors."
        )
    try:
        found, under = dialects.weights_in(value)
        if not found:
            names = ", ".join(printable(key) for key in list(value)[:8]) or "none"
            raise ValueError(f"is not a checkpoint of a known network: it contains no tensors; its keys are {names}")
        state, dialect = dialects.translate(found)
    except ValueError as error:
        raise CheckpointError(f"{path} {printable(error)[:300]}.", f"Networks: {', '.join(MODELS)}") from error
    keys = recognise(state)
    if keys is None or keys.head not in state or state[keys.head].ndim != 4:
        names = ", ".join(printable(key) for key in list(state)[:3])
        raise CheckpointError(
            f"{path} is not a checkpoint of a known network: it contains {names}.",
            "Expected backbone.* and cls_head.fc.*",
        )
    meta, training = (
        dict(each) if isinstance(each := value.get(key), Mapping) else {} for key in ("meta", "training_state_dict")
    )
    return Checkpoint(
        path=path, state=state, keys=keys, meta=meta, dialect=dialect, under=under,
        optimizer=None if dialect else value.get("optimizer"),  # its parameters would be in another order
        known_sha256=digest.hexdigest() if digest else "",
        training_state={str(k): v for k, v in training.items() if isinstance(v, Tensor)} or None,
    )  # fmt: skip


def load_into(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Load all weights strictly.

    Raises CheckpointError listing missing, extra and misshapen entries and the cause, and for weights that are no numbers.
    """
    check_values(checkpoint)
    wanted = model.state_dict()
    rows = [f"  missing    {key}  {tuple(wanted[key].shape)}" for key in wanted if key not in checkpoint.state]
    for key, tensor in checkpoint.state.items():
        if key not in wanted:
            rows.append(f"  extra      {printable(key)}  {tuple(tensor.shape)}")
        elif tensor.shape != wanted[key].shape:
            rows.append(f"  misshapen  {key}  {tuple(tensor.shape)}, expected {tuple(wanted[key].shape)}")
    if rows:
        more = [f"  and {len(rows) - 8} more"] if len(rows) > 8 else []
        message = f"{checkpoint.path} does not fit the model:\n" + "\n".join(rows[:8] + more)
        raise CheckpointError(message, _likely_cause(wanted, checkpoint))
    model.load_state_dict(checkpoint.state)


def check_values(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError naming the first weights that are NaN, infinite or complex: scores would mean nothing."""
    for key, tensor in checkpoint.state.items():
        if problem := problem_of(tensor):
            raise CheckpointError(
                f"{checkpoint.path}: {printable(key)} {problem}.",
                "Take a checkpoint of an earlier epoch, or train again.",
            )


def problem_of(tensor: Tensor) -> str:
    """Return why a tensor cannot be computed with, or an empty string."""
    if tensor.is_complex() or tensor.is_quantized or tensor.layout != torch.strided:
        return f"is of the type {str(tensor.dtype).removeprefix('torch.')}; expected real numbers"
    if tensor.is_floating_point() and not (finite := torch.isfinite(tensor)).all():
        count = int(finite.numel() - finite.sum())
        return f"contains NaN or infinite values ({count:,} of {finite.numel():,})"
    return ""


def load_optimizer(optimizer: torch.optim.Optimizer, checkpoint: Checkpoint) -> None:
    """Load the optimizer state. Raises CheckpointError when it is missing or belongs to another model."""
    if not isinstance(checkpoint.optimizer, Mapping):
        raise CheckpointError(
            f"{checkpoint.path} has no optimizer state, so a run cannot resume from it.",
            "Start a new run with --load-from.",
        )
    try:
        _check_optimizer(optimizer, checkpoint.optimizer)
        optimizer.load_state_dict(dict(checkpoint.optimizer))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{checkpoint.path}: its optimizer state does not fit: {printable(error)}.") from error


def _check_optimizer(optimizer: torch.optim.Optimizer, found: Mapping[str, Any]) -> None:
    """Raise ValueError when values are of another type, shape or range than those of `optimizer`."""
    ours, groups = optimizer.param_groups, found["param_groups"]
    if not isinstance(groups, list) or [len(g["params"]) for g in groups] != [len(g["params"]) for g in ours]:
        raise ValueError("it has other groups of parameters")
    parameters: dict[Any, Tensor] = {}
    for group, wanted in zip(groups, ours, strict=True):
        parameters |= zip(group["params"], wanted["params"], strict=True)
        for key in wanted.keys() & group.keys() - {"params"}:
            if not _is_like(wanted[key], group[key]):
                raise ValueError(f"{key} is {shown(group[key])}")
    for index, values in found["state"].items():
        for name, value in values.items():
            wanted_shape = () if name == "step" else parameters[index].shape
            if isinstance(value, Tensor):
                problem = problem_of(value) or (
                    "" if value.shape == wanted_shape else f"has the shape {(*value.shape,)}"
                )
            else:
                problem = "" if value is None or _is_like(0.0, value) else f"is {shown(value)}"
            if problem:
                raise ValueError(f"{shown(name)} of parameter {shown(index)} {problem}")


def _is_like(ours: Any, found: Any) -> bool:
    """Whether a setting of the optimizer is of the type of ours, and a number in a sensible range."""
    if isinstance(ours, tuple):
        return isinstance(found, tuple | list) and len(found) == len(ours) and all(map(_is_like, ours, found))
    if isinstance(ours, bool) or ours is None:
        return isinstance(found, bool | None)
    if isinstance(ours, int | float):
        return type(found) in (int, float) and 0 <= found <= MOST
    return True


def _likely_cause(wanted: Mapping[str, Tensor], checkpoint: Checkpoint) -> str:
    keys = recognise(wanted) or checkpoint.keys
    found, expected = checkpoint.channels, keys.input_channels(wanted)
    if keys != checkpoint.keys:
        return "It belongs to another network."
    if expected and found in (2 * expected, 3 * expected):
        return "It normalises the input of each person by itself. Use --set model.input_norm=person"
    if found != expected:
        return f"{found} input channels, expected {expected}: a different skeleton (51 = 2-D COCO, 75 = 3-D NTU). Use --preset."
    if checkpoint.num_classes != keys.num_classes(wanted):
        return (
            f"It was trained for {checkpoint.num_classes} classes. Use --set model.num_classes={checkpoint.num_classes}"
        )
    return "It belongs to another model."


def contents(
    model: nn.Module,
    meta: dict[str, Any],
    optimizer: torch.optim.Optimizer | None = None,
    in_training: nn.Module | None = None,
) -> dict[str, Any]:
    """Return the contents of a checkpoint in MMAction2's layout; `in_training` where `model` is an average.

    All tensors are on the CPU, so that a plain torch.load reads the file on any machine.
    """
    value: dict[str, Any] = {"meta": meta, "state_dict": model.state_dict()}
    if in_training is not None:
        value["training_state_dict"] = in_training.state_dict()
    if optimizer is not None:
        value["optimizer"] = optimizer.state_dict()
    return on_cpu(value)


def on_cpu(value: Any) -> Any:
    """The same containers with every tensor on the CPU; those that are there already are not copied."""
    if isinstance(value, Tensor):
        return value if value.device.type == "cpu" else value.detach().cpu()
    if isinstance(value, dict):
        copied = copy.copy(value)  # a state dict keeps its type
        copied.update((key, on_cpu(each)) for key, each in value.items())
        return copied
    return type(value)(on_cpu(each) for each in value) if type(value) in (list, tuple) else value


def save(path: Path, value: dict[str, Any], before_naming: Callable[[], None] = lambda: None) -> None:
    """Write a checkpoint atomically; `before_naming` runs just before the file gets its name. Raises RunError."""
    with atomic_write(path) as stream:
        torch.save(value, stream)
        stream.flush()
        before_naming()
