"""The report of a run or of results: what came out, for which classes, what is confused, and how it was made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.config.class_names import class_names
from stgcn_cli.config.schema import Preset
from stgcn_cli.evaluation import compare, metrics
from stgcn_cli.evaluation.metrics import Confusion
from stgcn_cli.evaluation.results import per_class
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.io.text import duration
from stgcn_cli.viz import plots
from stgcn_cli.viz.html.clip import REPORT_FRAMES, as_clip
from stgcn_cli.viz.html.comparison import Compared
from stgcn_cli.viz.html.comparison import sections as compare_sections
from stgcn_cli.viz.html.page import Cell, Column, Section, Table, drawing, page
from stgcn_cli.viz.skeleton import Motion, colour_legend

GROUPS = ("head", "middle", "tail")
_COLLAPSED = 0.9  # share of the clips in one column of the confusion matrix
_UNEVEN = 2  # times the training clips of the rarest class that the commonest has, for groups to say something
_METRICS = {
    "top1_acc": "top-1",
    "top5_acc": "top-5",
    "mean_class_accuracy": "mean class",
    "mean_class_accuracy_labelled": "mean class, labelled ones",
    "top1_norm": "top-1 norm (BABEL)",
    "any_label_accuracy": "any of its labels",
}
_VERDICTS = {"within": f"within {compare.TOLERANCE:g} points of", "below": "below", "above": "above"}
_FIRST_IN_ENVIRONMENT = ("command", "stgcn", "python", "torch", "numpy", "cuda", "gpus", "device", "precision", "seed")


@dataclass(frozen=True)
class Scored:
    """One result in the report: what was evaluated, and an example (None: no frames) for each of the worst confusions.

    `counts` (classes,) are training clips, None where they are unknown.
    """

    name: str
    result: EvalResult
    examples: Sequence[tuple[Confusion, Motion | None]] = ()
    counts: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that a report shows. `log` are the records of log.jsonl, `published` those of the published log."""

    title: str
    preset: Preset
    scored: Sequence[Scored] = ()
    log: Sequence[Mapping[str, Any]] = ()
    published: Sequence[Mapping[str, Any]] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    compared: Sequence[Compared] = ()  # runs or results to compare: at least two, or none


class _Tile(NamedTuple):
    name: str
    figure: str
    remark: str = ""


def report_page(report: Report) -> str:
    """The report as one page of HTML."""
    data: dict[str, Any] = {"clips": {}, "matrices": {}}
    sections = [_summary(report), *(compare_sections(report.compared) if report.compared else ())]
    if curves := drawing(lambda: plots.curves(report.log, "", report.published)):
        narrow = drawing(lambda: plots.curves(report.log, "", report.published, stacked=True), "narrow")
        values = {"drawing": curves, "narrow": narrow, "has_published": bool(report.published)}
        sections.append(Section("curves", "Learning curves", "curves", values))
    for index, scored in enumerate(report.scored):
        if len(scored.result.labelled.labels):
            sections += _result_sections(scored, f"-{index}", len(report.scored) > 1, data)
    sections.append(_settings(report))
    return page("report.html", report.title, report.preset.description, sections, data)


def _summary(report: Report) -> Section:
    """Metrics of each result, else of the best validation in the log; how far the run went; remarks."""
    results: list[dict[str, Any]] = [_metrics_of(scored, len(report.scored) > 1) for scored in report.scored]
    checks = [record for record in report.log if record["mode"] == "val"]
    best = max((record for record in checks if "top1_acc" in record), key=lambda each: each["top1_acc"], default=None)
    if not results:
        known = metrics.informative(best, report.preset.model.num_classes) if best else {}
        tiles = [
            _Tile(_METRICS[key], _percent(known[key]), f"epoch {known['epoch']}") for key in _METRICS if key in known
        ]
        results = [{"name": "", "tiles": tiles, "differs": ()}]
    course, epochs = "", [record for record in report.log if record["mode"] == "epoch"]
    if epochs:
        seconds = sum(float(record.get("time", 0)) for record in [*epochs, *checks])
        course = f"{len(epochs)} of {report.preset.train.epochs} epochs in {duration(seconds)}"
        if best:
            course += f"; the best validation, {_percent(best['top1_acc'])} top-1, was after epoch {best['epoch']}"
        course += "."
    values = {"results": results, "course": course, "remarks": report.remarks}
    return Section("summary", "Summary", "summary", values)


def _metrics_of(scored: Scored, is_named: bool) -> dict[str, Any]:
    """The metrics of a result, beside the published ones where there are some."""
    result, known = scored.result, scored.result.labelled
    seen, classes = len(set(known.labels.tolist())), result.preset.model.num_classes
    beside = compare.with_published(result.preset, result.split, len(known.labels), seen, result.metrics)
    published = {each.metric: each for each in beside.metrics} if beside else {}
    tiles = []
    for name, value in metrics.informative(result.metrics, classes).items():
        other = published.get(name)
        remark = f"{_VERDICTS[other.verdict]} the published {_percent(other.published)}" if other else ""
        tiles.append(_Tile(_METRICS.get(name, name), _percent(value), remark))
    hidden = len(result.labels) - len(known.labels)
    remark = f"{hidden:,} without a label" if hidden else ""
    tiles.append(_Tile(f"clips of {result.split}", f"{len(result.labels):,}", remark))
    tiles.append(_Tile("classes with clips", f"{seen} of {classes}"))
    if warning := _collapse(result):
        tiles.append(_Tile("collapsed model", "1 class", warning))
    return {
        "name": scored.name if is_named else "",
        "tiles": tiles,
        "differs": beside.differs if beside and published else (),
    }


