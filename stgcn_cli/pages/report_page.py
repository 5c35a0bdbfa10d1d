"""The report of a run or of results: what came out, for which classes, what is confused, and how it was made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stgcn_cli import charts, compare, metrics, presets
from stgcn_cli.config import Preset
from stgcn_cli.pages import figures
from stgcn_cli.pages.markup import facts, folded, paragraph, text, tiles, verbatim
from stgcn_cli.pages.page import Section, page
from stgcn_cli.pages.result_sections import Scored, result_sections

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
    if curves := figures.figure(lambda: charts.curves(report.log, "", report.published)):
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
    for name, value in metrics.telling(result.metrics, result.preset.model.num_classes).items():
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
    best = metrics.telling(best, classes)
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
