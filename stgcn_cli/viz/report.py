"""Reports: what a run folder or result files hold, put together and written as one page."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config import catalog, class_names, presets, published_files
from stgcn_cli.config.schema import Preset
from stgcn_cli.data.locations import find_pickles
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.data.store import Store
from stgcn_cli.errors import DataError, RunError, UsageError
from stgcn_cli.evaluation import metrics, results
from stgcn_cli.evaluation.results import per_class
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.io.files import atomic_write
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import nearest_file
from stgcn_cli.runs import folder as runlog_folder
from stgcn_cli.runs import log as runlog
from stgcn_cli.runs.log import read_published
from stgcn_cli.viz import plots, skeleton
from stgcn_cli.viz.html.report import Report, Scored, report_page

PAIRS = 8  # most confused pairs shown, each with a clip
_ENDING = ".result.npz"
_MOST_BYTES = 16 << 20  # of environment.json
_NO_SCORES = "No scores were kept in this folder. `stgcn eval CHECKPOINT --out best.result.npz`, there, makes them."


def of_run(folder: Path, data: Sequence[Path] = (), reporter: Reporter = SILENT) -> Report:
    """The report of a run folder: its log, and the scores that training and evaluation left in it.

    `data` are annotations to take clips from, when they are no longer where the run found them. Raises StgcnError.
    """
    if not (folder / "preset.toml").is_file():
        raise UsageError(
            f"{folder} is no run folder: it has no preset.toml.", "Give a folder that `stgcn train` wrote."
        )
    preset, environment = presets.load(str(folder / "preset.toml")), _environment(folder / "environment.json")
    names = sorted(path.name.removesuffix(_ENDING) for path in folder.glob(f"*{_ENDING}"))
    read = [(f"{name}.pth", results.read(folder / f"{name}{_ENDING}")) for name in names]
    where = _there(data) or [Path(path) for path in environment.get("data", ()) if isinstance(path, str)]
    scored, remarks = _scored(read, preset, where, reporter)
    log, name = published_files.cached_log(preset.name), folder.resolve().name
    return Report(
        preset.name if name == preset.name else f"{preset.name}: {name}", preset, scored,
        runlog.read_log(folder / "log.jsonl"), read_published(log) if log else (), environment,
        remarks if read else [_NO_SCORES],
    )  # fmt: skip


def of_results(
    read: Sequence[tuple[str, EvalResult]], data: Sequence[Path] = (), reporter: Reporter = SILENT
) -> Report:
    """The report of named results; the preset is that of the first. `data` as for `of_run`. Raises StgcnError."""
    preset = read[0][1].preset
    where = _there(data) or list(dict.fromkeys(result.source for _, result in read if result.source))
    scored, remarks = _scored(read, preset, where, reporter)
    title = f"{preset.name}: {', '.join(name for name, _ in read)}"
    return Report(title, preset, scored, environment=runlog_folder.environment({}), remarks=remarks)


def write(report: Report, path: Path) -> None:
    """Write the page whole. Raises RunError when it cannot be written."""
    content = report_page(report).encode("utf-8", "replace")
    with atomic_write(path) as stream:
        stream.write(content)


def write_beside(result: EvalResult, stem: Path, name: str, reporter: Reporter) -> list[Path]:
    """Write <stem>.report.html for the result of the checkpoint `name`; nothing when no clip has a label."""
    if not len(result.labelled.labels):
        return []
    path = stem.with_name(stem.name + ".report.html")
    return [path] if write_or_warn(lambda: of_results([(name, result)]), path, reporter) else []


def write_or_warn(make: Callable[[], Report], path: Path, reporter: Reporter) -> Path | None:
    """Write the report that `make` gives, at the end of a run or an evaluation, which it must not spoil.

    Whatever is wrong with the report is a warning, and None is returned; a disk that cannot be written raises RunError.
    """
    try:
        write(make(), path)
    except RunError:
        raise
    except Exception as error:  # the run is done and kept, whatever happens here
        reporter.warn(f"The report {path} could not be written: {str(error) or type(error).__name__}.")
        return None
    return path


def _there(data: Sequence[Path]) -> Sequence[Path]:
    """The annotations the user gave. Raises DataError for one that is not there."""
    if absent := next((path for path in data if not path.exists()), None):
        raise DataError(
            f"There is no {absent}.{nearest_file(absent)}",
            "Without --data the clips are looked for where the run found them.",
        )
    return data


def _environment(path: Path) -> dict[str, Any]:
    """What environment.json says; empty when it is missing or damaged."""
    try:
        with open(path, "rb") as stream:
            value = json.loads(stream.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _scored(
    read: Sequence[tuple[str, EvalResult]], preset: Preset, where: Sequence[Path], reporter: Reporter
) -> tuple[list[Scored], list[str]]:
    """The results with their worst confusions and the clips that show them, and remarks on what was not found."""
    if not read:
        return [], []
    stores = _stores(preset, read[0][1].split, where, reporter)
    counts = _training_counts(preset, stores)
    scored = []
    for name, result in read:
        split = _split(stores, result.split)
        pairs = metrics.most_confused(result.scores, result.labels, PAIRS)
        places = [pair.example for pair in pairs]
        clips = [skeleton.motion(split, result.preset, result.names, place) if split else None for place in places]
        scored.append(Scored(name, result, list(zip(pairs, clips, strict=True)), counts))
    missing = any(motion is None for each in scored for _, motion in each.examples)
    return scored, [_no_clips(where)] if missing else []


def _no_clips(where: Sequence[Path]) -> str:
    places = ", ".join(map(str, where)) or "the data folder"
    return f"Some clips were not found in {places}, so they cannot be watched. `stgcn report … --data FILE` says where they are."


def _stores(preset: Preset, split: str, where: Sequence[Path], reporter: Reporter) -> list[Store]:
    """The annotations as far as they are there; a report does without them."""
    try:
        pickles = find_pickles(preset.data.dataset, (preset.data.train, split), [p for p in where if p.exists()])
        with reporter.progress("read the annotations", None) as advance:
            return open_stores(pickles, advance)
    except DataError:
        return []


def _split(stores: Sequence[Store], name: str) -> Split | None:
    try:
        return find_split(stores, name, whole_lists=True)
    except DataError:
        return None


def _training_counts(preset: Preset, stores: Sequence[Store]) -> np.ndarray | None:
    """(classes,) training clips out of the annotations, else as the preset's loss lists them, else None.

    The published lists are not in the order of the classes, so they say nothing of a class.
    """
    classes, listed = preset.model.num_classes, preset.loss.class_counts
    try:
        labels = find_split(stores, preset.data.train).labels
        return np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
    except DataError:
        is_in_order = listed not in [presets.load(entry.preset).loss.class_counts for entry in catalog.PUBLISHED]
        return np.array(listed) if isinstance(listed, tuple) and is_in_order else None


def write_class_files(result: EvalResult, stem: Path) -> list[Path]:
    """Write <stem>.per_class.csv and <stem>.confusion.png; nothing when no clip has a label."""
    if not len(result.labelled.labels):
        return []
    import pandas

    table, picture = stem.with_name(stem.name + ".per_class.csv"), stem.with_name(stem.name + ".confusion.png")
    with atomic_write(table, "w") as stream:
        pandas.DataFrame(per_class(result)).to_csv(stream, index=False, lineterminator="\n")
    title = (
        f"{result.preset.name}, {result.split}: top-1 {100 * result.metrics['top1_acc']:.2f} %"
        if "top1_acc" in result.metrics
        else result.preset.name
    )
    plots.confusion_matrix(result.confusion, class_names.class_names(result.preset), picture, title)
    return [table, picture]
