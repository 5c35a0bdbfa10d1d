"""`stgcn data validate`: every record of an annotation pickle and its splits, one record in memory at a time.

Errors stop training or make its figures false; warnings are odd and possible; notes need no answer.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data import annotations, preflight
from stgcn_cli.data.axes import summaries
from stgcn_cli.data.checks import Findings, RecordChecker
from stgcn_cli.data.locations import beside
from stgcn_cli.data.readers import recognise
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.errors import DataError
from stgcn_cli.io.reporter import SILENT, Reporter


def validate_pickle(path: Path, names: Sequence[str] | None = None, reporter: Reporter = SILENT) -> Findings:
    """What is wrong in the pickle at `path`, either dialect; `names` are those of the classes, else those of PATH.toml.

    Raises DataError when it cannot be read as annotations at all.
    """
    read = annotations.read(path)
    checking = RecordChecker(Findings(str(path), len(read.records)), read.splits is not None)
    with reporter.progress(f"validate {path.name}", len(read.records)) as advance:
        for index, record in enumerate(read.records):
            checking.look_at(record, index)
            advance()
    for note in read.notes:
        checking.told.add("note", "splits", "split", note, "")
    return checking.finish(beside(path).classes if names is None else names, read.splits)


def is_foreign(path: Path) -> bool:
    """Whether the file or folder holds clips in another format than annotation pickles."""
    try:
        return path.is_dir() or recognise(path) not in (None, "pickle")
    except OSError:  # reported where it is read
        return False


def validate_clips(path: Path, reporter: Reporter = SILENT) -> Findings:
    """What is wrong with the clips of another format. Raises DataError when there are none."""
    checking = RecordChecker(Findings(str(path)), has_splits=False, labelled=False)

    def set_aside(place: str, error: DataError) -> None:
        checking.told.add("error", place, "record", error.message, "")

    understood, notes = [], dict[str, None]()
    for clip in read_inputs([str(path)], reporter, on_bad=set_aside):
        checking.look_at(clip.record, checking.told.clips)
        checking.told.clips += 1
        understood += [clip.understood] if clip.understood else []
        notes |= dict.fromkeys(clip.notes)
    for line in [*summaries(understood), *notes]:
        checking.told.add("note", "all clips", "keypoint", line, "")
    checking.told.add("note", str(path), "record", "no annotation pickle: convert it before training", "")
    return checking.finish(())


@dataclass(frozen=True, kw_only=True)
class ValidateOptions:
    """What the user asked for."""

    file: Path
    preset: str | None = None
    settings: tuple[str, ...] = ()
    names: Sequence[str] | None = None  # of the classes
    verify: bool = False  # check every byte of the store


def validate(options: ValidateOptions, reporter: Reporter) -> Findings:
    """What is wrong in the file, and with a preset what it would say before training. Raises DataError, UsageError."""
    preset = presets.load(options.preset, options.settings) if options.preset else None
    if is_foreign(options.file):
        return validate_clips(options.file, reporter)
    found = validate_pickle(options.file, options.names, reporter)
    if options.verify and not found.count("error"):
        with reporter.progress("verify the store", None) as advance:
            open_stores([options.file], advance, note=reporter.warn, verify=True)
    if preset is None or found.count("error"):
        return found
    try:
        _check_with(preset, options.file, found)
    except DataError as error:
        found.add("error", preset.name, "preset", _in_one_line(error), "")
    return found


def _check_with(preset: Preset, file: Path, found: Findings) -> None:
    """Run the checks that precede training. A missing split is reported, and the whole file is checked in its place."""
    stores, splits = open_stores([file]), []
    for name, training in ((preset.data.train, True), (preset.data.val, False)):
        if not stores[0].has_splits and stores[0].indices(name) is None:
            continue  # a list is one split; the other has its own file
        try:
            split = find_split(stores, name)
            splits.append(split)
        except DataError as error:
            found.add("error", f"split {name}", "preset", _in_one_line(error), "")
            split = Split(name, stores[0], np.arange(len(stores[0])))
        for warning in preflight.check(preset, split, training=training):
            found.add("warning", f"split {name}", "preset", warning, "")
    for warning in preflight.check_pair(*splits) if len(splits) == 2 else ():
        found.add("warning", "both splits", "preset", warning, "")


def _in_one_line(error: DataError) -> str:
    return " ".join(f"{error.message} {error.hint}".split("\n")).strip()


def next_command(options: ValidateOptions, found: Findings) -> str:
    """What to type after this."""
    file, beside = shlex.quote(str(options.file)), options.file.with_suffix(".toml")
    if found.count("error"):
        return f"stgcn data validate {file}"
    if is_foreign(options.file):
        return f"stgcn data convert {file} --out {shlex.quote(str(options.file.with_suffix('.pkl')))}"
    preset = options.preset or (str(beside) if beside.is_file() else _shipped_for(options.file.stem))
    if preset is None:
        return f"stgcn data convert {file} --out {shlex.quote(str(options.file.with_stem(options.file.stem + '_own')))}"
    settings = "".join(f" --set {shlex.quote(setting)}" for setting in options.settings)
    return f"stgcn train --preset {shlex.quote(preset)}{settings} --data {file}"


def _shipped_for(dataset: str) -> str | None:
    """The first preset that is trained on this data set, as `prepare` calls its file."""
    return next((name for name in presets.names() if presets.load(name).data.dataset == dataset), None)
