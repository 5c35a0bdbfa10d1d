"""Checkpoints written for other programs.

MMAction2 0.x: {"meta", "state_dict"[, "optimizer"]}, its names, shapes and types. 2s-AGCN and BABEL: a bare state dict.
"""

import hashlib
import io
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stgcn_cli.config import presets
from stgcn_cli.errors import CheckpointError, UsageError
from stgcn_cli.io.files import atomic_write, is_stream
from stgcn_cli.io.outputs import OutputRule
from stgcn_cli.io.text import nearest
from stgcn_cli.models.agcn import AGCN
from stgcn_cli.runs import agcn_names
from stgcn_cli.runs.checkpoint import Checkpoint

FORMS = ("mmaction2", "2s-agcn")
SUFFIXES = (".pth", ".pt", ".ckpt", ".tar")  # all of them torch's own archive


def convert(
    read: Checkpoint,
    out: Path,
    *,
    form: str = FORMS[0],
    optimizer: bool = False,
    publish: bool = False,
    force: bool = False,
) -> Path:
    """Write `read` to `out` in one of FORMS; return where it went.

    With `publish` the name gets the first 8 hex digits of the file's sha256, as published names have. Raises
    UsageError when that name is taken, CheckpointError when the optimizer state is asked for and absent.
    """
    if not is_stream(out) and out.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"Unsupported output format {out}; expected {', '.join(SUFFIXES)}.{nearest(out.suffix, SUFFIXES)}",
            f"For other programs: stgcn export {read.path} --out {out.with_suffix('.onnx')}",
        )
    if optimizer and (publish or form != FORMS[0]):
        other = "--publish" if publish else f"--form {form}"
        raise UsageError(f"--optimizer and {other} exclude each other.", "Such files have no optimizer state.")
    rule = OutputRule(inputs=[read.path], force=force, hint="Choose another name, or add --force.")
    if not publish:
        rule.check(out)
    if form == FORMS[0]:
        value: dict[str, Any] = {"meta": _meta(read), "state_dict": OrderedDict(_weights(read))}
    else:
        value = OrderedDict(_as_authors(read))
    if optimizer:
        value["optimizer"] = _momenta(read)
        value["meta"].setdefault("iter", 0)  # mmcv asks for it when it goes on; the schedule counts epochs
    stream = io.BytesIO()
    torch.save(value, stream)
    content = stream.getbuffer()
    if publish and not is_stream(out):
        out = out.with_name(f"{out.stem}-{hashlib.sha256(content).hexdigest()[:8]}.pth")
    out = rule.place(out)
    with atomic_write(out) as file:
        file.write(content)
    return out


def _as_authors(read: Checkpoint) -> dict[str, Tensor]:
    """AGCN's weights as its authors' program and BABEL's read them. Raises CheckpointError for another network."""
    if read.keys != AGCN.keys:
        raise CheckpointError(f"{read.path} is not an AGCN: --form {FORMS[1]} is for that network only.")
    text = read.preset_text
    persons = presets.from_text(text.encode(), str(read.path), "checkpoint").data.num_person if text else 1
    try:
        return agcn_names.to_authors(_weights(read), persons)
    except ValueError as error:
        raise CheckpointError(f"{read.path}: {error}.") from error


def _weights(read: Checkpoint) -> dict[str, Tensor]:
    """All tensors, float ones as float32, whatever precision the run had."""
    return {key: _float32(tensor) for key, tensor in read.state.items()}


def _float32(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float32).contiguous() if tensor.is_floating_point() else tensor.contiguous()


def _meta(read: Checkpoint) -> dict[str, Any]:
    """What the reference keeps (CLASSES, epoch, iter), and what it does not mind: our preset, its own texts."""
    meta = {str(key): _plain(value) for key, value in read.meta.items()}
    if isinstance(meta.get("CLASSES"), list):
        meta["CLASSES"] = tuple(meta["CLASSES"])
    return meta


def _plain(value: Any) -> Any:
    """The value without numpy, so that whoever reads it needs no allow-list."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return type(value)(_plain(each) for each in value) if type(value) in (list, tuple) else value


def _momenta(read: Checkpoint) -> dict[str, Any]:
    """The optimizer's state without the ways of one device, which another may not have."""
    try:
        state = {
            index: {key: _float32(each) if isinstance(each, Tensor) else each for key, each in kept.items()}
            for index, kept in (read.optimizer or {})["state"].items()
        }
        groups = [{**group, "foreach": None, "fused": None} for group in (read.optimizer or {})["param_groups"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{read.path} holds no optimizer state.", "Leave out --optimizer, or take a last.pth."
        ) from error
    return {"state": state, "param_groups": groups}
