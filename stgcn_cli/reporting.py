"""Reports: what a run folder or result files hold, put together and written as one page."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli import catalog, download, example_clips, metrics, presets, results, runlog
from stgcn_cli.config import Preset
from stgcn_cli.data.places import find_pickles
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.data.store import Store
from stgcn_cli.errors import DataError, RunError, UsageError
from stgcn_cli.evaluation import EvalResult
from stgcn_cli.files import written_whole
from stgcn_cli.pages.report_page import Report, Scored, report_page
from stgcn_cli.published_log import read_published
from stgcn_cli.screen import SILENT, Screen
from stgcn_cli.wording import nearest_file

PAIRS = 8  # most confused pairs shown, each with a clip
_ENDING = ".result.npz"
_MOST_BYTES = 16 << 20  # of environment.json
_NO_SCORES = "No scores were kept in this folder. `stgcn eval CHECKPOINT --out best.result.npz`, there, makes them."


def of_run(folder: Path, data: Sequence[Path] = (), screen: Screen = SILENT) -> Report:
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
    scored, remarks = _scored(read, preset, where, screen)
    log, name = download.cached_log(preset.name), folder.resolve().name
    return Report(
        preset.name if name == preset.name else f"{preset.name}: {name}", preset, scored,
        runlog.read_log(folder / "log.jsonl"), read_published(log) if log else (), environment,
        remarks if read else [_NO_SCORES],
    )  # fmt: skip


def of_results(read: Sequence[tuple[str, EvalResult]], data: Sequence[Path] = (), screen: Screen = SILENT) -> Report:
    """The report of named results; the preset is that of the first. `data` as for `of_run`. Raises StgcnError."""
    preset = read[0][1].preset
    where = _there(data) or list(dict.fromkeys(result.source for _, result in read if result.source))
    scored, remarks = _scored(read, preset, where, screen)
    title = f"{preset.name}: {', '.join(name for name, _ in read)}"
    return Report(title, preset, scored, environment=runlog.environment({}), remarks=remarks)


def write(report: Report, path: Path) -> None:
    """Write the page whole. Raises RunError when it cannot be written."""
    content = report_page(report).encode("utf-8", "replace")
    with written_whole(path) as stream:
        stream.write(content)


def write_beside(result: EvalResult, stem: Path, name: str, screen: Screen) -> list[Path]:
    """Write <stem>.report.html for the result of the checkpoint `name`; nothing when no clip has a label."""
    if not len(result.labelled.labels):
        return []
    path = stem.with_name(stem.name + ".report.html")
    return [path] if write_or_warn(lambda: of_results([(name, result)]), path, screen) else []


def write_or_warn(make: Callable[[], Report], path: Path, screen: Screen) -> Path | None:
    """Write the report that `make` gives, at the end of a run or an evaluation, which it must not spoil.

    Whatever is wrong with the report is a warning, and None is returned; a disk that cannot be written raises RunError.
    """
    try:
        write(make(), path)
    except RunError:
        raise
    except Exception as error:  # the run is done and kept, whatever happens here
        screen.warn(f"The report {path} could not be written: {str(error) or type(error).__name__}.")
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
    read: Sequence[tuple[str, EvalResult]], preset: Preset, where: Sequence[Path], screen: Screen
) -> tuple[list[Scored], list[str]]:
    """The results with their worst confusions and the clips that show them, and remarks on what was not found."""
    if not read:
        return [], []
    stores = _stores(preset, read[0][1].split, where, screen)
    counts = _training_counts(preset, stores)
    scored = []
    for name, result in read:
        split = _split(stores, result.split)
        pairs = metrics.most_confused(result.scores, result.labels, PAIRS)
        places = [pair.example for pair in pairs]
        clips = [example_clips.motion(split, result.preset, result.names, place) if split else None for place in places]
        scored.append(Scored(name, result, list(zip(pairs, clips, strict=True)), counts))
    missing = any(motion is None for each in scored for _, motion in each.examples)
    return scored, [_no_clips(where)] if missing else []


def _no_clips(where: Sequence[Path]) -> str:
    places = ", ".join(map(str, where)) or "the data folder"
    return f"Some clips were not found in {places}, so they cannot be watched. `stgcn report … --data FILE` says where they are."


def _stores(preset: Preset, split: str, where: Sequence[Path], screen: Screen) -> list[Store]:
    """The annotations as far as they are there; a report does without them."""
    try:
        pickles = find_pickles(preset.data.dataset, (preset.data.train, split), [p for p in where if p.exists()])
        with screen.progress("read the annotations", None) as advance:
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
