"""Two results of the same clips: which clips flipped, which classes changed, and whether the difference is chance.

Shapes: N common clips, K classes.
"""

import math
from dataclasses import dataclass

import numpy as np

from stgcn_cli.errors import DataError
from stgcn_cli.evaluation.metrics import class_accuracy, confusion
from stgcn_cli.evaluation.score import EvalResult


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Predictions of two results for their common clips: labels and predicted classes, all (N,)."""

    names: tuple[str, ...]
    labels: np.ndarray
    first: np.ndarray
    second: np.ndarray
    classes: int
    only_one: int  # clips that only one of the results has

    @property
    def gained(self) -> np.ndarray:
        """Indices of the clips that only the second result classifies rightly."""
        return np.flatnonzero((self.first != self.labels) & (self.second == self.labels))

    @property
    def lost(self) -> np.ndarray:
        """Indices of the clips that only the first result classifies rightly."""
        return np.flatnonzero((self.first == self.labels) & (self.second != self.labels))

    def class_changes(self) -> np.ndarray:
        """(K, 2) accuracy of each class in both results; NaN for classes without clips."""
        matrices = (confusion(each, self.labels, self.classes) for each in (self.first, self.second))
        return np.stack([class_accuracy(matrix) for matrix in matrices], axis=1)


def pair(first: EvalResult, second: EvalResult) -> Pair:
    """Join two results by clip name. Raises DataError when their classes, labels or clips do not belong together."""
    classes = first.scores.shape[1]
    if second.scores.shape[1] != classes:
        raise DataError(
            f"The results have {classes} and {second.scores.shape[1]} classes; expected the same classes.",
            "Compare runs of one data set.",
        )
    ours, theirs = first.labelled, second.labelled
    where = {name: index for index, name in enumerate(theirs.names)}
    common = [(index, where[name]) for index, name in enumerate(ours.names) if name in where]
    if not common:
        raise DataError("The results have no labelled clip in common.", "Evaluate both on the same split.")
    left, right = map(np.array, zip(*common, strict=True))
    if (ours.labels[left] != theirs.labels[right]).any():
        index = int(np.flatnonzero(ours.labels[left] != theirs.labels[right])[0])
        raise DataError(
            f"{ours.names[left[index]]} is labelled {ours.labels[left[index]]} in one result and "
            f"{theirs.labels[right[index]]} in the other.",
            "Compare results of the same annotations.",
        )
    return Pair(
        names=tuple(ours.names[index] for index in left), labels=ours.labels[left],
        first=ours.scores[left].argmax(1), second=theirs.scores[right].argmax(1), classes=classes,
        only_one=len(ours.labels) + len(theirs.labels) - 2 * len(common),
    )  # fmt: skip


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided p-value of McNemar's test: how likely so uneven a split of the flipped clips is by chance.

    Exact (binomial). Source: McNemar 1947.
    """
    flipped, fewer = gained + lost, min(gained, lost)
    if flipped == 0:
        return 1.0
    whole = math.lgamma(flipped + 1) - flipped * math.log(2)
    tail = sum(math.exp(whole - math.lgamma(k + 1) - math.lgamma(flipped - k + 1)) for k in range(fewer + 1))
    return min(1.0, 2 * tail)
