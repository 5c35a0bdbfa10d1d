"""Scores for every clip in data-set order, and what follows from them.

Shapes: N clips of a split.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from stgcn_cli.config.schema import Preset
from stgcn_cli.data.loader import Clips, sent
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.errors import CheckpointError
from stgcn_cli.evaluation import metrics
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import one_line
from stgcn_cli.models import build_model, recognise
from stgcn_cli.runs import checkpoint, exported
from stgcn_cli.runs.checkpoint import Checkpoint
from stgcn_cli.runs.exported import ExportedModel
from stgcn_cli.runtime.distributed import World
from stgcn_cli.runtime.memory import memory_errors, tune_allocator
from stgcn_cli.runtime.precision import computing, dtype_of, set_up

FRAMES_IN_BATCH = {"cpu": 16 * 300, "cuda": 128 * 300}  # person-free frames of a batch when the user names no size


@torch.inference_mode()
def score_clips(
    model: nn.Module,
    clips: Clips,
    *,
    world: World,
    precision: str,
    batch_size: int,
    advance: Callable[[int], Any],
    features: dict[int, Tensor] | None = None,
) -> Tensor:
    """Scores (N, classes) of all clips, on every rank; each rank computes its share and no clip twice.

    They are logits; with uniform sampling the probabilities, averaged over the samples of a clip, as in PYSKL.
    Where `features` is given it receives those of each clip (256,), by its index.
    """
    model.eval()
    scores: Tensor | None = None
    for index in _batches(clips, batch_size, world, is_exported=isinstance(model, ExportedModel)):
        work = f"An evaluation of {len(index) * clips.samples} clips at a time"
        hint = f"Compute fewer at a time: --batch-size {max(1, len(index) // 2)}"
        with computing(precision, world.device), memory_errors(work, hint):
            logits, found = _outputs(model, clips, index)
        if features is not None:
            means = found.float().unflatten(0, (len(index), -1)).mean(1).cpu()
            features |= dict(zip(index.tolist(), means, strict=True))
        if scores is None:
            scores = torch.zeros(len(clips), logits.shape[1], dtype=dtype_of(precision), device=world.device)
        if clips.gives_probabilities:
            logits = logits.to(scores.dtype).softmax(1).unflatten(0, (len(index), -1)).mean(1)
        scores[sent(index, world.device)] = logits.to(scores.dtype)
        advance(len(index) * world.size)
    if scores is None:  # fewer clips than ranks
        scores = torch.zeros(len(clips), _classes(model), dtype=dtype_of(precision), device=world.device)
    if world.size > 1:
        distributed.all_reduce(scores)
    return scores


def score_split(
    model: nn.Module,
    split: Split,
    preset: Preset,
    world: World,
    *,
    precision: str = "float32",
    batch_size: int | None = None,
    advance: Callable[[int], Any] = lambda clips: None,
    features: dict[int, Tensor] | None = None,
) -> tuple[Tensor, bool]:
    """What `score_clips` gives for the clips of a split as the preset shows them, and whether it is probabilities."""
    clips = Clips.of(split, preset, world.device, dtype_of(precision), preset.eval.clips)
    scores = score_clips(
        model, clips, world=world, precision=precision, batch_size=batch_size or default_batch_size(clips),
        advance=advance, features=features,
    )  # fmt: skip
    return scores, clips.gives_probabilities


def network_of(read: Checkpoint, preset: Preset, device: torch.device, precision: str) -> nn.Module:
    """The network of a preset with the weights of a checkpoint, in evaluation mode. Raises CheckpointError."""
    tune_allocator()
    set_up(precision)
    model = build_model(preset)
    checkpoint.load_into(model, read)
    return model.to(device, dtype_of(precision)).eval()


def read_model(path: Path, device: str) -> Checkpoint | ExportedModel:
    """Read a checkpoint, or an exported model for `device`. Raises CheckpointError, UsageError."""
    return exported.read(path, device) if exported.is_exported(path) else checkpoint.read(path)


def _outputs(model: nn.Module, clips: Clips, index: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and features."""
    if isinstance(model, ExportedModel):
        return model.answer(clips, index)
    placed = clips.placed(index)
    x, absent = clips.batch(index, placed=placed)[0], clips.absent(index, placed)
    features = model.features(x, absent)  # type: ignore[operator]
    return model.cls_head(features), features  # type: ignore[operator]


