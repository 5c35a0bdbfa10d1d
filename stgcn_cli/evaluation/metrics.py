"""Accuracies from scores (N, classes) and labels (N,): pure numpy, fractions from 0 to 1."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


def top_k(scores: Array, labels: Array, k: int) -> float:
    """The share of clips whose label is among the k largest scores (all of them where there are fewer classes)."""
    best = np.argsort(scores, axis=1)[:, -k:]
    return float((best == labels[:, None]).any(axis=1).mean())


def confusion(predicted: Array, labels: Array, classes: int) -> Array:
    """(classes, classes) counts: rows are labels, columns predictions."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def class_accuracy(matrix: Array) -> Array:
    """(classes,) share of each class's clips predicted right; NaN for a class without a clip."""
    clips = matrix.sum(axis=1)
    return np.divide(matrix.diagonal(), clips, out=np.full(len(matrix), np.nan), where=clips > 0)


def mean_class(matrix: Array) -> float:
    """The reference's mean: over labelled and predicted classes, a class predicted but never labelled counting 0."""
    seen = (matrix.sum(axis=0) + matrix.sum(axis=1)) > 0
    return float(np.nan_to_num(class_accuracy(matrix)[seen]).mean())


def mean_class_labelled(matrix: Array) -> float:
    """The mean over the classes that have a clip."""
    return float(np.nanmean(class_accuracy(matrix)))


@dataclass(frozen=True)
class Confusion:
    """`clips` of the `of` clips labelled `label` are taken for `taken_for`; the surest of them is `example` (its place)."""

    label: int
    taken_for: int
    clips: int
    of: int
    example: int
    probability: float


def most_confused(scores: Array, labels: Array, most: int) -> list[Confusion]:
    """The pairs of classes with the most wrong clips (-1 = hidden, left out), of equals those with the larger share."""
    shares = scores if are_probabilities(scores) else probabilities(scores)
    best, share = scores.argmax(axis=1), shares.max(axis=1)
    wrong = (labels >= 0) & (best != labels)
    matrix = confusion(best[wrong], labels[wrong], scores.shape[1])
    totals = np.bincount(labels[labels >= 0], minlength=len(matrix))
    pairs = sorted(np.argwhere(matrix).tolist(), key=lambda pair: (-matrix[*pair], totals[pair[0]]))[:most]
    found = []
    for label, taken_for in pairs:
        clips = np.flatnonzero(wrong & (labels == label) & (best == taken_for))
        example = int(clips[share[clips].argmax()])
        found.append(Confusion(label, taken_for, len(clips), int(totals[label]), example, float(share[example])))
    return found


def are_probabilities(scores: Array) -> bool:
    """Whether each row can only be probabilities, as of several samples of a clip: not negative, with the sum 1."""
    return bool((scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3))


def probabilities(scores: Array) -> Array:
    """Softmax of the logits (N, classes), float64."""
    with np.errstate(invalid="ignore"):  # a model that went wrong gives NaN, and so do these
        exp = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
        return exp / exp.sum(axis=1, keepdims=True)


def informative(values: Mapping[str, float], classes: int) -> dict[str, float]:
    """The metrics that say something to people: among five classes or fewer every clip is in the top five."""
    return {name: value for name, value in values.items() if classes > 5 or name != "top5_acc"}


def any_label(scores: Array, labels: Array, names: Sequence[Hashable]) -> float:
    """The share of different clips whose prediction is one of their labels: BABEL has a clip once for each of its labels."""
    right: dict[Hashable, bool] = {}
    for name, is_right in zip(names, (scores.argmax(axis=1) == labels).tolist(), strict=True):
        right[name] = right.get(name, False) or is_right
    return sum(right.values()) / len(right)


_OF_A_MATRIX = {
    "mean_class_accuracy": mean_class, "mean_class_accuracy_labelled": mean_class_labelled, "top1_norm": mean_class_labelled,
}  # fmt: skip


def measure(
    scores: Array, labels: Array, metrics: tuple[str, ...], names: Sequence[Hashable] | None = None
) -> dict[str, float]:
    """The named metrics of the clips: top_k_accuracy gives top1 and top5. Labels are 0 ≤ label < classes.

    `top1_norm` is what BABEL's program calls the mean over the classes; there it is NaN where a class has no clip.
    """
    values: dict[str, float] = {}
    matrix = confusion(scores.argmax(axis=1), labels, scores.shape[1])
    for metric in metrics:
        if metric == "top_k_accuracy":
            values |= {f"top{k}_acc": top_k(scores, labels, k) for k in (1, 5)}
        elif metric == "any_label_accuracy":
            values[metric] = any_label(scores, labels, names or range(len(labels)))
        else:
            values[metric] = _OF_A_MATRIX[metric](matrix)
    return values
