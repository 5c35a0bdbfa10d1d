"""The report of a run or of results: what came out, for which classes, what is confused, and how it was made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgcn_cli.config import class_names, presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.evaluation import compare, metrics, results
from stgcn_cli.evaluation.metrics import Confusion
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.viz import plots, skeleton
from stgcn_cli.viz.html import page as figures
from stgcn_cli.viz.html.clip import REPORT_FRAMES, as_clip, player
from stgcn_cli.viz.html.page import Cell, Column, Section, facts, folded, page, paragraph, table, text, tiles, verbatim
from stgcn_cli.viz.skeleton import Motion

# What a report shows of one result: its confusion matrix, its classes, and its most confused pairs with a clip each.

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
    counts, names = result.confusion, class_names.class_names(result.preset)
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
    names, cards = class_names.class_names(scored.result.preset), []
    for index, (pair, motion) in enumerate(scored.examples):
        label, taken, name = names[pair.label], names[pair.taken_for], scored.result.names[pair.example]
        words = f"{pair.clips:,} of {pair.of:,} clips. Here {name}: labelled {label}, taken for {taken} with {100 * pair.probability:.0f} %."
        shown = paragraph("The frames of this clip were not found.")
        if motion:
            data["clips"][f"clip{suffix}-{index}"] = as_clip(motion, REPORT_FRAMES)
            shown = player(f"clip{suffix}-{index}")
        cards.append(f'<div class="card"><h3>{text(label)} → {text(taken)}</h3>{paragraph(words)}{shown}</div>')
    colours = skeleton.in_words(max((len(motion.points) for _, motion in scored.examples if motion), default=1))
    note = f'<p class="soft">Drag a skeleton to turn it; space plays, arrows step. {colours}</p>'
    return note + f'<div class="cards">{"".join(cards)}</div>'


_METRICS = {
    "top1_acc": "top-1",
    "top5_acc": "top-5",
    "mean_class_accuracy": "mean class",
    "mean_class_accuracy_labelled": "mean class, labelled ones",
}
_VERDICTS = {"within": f"within {compare.TOLERANCE:g} points of", "below": "below", "above": "above"}
_FIRST_IN_ENVIRONMENT = ("command", "stgcn", "python", "torch", "numpy", "cuda", "gpus", "device", "precision", "seed")


@dataclass(frozen=True)
class Report:
    """All that a report shows. `log` are the records of log.jsonl, `published` those of the published log."""

    title: str
    preset: Preset
    scored: Sequence[Scored] = ()
    log: Sequence[dict[str, Any]] = ()
    published: Sequence[dict[str, Any]] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    remarks: Sequence[str] = ()


def report_page(report: Report) -> str:
    """The report as one page of HTML."""
    data: dict[str, Any] = {"clips": {}, "matrices": {}}
    sections = [_summary(report)]
    if curves := figures.figure(lambda: plots.curves(report.log, "", report.published)):
        sections.append(Section("curves", "Learning curves", curves + _told_of_published(report)))
    for index, scored in enumerate(report.scored):
        sections += result_sections(scored, f"-{index}", len(report.scored) > 1, data)
    sections.append(_settings(report))
    lead = paragraph(report.preset.description) if report.preset.description else ""
    return page(report.title, lead, sections, data)


def _summary(report: Report) -> Section:
    remarks = "".join(f'<p class="warning">{text(remark)}</p>' for remark in report.remarks)
    blocks = [_figures(scored, len(report.scored) > 1) for scored in report.scored]
    if not blocks:
        blocks = [tiles(_logged(report.log, report.preset.model.num_classes))]
    return Section("summary", "Summary", "".join(blocks) + _course(report) + remarks)


def _figures(scored: Scored, is_named: bool) -> str:
    """The metrics of a result, beside the published ones where there are some."""
    result, known = scored.result, scored.result.labelled
    seen = set(known.labels.tolist())
    beside = compare.with_published(result.preset, result.split, len(known.labels), len(seen), result.metrics)
    published = {each.metric: each for each in beside.metrics} if beside else {}
    shown = []
    for name, value in metrics.informative(result.metrics, result.preset.model.num_classes).items():
        other = published.get(name)
        remark = f"{_VERDICTS[other.verdict]} the published {100 * other.published:.2f} %" if other else ""
        shown.append((_METRICS.get(name, name), f"{100 * value:.2f} %", remark))
    clips = (
        f"{len(result.labels) - len(known.labels):,} without a label" if len(known.labels) < len(result.labels) else ""
    )
    shown.append((f"clips of {result.split}", f"{len(result.labels):,}", clips))
    shown.append(("classes with clips", f"{len(seen)} of {result.preset.model.num_classes}", ""))
    heading = f"<h3>{text(scored.name)}</h3>" if is_named else ""
    differs = (
        f"Not as published, so compare with care: {'; '.join(beside.differs)}." if beside and beside.differs else ""
    )
    return heading + tiles(shown) + (paragraph(differs) if differs else "")


def _logged(log: Sequence[dict[str, Any]], classes: int) -> list[tuple[str, str, str]]:
    """The best validation the log tells of, for a run whose scores were not kept."""
    checks = [record for record in log if record["mode"] == "val" and "top1_acc" in record]
    if not checks:
        return []
    best = max(checks, key=lambda record: record["top1_acc"])
    best = metrics.informative(best, classes)
    return [(_METRICS[key], f"{100 * best[key]:.2f} %", f"epoch {best['epoch']}") for key in _METRICS if key in best]


def _course(report: Report) -> str:
    """How far the run went and how long it took."""
    epochs = [record for record in report.log if record["mode"] == "epoch"]
    checks = [record for record in report.log if record["mode"] == "val"]
    if not epochs:
        return ""
    seconds = sum(float(record.get("time", 0)) for record in [*epochs, *checks])
    told = f"{len(epochs)} of {report.preset.train.epochs} epochs in {_duration(seconds)}"
    ranked = [record for record in checks if "top1_acc" in record]
    if ranked:
        best = max(ranked, key=lambda record: record["top1_acc"])
        told += f"; the best validation, {100 * best['top1_acc']:.2f} % top-1, was after epoch {best['epoch']}"
    return paragraph(told + ".")


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    if minutes < 2:
        return f"{seconds:.0f} seconds"
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{hours:.1f} hours"


def _told_of_published(report: Report) -> str:
    return '<p class="soft">Grey: the published run, from its training log.</p>' if report.published else ""


def _settings(report: Report) -> Section:
    """What decided the result, and where it was computed."""
    known = report.environment
    keys = [key for key in _FIRST_IN_ENVIRONMENT if key in known] + [k for k in known if k not in _FIRST_IN_ENVIRONMENT]
    listed = facts([(key, _plain(known[key])) for key in keys if known[key] not in (None, [], "")])
    resolved = folded("The preset, as it was resolved", verbatim(presets.to_toml(report.preset)))
    return Section("settings", "Settings and versions", listed + resolved)


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