def _collapse(result: EvalResult) -> str:
    """A sentence when nearly every clip is classified as one class, as by a model whose training has collapsed."""
    known = result.labelled
    predicted = np.bincount(known.scores.argmax(axis=1), minlength=1)
    if not len(known.labels) or predicted.max() < _COLLAPSED * len(known.labels) or len(set(known.labels.tolist())) < 3:
        return ""
    name = class_names(result.preset)[int(predicted.argmax())]
    return (
        f"{predicted.max():,} of {len(known.labels):,} clips are classified as {name}: a smaller learning rate may help"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _result_sections(scored: Scored, suffix: str, is_named: bool, data: dict[str, Any]) -> list[Section]:
    """Confusion matrix, classes and most confused pairs of a result; what the script needs goes into `data`."""
    after, matrix = f": {scored.name}" if is_named else "", f"matrix{suffix}"
    data["matrices"][matrix] = _matrix(scored.result)
    groups = _groups(scored)
    tables = {"groups": _group_table(scored, groups), "classes": _class_table(scored, groups)}
    return [
        Section(f"confusion{suffix}", f"Confusion matrix{after}", "confusion", {"matrix": matrix}),
        Section(f"classes{suffix}", f"Classes{after}", "classes", tables),
        Section(f"pairs{suffix}", f"Most confused pairs{after}", "pairs", _pairs(scored, suffix, data)),
    ]


def _matrix(result: EvalResult) -> dict[str, Any]:
    """The confusion matrix without the classes that have neither a clip nor a prediction, its filled cells only."""
    counts, names = result.confusion, class_names(result.preset)
    shown = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    kept = counts[np.ix_(shown, shown)]
    cells = [[row, column, int(kept[row, column])] for row, column in np.argwhere(kept).tolist()]
    return {"names": [names[index] for index in shown], "totals": kept.sum(axis=1).tolist(), "cells": cells}


def _groups(scored: Scored) -> dict[int, int]:
    """Class -> its third by training clips; empty where these are unknown, much alike, or of two classes."""
    counts = scored.counts
    if counts is None or len(counts) < len(GROUPS) or counts.max() < _UNEVEN * counts.min():
        return {}
    thirds = np.array_split(np.argsort(-counts, kind="stable"), len(GROUPS))
    return {int(each): third for third, classes in enumerate(thirds) for each in classes}


def _group_table(scored: Scored, groups: Mapping[int, int]) -> Table | None:
    """Mean accuracy of the classes with many, with some and with few training clips."""
    if not groups or scored.counts is None:
        return None
    accuracy, rows = metrics.class_accuracy(scored.result.confusion), []
    for third, name in enumerate(GROUPS):
        classes = [each for each, where in groups.items() if where == third]
        clips, found = scored.counts[classes], accuracy[classes]
        found = found[np.isfinite(found)]
        mean = Cell.of_share(float(found.mean()) if len(found) else None)
        rows.append([Cell(name), Cell(len(classes)), Cell(f"{clips.min():,} to {clips.max():,}"), mean])
    columns = [Column("Classes by training clips"), Column("Classes", True), Column("Clips each", True)]
    return Table([*columns, Column("Mean accuracy", True)], rows)


def _class_table(scored: Scored, groups: Mapping[int, int]) -> Table:
    """Every class that has clips, the best first; sortable."""
    counts = scored.counts
    columns = [Column("Class"), Column("Accuracy", True), Column("Clips", True)]
    columns += [Column("Training clips", True)] if counts is not None else []
    columns += [Column("Group")] if groups else []
    rows = []
    for row in sorted(per_class(scored.result), key=lambda row: -row["accuracy"]):
        index, times = row["class"], row["times"]
        cells = [Cell(row["name"]), Cell.of_share(row["accuracy"]), Cell(f"{row['clips']:,}", row["clips"])]
        cells += [Cell(f"{counts[index]:,}", float(counts[index]))] if counts is not None else []
        cells += [Cell(GROUPS[groups[index]], groups[index])] if groups else []
        rows.append([*cells, Cell(f"{row['most_often_taken_for']} ({times})" if times else "", times)])
    return Table([*columns, Column("Most often confused with")], rows, sortable=True)


def _pairs(scored: Scored, suffix: str, data: dict[str, Any]) -> dict[str, Any]:
    """A card for each pair with the clip that was misclassified with the highest probability."""
    names, cards = class_names(scored.result.preset), []
    for index, (pair, motion) in enumerate(scored.examples):
        player = f"clip{suffix}-{index}" if motion else ""
        if motion:
            data["clips"][player] = as_clip(motion, REPORT_FRAMES)
        cards.append({
            "label": names[pair.label], "predicted": names[pair.taken_for], "example": scored.result.names[pair.example],
            "clips": f"{pair.clips:,}", "of": f"{pair.of:,}", "probability": f"{100 * pair.probability:.0f}",
            "player": player,
        })  # fmt: skip
    persons = max((len(motion.points) for _, motion in scored.examples if motion), default=1)
    return {"cards": cards, "colours": colour_legend(persons)}


def _settings(report: Report) -> Section:
    """What decided the result, and where it was computed."""
    given = report.environment
    keys = [
        *(key for key in _FIRST_IN_ENVIRONMENT if key in given),
        *(k for k in given if k not in _FIRST_IN_ENVIRONMENT),
    ]
    listed = [(key, _in_words(given[key])) for key in keys if given[key] not in (None, [], "")]
    values = {"environment": listed, "preset": presets.to_toml(report.preset)}
    return Section("settings", "Settings and versions", "settings", values)


def _in_words(value: Any) -> Any:
    """A list as words; of the processes that resumed a run, how many."""
    if not isinstance(value, list):
        return value
    return f"{len(value)} times" if isinstance(value[0], dict) else " ".join(map(str, value))
