"""An ONNX file that `stgcn export` wrote, ready to be asked: needs onnxruntime, and nothing in the file is code.

Shapes: N clips, M persons, T frames, V joints, C values of a joint.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data.loader import Clips
from stgcn_cli.errors import CheckpointError, UsageError
from stgcn_cli.io.text import printable
from stgcn_cli.runs.export import INPUT, INSTALL, OUTPUTS, SIZE
from stgcn_cli.runs.resolve import EvalOptions

SUFFIX = ".onnx"
Run = Callable[..., tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class About:
    """Metadata of the file."""

    preset: Preset
    classes: list[str]
    trained_on: Mapping[str, Any]
    is_prepared: bool  # the program takes clips as the loader prepares them


class ExportedModel(nn.Module):
    """A program of `runs.export`: `run` takes keypoints (N, M, T, V, C), and sizes (N, 2) where it `takes_size`.

    It gives logits (N, classes) and features (N, 256).
    """

    def __init__(self, run: Run, about: About, *, takes_size: bool) -> None:
        super().__init__()
        self.run, self.about, self.takes_size = run, about, takes_size

    def answer(self, clips: Clips, index: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N * K, classes) and features (N * K, 256) of the clips `index`, which are of one length unless prepared."""
        if self.about.is_prepared:
            return self.run(clips.batch(index)[0].permute(0, 4, 2, 3, 1).contiguous())
        given = [clips.stored(index)]
        if self.takes_size:
            assert clips.image_sizes is not None
            given.append(clips.image_sizes[index].float())
        return self.run(*given)


def of_onnx(content: bytes, name: str, device: str = "cpu") -> ExportedModel:
    """The program in an ONNX file. Raises CheckpointError for one that is damaged or of another origin, UsageError."""
    session = _session(content, name, device)
    about = _about(session.get_modelmeta().custom_metadata_map, name)
    names = [each.name for each in session.get_inputs()]

    def run(*given: Tensor) -> tuple[Tensor, Tensor]:
        try:
            arrays = {name: each.contiguous().numpy() for name, each in zip((INPUT, SIZE), given, strict=False)}
            logits, features = session.run(list(OUTPUTS), arrays)
        except Exception as error:  # onnxruntime has many of its own
            raise CheckpointError(f"{name} cannot compute these clips: {printable(error)[:300]}") from error
        return torch.from_numpy(np.asarray(logits)), torch.from_numpy(np.asarray(features))

    return ExportedModel(run, about, takes_size=SIZE in names)


def is_exported(word: str | Path) -> bool:
    """Whether the name is that of an ONNX file."""
    return Path(word).suffix.lower() == SUFFIX


def check_options(request: EvalOptions) -> None:
    """Raise UsageError for options that would change what is fixed in an exported program."""
    fixed = {
        "--preset": request.preset,
        "--set": request.settings,
        "--precision": request.precision not in ("auto", "float32"),
    }
    if asked := [name for name, value in fixed.items() if value]:
        raise UsageError(
            f"{asked[0]} does not apply to an exported model: its preset and precision are fixed.",
            "Give the option to: stgcn export CHECKPOINT --out model.onnx",
        )


def read(path: Path, device: str = "cpu") -> ExportedModel:
    """The program in a file. Raises CheckpointError, UsageError where onnxruntime is missing."""
    try:
        return of_onnx(path.read_bytes(), str(path), device)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error


def _session(content: bytes, name: str, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(f"{name} needs a package that is not installed: onnxruntime.", INSTALL) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    there = onnxruntime.get_available_providers()
    if device == "cuda" and "CUDAExecutionProvider" not in there:
        raise UsageError("This onnxruntime computes on the CPU only.", "Install onnxruntime-gpu, or use --device cpu.")
    wanted = ["CUDAExecutionProvider"] * (device == "cuda") + ["CPUExecutionProvider"]
    try:
        return onnxruntime.InferenceSession(content, options, providers=wanted)
    except Exception as error:  # a damaged file can make it raise anything
        raise CheckpointError(f"{name} is damaged, or not an ONNX file: {printable(error)[:200]}") from error


def _about(found: Mapping[str, str], name: str) -> About:
    """The metadata. Raises CheckpointError."""
    hint = "Expected a file written by: stgcn export CHECKPOINT --out model.onnx"
    if "preset" not in found:
        raise CheckpointError(f"{name} was not written by stgcn export: it has no preset in its metadata.", hint)
    preset = presets.from_text(found["preset"].encode(), name, "model")
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        classes, about = json.loads(found["classes"]), json.loads(found["input"])
        trained_on = json.loads(found.get("trained_on", "{}"))
        if isinstance(trained_on, dict) and len(classes) == preset.model.num_classes:
            return About(preset, [str(each) for each in classes], trained_on, bool(about["prepared"]))
    raise CheckpointError(f"{name}: its metadata are damaged.", hint)
