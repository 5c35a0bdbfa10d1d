"""Sections of a report that compare runs or results: curves, metrics, settings, classes and clips that changed."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.config.class_names import class_names
from stgcn_cli.config.schema import Preset
from stgcn_cli.evaluation import metrics
from stgcn_cli.evaluation.pairs import Pair, mcnemar, pair
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.io.text import shortened
from stgcn_cli.viz import plots
from stgcn_cli.viz.html.page import Cell, Column, Section, Table, drawing

_CLIPS = 50  # flipped clips listed in each direction
_DASH = "–"
_OF_A_RUN = ("seed", "precision", "gpus", "device", "torch", "data")  # what its environment has beside the preset


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A run or a result: its name, preset, scores (None: a run without), and the records of its log."""

    name: str
    preset: Preset
    result: EvalResult | None = None
    log: Sequence[Mapping[str, Any]] = ()
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def sections(entries: Sequence[Compared]) -> list[Section]:
    """Compare the first entry with each of the others. Raises DataError when they do not belong together."""
    first = entries[0].result
    pairs = [(each, pair(first, each.result)) for each in entries[1:] if first is not None and each.result is not None]
    tests = [_test(f"{entries[0].name} → {other.name}", both) for other, both in pairs]
    found = [Section("comparison", "Comparison", "compared", {"content": _metrics(entries), "tests": tests})]
    logs = [(each.name, each.log) for each in entries]
    if curves := drawing(lambda: plots.compared_curves(logs)):
        narrow = drawing(lambda: plots.compared_curves(logs, stacked=True), "narrow")
        values = {"drawing": curves, "narrow": narrow, "has_published": False}
        found.append(Section("curves", "Learning curves", "curves", values))
    if settings := _settings(entries):
        found.append(Section("differences", "Different settings", "plain_table", {"content": settings}))
    for index, (other, both) in enumerate(pairs):
        after = f": {entries[0].name} → {other.name}"
        changes = {"content": _class_changes(both, class_names(other.preset))}
        found.append(Section(f"changes-{index}", f"Classes{after}", "plain_table", changes))
        clips = {"lists": [_clips(both, class_names(other.preset), gained) for gained in (True, False)]}
        found.append(Section(f"clips-{index}", f"Clips{after}", "flipped", clips))
    return found


def _metrics(entries: Sequence[Compared]) -> Table:
    """A row for each entry: epochs, best validation and the metrics of its scores."""
    known = [metrics.informative(e.result.metrics, e.preset.model.num_classes) if e.result else {} for e in entries]
    names = list(dict.fromkeys(name for each in known for name in each))
    columns = [Column("Name"), Column("Preset"), Column("Epochs", True), Column("Best validation top-1", True)]
    rows = []
    for entry, measured in zip(entries, known, strict=True):
        epochs = sum(record["mode"] == "epoch" for record in entry.log)
        best = max((r["top1_acc"] for r in entry.log if r["mode"] == "val" and "top1_acc" in r), default=None)
        cells = [Cell(entry.name), Cell(entry.preset.name), Cell(epochs or _DASH), _share(best)]
        rows.append([*cells, *(_share(measured.get(name)) for name in names)])
    return Table([*columns, *(Column(name, True) for name in names)], rows)


def _share(value: float | None) -> Cell:
    return Cell(_DASH) if value is None else Cell(f"{100 * value:.2f} %", value)


def _test(names: str, both: Pair) -> str:
    """A sentence: flipped clips and McNemar's test."""
    gained, lost = len(both.gained), len(both.lost)
    p = mcnemar(gained, lost)
    verdict = "is unlikely to be chance" if p < 0.05 else "may be chance"
    more = f" {both.only_one:,} clips are in one of the results only." if both.only_one else ""
    return (
        f"{names}: of {len(both.names):,} common clips, {gained:,} became right and {lost:,} wrong; McNemar's test gives "
        f"p = {p:.3g}, so the difference {verdict}.{more}"
    )


def _settings(entries: Sequence[Compared]) -> Table | None:
    """Settings that are not the same in all entries."""
    flat = [
        presets.flat(each.preset) | {k: v for k, v in each.environment.items() if k in _OF_A_RUN} for each in entries
    ]
    keys = list(dict.fromkeys(key for each in flat for key in each))
    keys = [k for k in keys if len({str(each.get(k)) for each in flat}) > 1 and k not in ("name", "description")]
    if not keys:
        return None
    rows = [[Cell(key), *(Cell(shortened(each.get(key, _DASH), 80)) for each in flat)] for key in keys]
    return Table([Column("Setting"), *(Column(each.name) for each in entries)], rows)


def _class_changes(both: Pair, names: Sequence[str]) -> Table:
    """Classes by how much their accuracy changed, in points; sortable."""
    changes = both.class_changes()
    shown = [index for index in range(len(changes)) if np.isfinite(changes[index]).all()]
    rows = []
    for index in sorted(shown, key=lambda i: changes[i, 0] - changes[i, 1]):
        before, after = map(float, changes[index])
        change = 100 * (after - before)
        clips = int((both.labels == index).sum())
        rows.append(
            [Cell(names[index]), Cell(f"{change:+.1f}", change), _share(before), _share(after), Cell(clips, clips)]
        )
    columns = [Column("Class"), Column("Points", True), Column("Before", True), Column("After", True)]
    return Table([*columns, Column("Clips", True)], rows, sortable=True)


def _clips(both: Pair, names: Sequence[str], gained: bool) -> dict[str, Any]:
    """The clips that flipped in one direction, with what they were taken for."""
    indices = both.gained if gained else both.lost
    wrong = both.first if gained else both.second
    rows = [[Cell(both.names[i]), Cell(names[both.labels[i]]), Cell(names[wrong[i]])] for i in indices[:_CLIPS]]
    more = f", the first {_CLIPS} of them" if len(indices) > _CLIPS else ""
    heading = f"{'Became right' if gained else 'Became wrong'}: {len(indices):,}{more}"
    columns = [Column("Clip"), Column("Label"), Column("Taken for " + ("before" if gained else "now"))]
    return {"heading": heading, "content": Table(columns, rows) if rows else None}