def _classes(model: nn.Module) -> int:
    state = model.state_dict()
    keys = recognise(state)
    assert keys is not None  # it was built here
    return keys.num_classes(state)


def _batches(clips: Clips, batch_size: int, world: World, is_exported: bool = False) -> Iterator[Tensor]:
    """This rank's clips, `batch_size` at a time; with clip_len absent, or exported, only clips of one length go together."""
    mine = torch.arange(world.rank, len(clips), world.size)
    if clips.clip_len is not None and not is_exported:
        yield from mine.split(batch_size)
        return
    lengths = clips.lengths.cpu()[mine]
    for length in lengths.unique():
        yield from mine[lengths == length].split(batch_size)


def default_batch_size(clips: Clips) -> int:
    """Clips in a batch that suit the device."""
    length = clips.clip_len or int(clips.lengths.max())
    return max(1, FRAMES_IN_BATCH.get(clips.device.type, 4800) // (length * clips.samples))


@dataclass(frozen=True, kw_only=True)
class EvalPlan:
    """What a worker needs to evaluate; everything in it crosses process borders."""

    preset: Preset
    checkpoint: Path
    pickles: tuple[Path, ...]
    split: str
    precision: str
    batch_size: int | None = None
    reporter: Reporter = SILENT
    read: Checkpoint | ExportedModel | None = None  # the file, where this process is the worker and has read it


@dataclass(frozen=True)
class EvalResult:
    """Scores float32 (N, classes), labels (N,) with -1 = hidden, names, metrics (fractions), and the annotations used."""

    preset: Preset
    split: str
    scores: np.ndarray
    labels: np.ndarray
    names: list[str]
    metrics: dict[str, float]
    source: Path | None = None

    @property
    def labelled(self) -> "EvalResult":
        """Without the clips whose label is hidden."""
        known = self.labels >= 0
        names = [name for name, keep in zip(self.names, known, strict=True) if keep]
        return replace(self, scores=self.scores[known], labels=self.labels[known], names=names)

    @property
    def confusion(self) -> np.ndarray:
        """(classes, classes) counts: rows are labels, columns predictions."""
        shown = self.labelled
        return metrics.confusion(shown.scores.argmax(axis=1), shown.labels, self.scores.shape[1])


def evaluate_in_world(plan: EvalPlan, world: World) -> EvalResult:
    """Evaluate a checkpoint or exported program as one of the processes of `world`."""
    split = find_split(open_stores(plan.pickles), plan.split, whole_lists=True)
    read = plan.read or read_model(plan.checkpoint, world.device.type)
    model = read if isinstance(read, ExportedModel) else network_of(read, plan.preset, world.device, plan.precision)
    with plan.reporter.progress("evaluate", len(split.indices), shown=world.is_first) as advance:
        scores, _ = score_split(
            model, split, plan.preset, world, precision=plan.precision, batch_size=plan.batch_size, advance=advance
        )
    return result_of(plan.preset, split, scores)


def result_of(preset: Preset, split: Split, scores: Tensor) -> EvalResult:
    """Scores with the split's labels and names, measured by the preset's metrics."""
    names = [split.store.names[index] for index in split.indices]
    check_scores(found := scores.float().cpu().numpy(), names)
    result = EvalResult(preset, split.name, found, split.labels, names, {}, split.store.source)
    return measured(result)


def check_scores(scores: np.ndarray, names: Sequence[str]) -> None:
    """Raise CheckpointError naming the first clip whose scores are NaN or infinite."""
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(bad):
        raise CheckpointError(
            f"The scores of the model are NaN or infinite for {len(bad):,} of {len(scores):,} clips, "
            f"the first: {one_line(names[bad[0]])}.",
            "Its weights may be too large for this precision: try --precision float32, or an earlier checkpoint.",
        )


def measured(result: EvalResult) -> EvalResult:
    """The result with the metrics its preset names, over the clips that have a label."""
    known, names = result.labelled, result.preset.eval.metrics
    return replace(
        result, metrics=metrics.measure(known.scores, known.labels, names, known.names) if len(known.labels) else {}
    )
