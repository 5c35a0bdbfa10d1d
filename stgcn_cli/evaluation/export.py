"""`stgcn export`: write a recogniser as ONNX or .pt2, after comparing what is to be written with torch.

Shapes: N clips.
"""

import copy
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stgcn_cli.config.schema import Preset
from stgcn_cli.data.splits import Split
from stgcn_cli.errors import RunError, UsageError, refuse_first
from stgcn_cli.evaluation import metrics
from stgcn_cli.evaluation.evaluate import data_of_published, open_data
from stgcn_cli.evaluation.predict import Predictor, load
from stgcn_cli.evaluation.score import score_split
from stgcn_cli.io.files import atomic_write
from stgcn_cli.io.outputs import expect_suffix, suffix_of
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.runs import export, exported
from stgcn_cli.runs.exported import ExportedModel
from stgcn_cli.runs.resolve import EvalOptions
from stgcn_cli.runtime.distributed import World

SUFFIXES = (".onnx", ".pt2")
_STREAM = (".pt2",)  # written to - and /dev/null
LIMIT = 1e-4  # largest difference from torch's logits in float32, relative to the largest logit where that exceeds 1
_REAL = 64  # clips of a data set that are compared
_DRAWN = ((1, 9), (3, 40), (2, 350))  # clips, frames


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What to write. With `data` real clips are compared, too, and the accuracy of a reduced precision is measured."""

    model: EvalOptions
    out: Path
    half: bool = False
    int8: bool = False

    @property
    def kind(self) -> str:
        """Precision of the weights."""
        return "float16" if self.half else "int8" if self.int8 else "float32"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written: size in bytes, largest differences of logits (relative above 1), accuracies (fractions) where they were measured."""

    path: Path
    kind: str
    size: int
    inputs: dict[str, list[Any]]
    difference_random: float
    difference_real: float | None = None
    real_clips: int = 0
    accuracy_torch: float | None = None
    accuracy: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return self.__dict__ | {"limit": LIMIT if self.kind == "float32" else None}


def _check(options: ExportOptions) -> None:
    """Raise UsageError for a name or a combination that cannot be written."""
    suffix = expect_suffix(options.out, SUFFIXES, streams=_STREAM)
    refuse_first(
        (options.half and options.int8, "--half and --int8 exclude each other.", "Export twice, with two names."),
        (suffix == ".pt2" and (options.half or options.int8), "--half and --int8 are for .onnx.",
         f"For example: --out {options.out.with_suffix('.onnx')}"),
    )  # fmt: skip
    if suffix == ".onnx":
        export.require_packages()
    if exported.is_exported(options.model.checkpoint):
        raise UsageError(f"{options.model.checkpoint} is an exported model already.", "Give a checkpoint.")


def write(options: ExportOptions, reporter: Reporter) -> Exported:
    """Export; the file appears only when it computes what torch computes. Raises RunError above LIMIT."""
    _check(options)
    given = options.model.data
    found = data_of_published(options.model, reporter) if given else None
    predictor = load(options.model, reporter)
    _, split = (found or open_data(predictor.preset, options.model, given, reporter)) if given else ((), None)
    with reporter.progress(f"export {options.out.name}", None):
        content, model = _content(predictor, options)
    program = export.Program(predictor.model, predictor.preset).eval()
    drawn = [export.example(predictor.preset, *sizes) for sizes in _DRAWN]
    with torch.no_grad():
        apart = [_relative(program(*each)[0].numpy(), model.run(*each)[0].numpy()) for each in drawn]
    measured: dict[str, Any] = {"difference_random": max(apart)}
    measured |= _on_data(predictor, model, split, options) if split else {}
    _enforce(options, measured)
    with atomic_write(options.out) as stream:
        stream.write(content)
    inputs = {name: list(shape) for name, shape in _inputs(predictor.preset).items()}
    return Exported(path=options.out, kind=options.kind, size=len(content), inputs=inputs, **measured)


def _inputs(preset: Preset) -> dict[str, tuple[Any, ...]]:
    shapes = [each.shape for each in export.example(preset)]
    frames: Any = "T" if export.is_whole(preset) else shapes[0][2]
    found: dict[str, tuple[Any, ...]] = {export.INPUT: ("N", shapes[0][1], frames, *shapes[0][3:])}
    return found | ({export.SIZE: ("N", 2)} if export.takes_size(preset) else {})


def _content(predictor: Predictor, options: ExportOptions) -> tuple[bytes, ExportedModel]:
    """The bytes of the file, and what runs them."""
    preset, network = predictor.preset, copy.deepcopy(predictor.model)
    about = export.metadata(preset, predictor.classes, predictor.trained_on) | {"precision": options.kind}
    program = export.Program(network.half() if options.half else network, preset).eval()
    if suffix_of(options.out, _STREAM) == ".pt2":
        content = export.pt2(program, preset, about)
        read = torch.export.load(io.BytesIO(content)).module()  # our own bytes; those of others are code
        run = lambda *given: read(*given)  # noqa: E731  not as a submodule: it has no eval()
        known = exported.About(preset, predictor.classes, predictor.trained_on, not export.is_whole(preset))
        return content, ExportedModel(run, known, takes_size=export.takes_size(preset))
    content = export.onnx(program, preset, about)
    content = export.int8(content, about) if options.int8 else content
    return content, exported.of_onnx(content, str(options.out))


def _relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference, in units of the largest value where that exceeds 1: float32 has seven digits."""
    return float(np.abs(ours - theirs).max() / max(1.0, np.abs(ours).max()))


def _on_data(predictor: Predictor, model: ExportedModel, split: Split, options: ExportOptions) -> dict[str, Any]:
    """Compare on clips of a data set: the first ones in float32, all of them where accuracy may be lost."""
    count = _REAL if options.kind == "float32" else len(split.indices)
    some = Split(split.name, split.store, split.indices[:count])
    world = World(0, 1, torch.device("cpu"))
    ours, theirs = (score_split(each, some, predictor.preset, world)[0].numpy() for each in (predictor.model, model))
    found: dict[str, Any] = {"difference_real": _relative(ours, theirs), "real_clips": len(some.indices)}
    known = some.labels >= 0
    if options.kind != "float32" and known.any():
        for name, scores in (("accuracy_torch", ours), ("accuracy", theirs)):
            found[name] = metrics.measure(scores[known], some.labels[known], ("top_k_accuracy",))["top1_acc"]
    return found


def _enforce(options: ExportOptions, measured: dict[str, Any]) -> None:
    found = max(measured["difference_random"], measured.get("difference_real") or 0.0)
    if np.isfinite(found) and (options.kind != "float32" or found <= LIMIT):
        return
    raise RunError(
        f"{options.out} was not written: its logits differ from those of torch by {found:.2g}, relative to the largest; at most {LIMIT:g} is expected.",
        "Please report this with the versions that `stgcn doctor` prints.",
    )
