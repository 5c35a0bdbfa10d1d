"""Saved scores brought together: classes, clips and labels of several results, and of annotations.

Shapes: N clips, K classes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stgcn_cli.data.locations import find_pickles
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.data.store import Store
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.evaluation.saved import SavedScores, classes_of, preset_for
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.io.text import one_line


@dataclass(frozen=True, kw_only=True)
class LabelSource:
    """Where labels come from: annotations and the split in them; all empty: the results themselves."""

    data: tuple[Path, ...] = ()
    split: str | None = None
    preset: str | None = None  # names the data set in a data folder


def check_classes(read: Sequence[SavedScores]) -> None:
    """Raise DataError unless all results have the same classes, by number and, where stated, by name."""
    first = read[0]
    for other in read[1:]:
        ours, theirs = first.scores.shape[1], other.scores.shape[1]
        if ours != theirs:
            raise DataError(f"{first.path} has {ours} classes, {other.path} has {theirs}.")
        names, known = classes_of(first), classes_of(other)
        if names and known and names != known:
            index = next(i for i, (a, b) in enumerate(zip(names, known, strict=True)) if a != b)
            raise DataError(
                f"Class {index} is {one_line(names[index])!r} in {first.path} and {one_line(known[index])!r} in {other.path}."
            )


def aligned(first: SavedScores, other: SavedScores, reporter: Reporter) -> SavedScores:
    """Return `other` in the clip order of `first`: by name where both have names, else by position."""
    if first.names is None or other.names is None:
        if len(first.scores) != len(other.scores):
            raise DataError(
                f"{first.path} has {len(first.scores):,} clips, {other.path} has {len(other.scores):,}, and names are missing.",
                "Write results with names: stgcn eval CHECKPOINT --out FILE.npz",
            )
        bare = first if first.names is None else other
        reporter.note(
            f"{bare.path} has no clip names: aligned with {(other if bare is first else first).path} by position."
        )
        return other
    mine, theirs = _keys(first), _keys(other)
    if set(mine) != set(theirs):
        raise DataError(
            f"The results are of different clips. {_missing(first, mine, other, theirs)}", "Evaluate all on one split."
        )
    place = {key: index for index, key in enumerate(theirs)}
    order = [place[key] for key in mine]
    labels = None if other.labels is None else other.labels[order]
    return replace(other, scores=other.scores[order], names=first.names, labels=labels)


def _keys(saved: SavedScores) -> list[tuple[str, int, int]]:
    """(name, label, occurrence) of each clip: BABEL has a clip once for each of its labels."""
    assert saved.names is not None
    seen: Counter[tuple[str, int]] = Counter()
    is_repeated = len(set(saved.names)) < len(saved.names)
    labels = saved.labels.tolist() if is_repeated and saved.labels is not None else [0] * len(saved.names)
    keys = []
    for name, label in zip(saved.names, labels, strict=True):
        keys.append((name, label, seen[name, label]))
        seen[name, label] += 1
    return keys


def _missing(first: SavedScores, mine: list, other: SavedScores, theirs: list) -> str:
    parts = []
    for saved, keys, without in ((first, mine, theirs), (other, theirs, mine)):
        absent = sorted(set(keys) - set(without))
        if absent:
            parts.append(f"{len(absent):,} only in {saved.path}, for instance {one_line(absent[0][0])}")
    return "; ".join(parts) + "."


def common_labels(results: Sequence[SavedScores]) -> np.ndarray | None:
    """Return the labels of the first result that has any. Raises DataError when results disagree."""
    labelled = [(saved.path, saved.labels) for saved in results if saved.labels is not None]
    for path, labels in labelled[1:]:
        wrong = int((labels != labelled[0][1]).sum())
        if wrong:
            raise DataError(f"{labelled[0][0]} and {path} disagree on the labels of {wrong:,} clips.")
    return labelled[0][1] if labelled else None


def with_labels(saved: SavedScores, where: LabelSource, reporter: Reporter) -> SavedScores:
    """Return the scores with the labels of the annotations in `where.data`; as they are without `data`."""
    if not where.data:
        if saved.labels is None:
            raise UsageError(f"{saved.path} contains scores without labels.", "Give the annotations: --data FILE.pkl")
        return saved
    split = _find_split(saved, where, reporter)
    names = tuple(split.store.names[index] for index in split.indices)
    labels, source = split.labels.astype(np.int64), split.store.source
    if saved.names is not None:
        labels = _labels_by_name(saved, names, labels, split)
    elif len(labels) != len(saved.scores):
        raise DataError(f"{saved.path} has {len(saved.scores):,} clips, {split.name} of {source} has {len(labels):,}.")
    else:
        reporter.note(f"{saved.path} has no clip names: aligned with {split.name} of {source} by position.")
        saved = replace(saved, names=names)
    if labels.max() >= saved.scores.shape[1]:
        raise DataError(f"{source} has the label {labels.max()}, {saved.path} only {saved.scores.shape[1]} classes.")
    return replace(saved, labels=labels, split=split.name, source=source)


def _find_split(saved: SavedScores, where: LabelSource, reporter: Reporter) -> Split:
    """Return the split asked for, that of the result, or the only one with as many clips."""
    preset = preset_for(saved, where.preset)
    wanted = where.split or saved.split or (preset.data.val if where.preset else "")
    stores = open_stores(find_pickles(preset.data.dataset, (wanted,), where.data), reporter)
    if wanted:
        return find_split(stores, wanted, whole_lists=True)
    fitting = [split for split in _splits(stores) if len(split.indices) == len(saved.scores)]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(f"{split.name} ({len(split.indices):,} clips)" for split in _splits(stores))
    raise UsageError(f"{saved.path} has {len(saved.scores):,} clips; which split? {known}", "Name it with --split.")


def _splits(stores: Sequence[Store]) -> list[Split]:
    found = [find_split([store], name) for store in stores for name in store.splits]
    return found or [find_split([store], "all", whole_lists=True) for store in stores]


def _labels_by_name(saved: SavedScores, names: tuple[str, ...], labels: np.ndarray, split: Split) -> np.ndarray:
    assert saved.names is not None
    if saved.names == names:
        return labels
    by_name = dict(zip(names, labels.tolist(), strict=True))
    if len(by_name) < len(names):
        raise DataError(
            f"{split.name} of {split.store.source} names clips twice, and {saved.path} is in another order."
        )
    absent = [name for name in saved.names if name not in by_name]
    if absent:
        raise DataError(
            f"{len(absent):,} of {len(saved.names):,} clips of {saved.path} are not in {split.name} of {split.store.source}, "
            f"for instance {one_line(absent[0])}."
        )
    return np.array([by_name[name] for name in saved.names])
