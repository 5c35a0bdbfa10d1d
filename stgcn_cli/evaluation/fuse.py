"""Weighted sums of saved scores, measured; and a saved result measured again.

Shapes: N clips, K classes, S results.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stgcn_cli.config.choices import Metric
from stgcn_cli.errors import DataError, refuse_first
from stgcn_cli.evaluation import metrics, results
from stgcn_cli.evaluation.align import LabelSource, aligned, check_classes, common_labels, with_labels
from stgcn_cli.evaluation.saved import SavedScores, preset_for, read_saved
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.runs.resolve import with_metrics

_GRID = {2: 10, 3: 6, 4: 4, 5: 3, 6: 2}  # results -> largest whole-number weight tried; at most 1,023 mixtures
_HALVES_SEED = 0


@dataclass(frozen=True, kw_only=True)
class FuseOptions(LabelSource):
    """Which results to fuse, and how; the labels are of the results where no `data` are given."""

    inputs: tuple[Path, ...]
    weights: tuple[float, ...] = ()  # one each; empty: equal
    softmax: bool = False
    search: bool = False
    metrics: tuple[Metric, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """Fused result of all clips; with a search, `measured_on` counts the clips whose metrics are given."""

    result: EvalResult
    weights: tuple[float, ...]
    singles: tuple[EvalResult, ...]
    measured_on: int
    equal: EvalResult | None = None  # equal weights, beside the weights found


def fuse(options: FuseOptions, reporter: Reporter) -> Fusion:
    """Read, align, weigh and measure. Raises DataError for results that do not belong together, UsageError."""
    _check(options)
    read = [read_saved(path) for path in options.inputs]
    check_classes(read)
    first, *others = _scaled(read, options.softmax, reporter)
    together = [first, *(aligned(first, other, reporter) for other in others)]
    names = next((saved.names for saved in together if saved.names), None)
    common = replace(first, names=names, labels=common_labels(together))
    common = with_labels(common, options, reporter)
    stack = np.stack([saved.scores for saved in together])
    if options.search:
        return _searched(common, stack, options)
    weights = options.weights or (1.0,) * len(stack)
    singles = tuple(_result(common, scores, options) for scores in stack)
    result = _result(common, mixed(stack, weights), options)
    return Fusion(
        result=_as_fusion(result, options), weights=weights, singles=singles, measured_on=len(result.labelled.labels)
    )


def rescore(options: FuseOptions, reporter: Reporter) -> EvalResult:
    """Measure a saved result again, without a model. Raises DataError, UsageError."""
    saved = read_saved(options.inputs[0])
    return _result(with_labels(saved, options, reporter), saved.scores, options)


def mixed(stack: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """Return the weighted sum (N, K) of scores (S, N, K)."""
    return np.einsum("s,snk->nk", np.asarray(weights, float), stack)


def _check(options: FuseOptions) -> None:
    count, weights = len(options.inputs), options.weights
    refuse_first(
        (count < 2, "Fusion needs at least two results.", "For example: stgcn fuse joint.npz bone.npz"),
        (weights and options.search, "--weights and --search exclude each other.", ""),
        (weights and len(weights) != count, f"--weights has {len(weights)} numbers for {count} results.",
         "Give one number each: --weights 2:1"),
        (weights and (not all(map(math.isfinite, weights)) or not any(weights)),
         "--weights: expected finite numbers, not all zero.", "For example: --weights 2:1"),
        (options.search and count not in _GRID, f"--search: at most {max(_GRID)} results, found {count}.",
         "Give weights: --weights 2:2:1:1"),
    )  # fmt: skip


def _scaled(read: Sequence[SavedScores], softmax: bool, reporter: Reporter) -> list[SavedScores]:
    """Turn logits into probabilities with `softmax`; refuse to add probabilities to logits without."""
    kinds = [metrics.are_probabilities(saved.scores) for saved in read]
    if not softmax:
        if any(kinds) and not all(kinds):
            yes, no = read[kinds.index(True)].path, read[kinds.index(False)].path
            raise DataError(f"{yes} holds probabilities, {no} logits: their sum is not meaningful.", "Add --softmax")
        return list(read)
    if any(kinds):
        reporter.note(
            "Probabilities are taken as they are: "
            + ", ".join(str(s.path) for s, p in zip(read, kinds, strict=True) if p)
        )
    return [
        saved if is_probability else replace(saved, scores=metrics.probabilities(saved.scores))
        for saved, is_probability in zip(read, kinds, strict=True)
    ]


def _result(saved: SavedScores, scores: np.ndarray, options: FuseOptions) -> EvalResult:
    preset = with_metrics(preset_for(saved, options.preset), options.metrics)
    return results.of_saved(saved, preset, scores)


def _as_fusion(result: EvalResult, options: FuseOptions) -> EvalResult:
    """Name the result for what it is: none of the presets that went into it gives these figures."""
    words = "Fusion of " + ", ".join(path.name for path in options.inputs)
    return replace(result, preset=replace(result.preset, name="fusion", description=words))


def _searched(saved: SavedScores, stack: np.ndarray, options: FuseOptions) -> Fusion:
    """Find weights on a random half of the labelled clips and measure on the other half."""
    assert saved.labels is not None
    known = np.flatnonzero(saved.labels >= 0)
    order = np.random.default_rng(_HALVES_SEED).permutation(known)
    half, rest = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    if not len(half):
        raise DataError("--search needs at least two labelled clips.")
    weights = search_weights(stack[:, half], saved.labels[half])
    names = saved.names and tuple(saved.names[index] for index in rest)
    other = replace(saved, labels=saved.labels[rest], names=names)
    singles = tuple(_result(other, scores, options) for scores in stack[:, rest])
    equal = _result(other, mixed(stack[:, rest], (1.0,) * len(stack)), options)
    measured = _result(other, mixed(stack[:, rest], weights), options)
    whole = replace(_result(saved, mixed(stack, weights), options), metrics=measured.metrics)
    return Fusion(
        result=_as_fusion(whole, options), weights=weights, singles=singles, equal=equal, measured_on=len(rest)
    )


def search_weights(stack: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    """Return the whole-number weights with the best top-1 on scores (S, N, K); of equals the most even."""
    most = _GRID[len(stack)]
    candidates = [w for w in itertools.product(range(most + 1), repeat=len(stack)) if math.gcd(*w) == 1]
    candidates.sort(key=lambda w: np.std(np.array(w) / sum(w)))  # stable: max takes the first, the most even
    best = max(candidates, key=lambda w: int((mixed(stack, w).argmax(1) == labels).sum()))
    return tuple(map(float, best))
