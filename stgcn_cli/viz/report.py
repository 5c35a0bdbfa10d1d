"""Reports: collect what a run folder or result files hold, and write the page."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stgcn_cli.config import catalog, presets, published_files
from stgcn_cli.config.schema import Preset
from stgcn_cli.data.locations import find_pickles
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.data.store import Store
from stgcn_cli.errors import DataError, RunError, UsageError
from stgcn_cli.evaluation import metrics, results
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import nearest_file
from stgcn_cli.runs import settings
from stgcn_cli.runs.folder import environment
from stgcn_cli.runs.log import numbers_of, read_log, read_published
from stgcn_cli.viz.html.comparison import Compared
from stgcn_cli.viz.html.page import write_page
from stgcn_cli.viz.html.report import Report, Scored, report_page
from stgcn_cli.viz.skeleton import stored_motion

PAIRS = 8  # most confused pairs shown, each with a clip
_ENDING = ".result.npz"
NO_SCORES = "This folder holds no scores. Write them there: stgcn eval CHECKPOINT --out best.result.npz"


def of_run(folder: Path, data: Sequence[Path] = (), reporter: Reporter = SILENT) -> Report:
    """The report of a run folder: its log, and the scores that training and evaluation left in it.

    `data` are annotations to take clips from, by default those of the run. Raises StgcnError.
    """
    if not (folder / "preset.toml").is_file():
        raise UsageError(
            f"{folder} is not a run folder: it has no preset.toml.",
            "Give a folder that `stgcn train` wrote. List them: stgcn runs",
        )
    preset, known = presets.load(str(folder / "preset.toml")), settings.environment_of(folder)
    names = sorted(path.name.removesuffix(_ENDING) for path in folder.glob(f"*{_ENDING}"))
    read = [(f"{name}.pth", results.read(folder / f"{name}{_ENDING}")) for name in names]
    for name, result in read:
        if result.preset.model.num_classes != preset.model.num_classes:
            raise DataError(
                f"{folder / name.removesuffix('.pth')}{_ENDING} has {result.preset.model.num_classes} classes, "
                f"preset.toml {preset.model.num_classes}: they are of different runs.",
                "Remove the result, or write it again with `stgcn eval`.",
            )
    pickles = _existing(data) or settings.recorded(folder)["data"]
    scored, remarks = _scored(read, preset, pickles, reporter)
    log, name = published_files.cached_log(preset.name), folder.resolve().name
    return Report(
        title=preset.name if name == preset.name else f"{preset.name}: {name}", preset=preset, scored=scored,
        log=numbers_of(read_log(folder / "log.jsonl")), published=read_published(log) if log else (), environment=known,
        remarks=remarks if read else [NO_SCORES],
    )  # fmt: skip


def of_results(
    read: Sequence[tuple[str, EvalResult]], data: Sequence[Path] = (), reporter: Reporter = SILENT
) -> Report:
    """The report of named results; the preset is that of the first. `data` as for `of_run`. Raises StgcnError."""
    preset = read[0][1].preset
    pickles = _existing(data) or list(dict.fromkeys(result.source for _, result in read if result.source))
    scored, remarks = _scored(read, preset, pickles, reporter)
    title = f"{preset.name}: {', '.join(name for name, _ in read)}"
    return Report(title=title, preset=preset, scored=scored, environment=environment({}), remarks=remarks)


def of_several(sources: Sequence[Path], data: Sequence[Path] = (), reporter: Reporter = SILENT) -> Report:
    """The report that compares run folders and result files of equal classes. Raises UsageError, DataError."""
    reports = [
        (
            str(path),
            of_run(path, data, reporter) if path.is_dir() else of_results([(path.stem, results.read(path))], data),
        )
        for path in sources
    ]
    first = reports[0][1].preset.model.num_classes
    for name, report in reports[1:]:
        if (classes := report.preset.model.num_classes) != first:
            raise UsageError(
                f"{reports[0][0]} has {first} classes, {name} has {classes}: they cannot be compared.",
                f"Write a report for each: stgcn report {name}",
            )
    mains = [  # best.pth, else the first, if there is one
        next((each for each in report.scored if each.name == "best.pth"), next(iter(report.scored), None))
        for _, report in reports
    ]
    compared = [
        Compared(
            name=name, preset=report.preset, result=main.result if main else None, log=report.log,
            environment=report.environment,
        )
        for (name, report), main in zip(reports, mains, strict=True)
    ]  # fmt: skip
    scored = [
        dataclasses.replace(main, name=f"{path}/{main.name}" if path.is_dir() else main.name)
        for path, main in zip(sources, mains, strict=True)
        if main
    ]
    return Report(
        title=" and ".join(Path(name).name for name, _ in reports), preset=reports[0][1].preset, scored=scored,
        environment=environment({}), remarks=list(dict.fromkeys(text for _, r in reports for text in r.remarks)),
        compared=compared,
    )  # fmt: skip


def write_beside(result: EvalResult, stem: Path, name: str, reporter: Reporter) -> list[Path]:
    """Write <stem>.report.html for the result of the checkpoint `name`; nothing when no clip has a label."""
    if not len(result.labelled.labels):
        return []
    path = stem.with_name(stem.name + ".report.html")
    return [path] if write_or_warn(lambda: of_results([(name, result)]), path, reporter) else []


def write_or_warn(make: Callable[[], Report], path: Path, reporter: Reporter) -> Path | None:
    """Write the report that `make` returns, after a run or an evaluation: an error is a warning and returns None.

    Raises RunError when the file cannot be written.
    """
    try:
        write_page(path, report_page(make()))
    except RunError:
        raise
    except Exception as error:  # the run is done: its report must not make it fail
        reporter.warn(f"The report {path} could not be written: {str(error) or type(error).__name__}.")
        return None
    return path


def _existing(data: Sequence[Path]) -> Sequence[Path]:
    """The annotations that the user gave. Raises DataError for a missing one."""
    if missing := next((path for path in data if not path.exists()), None):
        raise DataError(f"{missing} not found.{nearest_file(missing)}", "Without --data the data of the run are used.")
    return data


def _scored(
    read: Sequence[tuple[str, EvalResult]], preset: Preset, pickles: Sequence[Path], reporter: Reporter
) -> tuple[list[Scored], list[str]]:
    """The results with their worst confusions and the clips that show them, and remarks on missing clips."""
    if not read:
        return [], []
    stores = _stores(preset, read[0][1].split, pickles, reporter)
    counts, scored, is_missing = _training_counts(preset, stores), [], False
    for name, result in read:
        split, examples = _split(stores, result.split), []
        for pair in metrics.most_confused(result.scores, result.labels, PAIRS):
            motion = stored_motion(split, result.preset, result.names, pair.example) if split else None
            examples.append((pair, motion))
            is_missing |= motion is None
        scored.append(Scored(name, result, examples, counts))
    where = ", ".join(map(str, pickles)) or "the data folder"
    missing = f"Some clips were not found in {where} and are not shown. Give their file: stgcn report … --data FILE"
    return scored, [missing] if is_missing else []


def _stores(preset: Preset, split: str, pickles: Sequence[Path], reporter: Reporter) -> list[Store]:
    """The stores of the annotations that can be read; a report does without them."""
    try:
        found = find_pickles(
            preset.data.dataset, (preset.data.train, split), [p for p in pickles if p.is_file() or p.is_dir()]
        )
        return open_stores(found, reporter)
    except DataError:
        return []


def _split(stores: Sequence[Store], name: str) -> Split | None:
    try:
        return find_split(stores, name, whole_lists=True)
    except DataError:
        return None


def _training_counts(preset: Preset, stores: Sequence[Store]) -> np.ndarray | None:
    """(classes,) training clips in the annotations, else in the loss of the preset, else None.

    The lists of the published presets are not in the order of the classes, so they are not used.
    """
    classes, listed = preset.model.num_classes, preset.loss.class_counts
    try:
        labels = find_split(stores, preset.data.train).labels
        return np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
    except DataError:
        is_in_order = listed not in [presets.load(entry.preset).loss.class_counts for entry in catalog.PUBLISHED]
        return np.array(listed) if isinstance(listed, tuple) and is_in_order else None
