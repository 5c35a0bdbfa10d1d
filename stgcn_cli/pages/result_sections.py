"""What a report shows of one result: its confusion matrix, its classes, and its most confused pairs with a clip each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgcn_cli import metrics, palette, presets, results
from stgcn_cli.evaluation import EvalResult
from stgcn_cli.metrics import Confusion
from stgcn_cli.pages.markup import Cell, Column, paragraph, table, text
from stgcn_cli.pages.page import Section
from stgcn_cli.pages.player import REPORT_FRAMES, as_clip, player
from stgcn_cli.poses import Motion

GROUPS = ("head", "middle", "tail")
_UNEVEN = 2  # times the training clips of the rarest class that the commonest has, for groups to say something


@dataclass(frozen=True)
class Scored:
    """One result in the report: what was evaluated, and an example (None: no frames) for each of the worst confusions.

    `counts` (classes,) are training clips, None where they are not known.
    """

    name: str
    result: EvalResult
    examples: Sequence[tuple[Confusion, Motion | None]] = ()
    counts: np.ndarray | None = None


def result_sections(scored: Scored, suffix: str, is_named: bool, data: dict[str, Any]) -> list[Section]:
    """Confusion matrix, classes and most confused pairs of a result; what the script needs goes into `data`."""
    if not len(scored.result.labelled.labels):
        return []
    after = f": {scored.name}" if is_named else ""
    data["matrices"][f"matrix{suffix}"] = _matrix(scored.result)
    matrix = f'<figure class="matrix" data-matrix="matrix{suffix}"></figure>'
    note = '<p class="soft">Rows are labels, columns predictions; the stronger the colour, the larger the share of the row.</p>'
    return [
        Section(f"confusion{suffix}", f"Confusion matrix{after}", note + matrix),
        Section(f"classes{suffix}", f"Classes{after}", _groups(scored) + _classes(scored)),
        Section(f"pairs{suffix}", f"Most confused pairs{after}", _pairs(scored, suffix, data)),
    ]


def _matrix(result: EvalResult) -> dict[str, Any]:
    """The confusion matrix without the classes that have neither a clip nor a prediction, its filled cells only."""
    counts, names = result.confusion, presets.class_names(result.preset)
    shown = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    kept = counts[np.ix_(shown, shown)]
    cells = [[row, column, int(kept[row, column])] for row, column in np.argwhere(kept).tolist()]
    return {"names": [names[index] for index in shown], "totals": kept.sum(axis=1).tolist(), "cells": cells}


def _group_of(scored: Scored) -> dict[int, int]:
    """Class -> which third it is in by training clips; empty where these are not known, much alike, or of two classes."""
    counts = scored.counts
    if counts is None or len(counts) < len(GROUPS) or counts.max() < _UNEVEN * counts.min():
        return {}
    return {int(each): place for place, classes in enumerate(metrics.thirds(counts)) for each in classes}


def _groups(scored: Scored) -> str:
    """Mean accuracy of the classes with many, with some and with few training clips."""
    group = _group_of(scored)
    if not group or scored.counts is None:
        return ""
    accuracy, rows = metrics.class_accuracy(scored.result.confusion), []
    for place, name in enumerate(GROUPS):
        classes = [each for each, where in group.items() if where == place]
        clips, found = scored.counts[classes], accuracy[classes]
        found = found[np.isfinite(found)]
        mean = float(found.mean()) if len(found) else None
        span = f"{clips.min():,} to {clips.max():,}"
        rows.append([Cell(name), Cell(len(classes)), Cell(span), Cell(_percent(mean), mean, mean)])
    columns = [Column("Classes by training clips"), Column("Classes", True), Column("Clips each", True)]
    return table([*columns, Column("Mean accuracy", True)], rows) + "<br>"


def _classes(scored: Scored) -> str:
    """Every class that has clips, the best first; sortable."""
    group, counts = _group_of(scored), scored.counts
    columns = [Column("Class"), Column("Accuracy", True), Column("Clips", True)]
    columns += [Column("Training clips", True)] if counts is not None else []
    columns += [Column("Group")] if group else []
    rows = []
    for row in sorted(results.per_class(scored.result), key=lambda row: -row["accuracy"]):
        index, times = row["class"], row["times"]
        taken = f"{row['most_often_taken_for']} ({times})" if times else ""
        cells = [Cell(row["name"]), Cell(_percent(row["accuracy"]), row["accuracy"], row["accuracy"])]
        cells.append(Cell(f"{row['clips']:,}", row["clips"]))
        cells += [Cell(f"{counts[index]:,}", float(counts[index]))] if counts is not None else []
        cells += [Cell(GROUPS[group[index]], group[index])] if group else []
        rows.append([*cells, Cell(taken, times)])
    return table([*columns, Column("Most often taken for")], rows, sortable=True)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _pairs(scored: Scored, suffix: str, data: dict[str, Any]) -> str:
    """A card for each pair with the clip that was taken for the other class most surely."""
    if not scored.examples:
        return paragraph("No clip was taken for another class.")
    names, cards = presets.class_names(scored.result.preset), []
    for index, (pair, motion) in enumerate(scored.examples):
        label, taken, name = names[pair.label], names[pair.taken_for], scored.result.names[pair.example]
        words = f"{pair.clips:,} of {pair.of:,} clips. Here {name}: labelled {label}, taken for {taken} with {100 * pair.probability:.0f} %."
        shown = paragraph("The frames of this clip were not found.")
        if motion:
            data["clips"][f"clip{suffix}-{index}"] = as_clip(motion, REPORT_FRAMES)
            shown = player(f"clip{suffix}-{index}")
        cards.append(f'<div class="card"><h3>{text(label)} → {text(taken)}</h3>{paragraph(words)}{shown}</div>')
    colours = palette.in_words(max((len(motion.points) for _, motion in scored.examples if motion), default=1))
    note = f'<p class="soft">Drag a skeleton to turn it; space plays, arrows step. {colours}</p>'
    return note + f'<div class="cards">{"".join(cards)}</div>'
