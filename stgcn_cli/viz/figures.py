"""Files beside a result or a report: tables of classes for scripts, learning curves and confusion matrices as figures."""

from pathlib import Path
from typing import Any

from stgcn_cli.config.class_names import class_names
from stgcn_cli.evaluation import results
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.io.files import atomic_write, is_stream
from stgcn_cli.io.outputs import OutputRule
from stgcn_cli.io.text import csv_cell
from stgcn_cli.viz import plots
from stgcn_cli.viz.html.report import Report

_CORNER = "label \\ predicted"  # of confusion.csv


def files_beside(stem: Path) -> list[Path]:
    """What `write_class_files` and `write_beside` write for a result of this name; nothing beside a stream."""
    if is_stream(stem):
        return []
    return [
        stem.with_name(stem.name + ending)
        for ending in (".per_class.csv", ".confusion.csv", ".confusion.png", ".report.html")
    ]


def place_result(out: Path, rule: OutputRule) -> Path:
    """Return where a result goes, where it and the files beside it may be written. Raises UsageError."""
    results.writer_for(out)
    out = rule.place(out)
    rule.check(*files_beside(out.with_suffix("")))
    return out


def write_class_files(result: EvalResult, stem: Path) -> list[Path]:
    """Write <stem>.per_class.csv, .confusion.csv (counts; rows are labels) and .confusion.png; nothing without labels.

    Nothing is written beside a stream.
    """
    if is_stream(stem) or not len(result.labelled.labels):
        return []
    import pandas

    table, counts, picture, _ = files_beside(stem)
    with atomic_write(table, "w") as stream:
        rows = [
            row | {key: csv_cell(row[key]) for key in ("name", "most_often_taken_for")}
            for row in results.per_class(result)
        ]
        pandas.DataFrame(rows).to_csv(stream, index=False, lineterminator="\n")
    names = [csv_cell(name) for name in class_names(result.preset)]
    matrix = pandas.DataFrame(result.confusion, index=pandas.Index(names, name=_CORNER), columns=names)
    with atomic_write(counts, "w") as stream:
        matrix.to_csv(stream, lineterminator="\n")
    plots.save(_confusion_figure(result), picture)
    return [table, counts, picture]


def _confusion_figure(result: EvalResult) -> Any:
    title = result.preset.name
    if "top1_acc" in result.metrics:
        title += f", {result.split}: top-1 {100 * result.metrics['top1_acc']:.2f} %"
    return plots.confusion_matrix(result.confusion, class_names(result.preset), title)


def report_figures(report: Report, folder: Path, format: str) -> dict[Path, Any]:
    """Figures of a report for a paper by their paths: the learning curve, and the confusion matrix of each result."""
    logs = [(each.name, each.log) for each in report.compared]
    curve = plots.compared_curves(logs) if logs else plots.curves(report.log, report.title, report.published)
    figures = {"learning_curve": curve} if curve else {}
    for each in report.scored:
        if len(each.result.labelled.labels):
            figures[each.name.removesuffix(".pth").replace("/", "-") + ".confusion"] = _confusion_figure(each.result)
    return {folder / f"{name}.{format}": figure for name, figure in figures.items()}
