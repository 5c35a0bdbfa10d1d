"""`stgcn data validate`: every record of an annotation pickle and its splits, one record in memory at a time.

Errors stop training or make its figures false; warnings are odd and possible; notes need no answer.
"""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.config.skeletons import some
from stgcn_cli.data import annotations, preflight
from stgcn_cli.data.checks import Findings, RecordChecker, check_splits
from stgcn_cli.data.locations import names_beside
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.errors import DataError
from stgcn_cli.io.reporter import SILENT, Reporter

_RELATIVE = 2.0  # pixels beyond this are no shares of an image
_ALL = "all records"


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
    _check_labels(checking, names_beside(path) if names is None else names)
    _check_names(checking)
    _check_units(checking)
    for key, count in checking.unknown.items():
        where = f"{count:,} of {checking.told.clips:,} records"
        checking.told.add("note", where, key, "a key that is not used here", "")
    if not checking.told.clips:
        checking.told.add("error", _ALL, "record", "there is none", "records")
    if read.splits is not None:
        check_splits(checking.told, checking.names, read.splits)
    return checking.told


def _check_labels(checking: RecordChecker, names: Sequence[str]) -> None:
    """Note labels that leave gaps, count from 1, are all alike, or have no name."""
    told = checking.told
    found = sorted({label for labels in checking.labels.values() for label in labels} - {-1})
    if not found:
        return
    if len(found) == 1:
        told.add("warning", _ALL, "label", f"all are {found[0]}", "several classes")
    missing = sorted(set(range(found[-1])) - set(found))
    if missing[:1] == [0]:
        told.add("warning", _ALL, "label", f"from {found[0]} to {found[-1]}, none is 0: are they counted from 1?")
    elif missing:
        said = f"up to {found[-1]}, but none is {some(list(map(str, missing)))}"
        told.add("warning", _ALL, "label", said, "every class")
    for name, labels in checking.labels.items() if names else ():
        for label in labels:
            if label >= len(names):
                told.add("error", name, "label", str(label), f"0 to {len(names) - 1}, for {len(names)} classes")


def _check_names(checking: RecordChecker) -> None:
    """Note names that stand there more than once; under several labels, as in BABEL, they may be meant so."""
    for name, labels in checking.labels.items():
        for label, count in Counter(labels).items():
            if count > 1:
                said = f"{count} records of this name with label {label}"
                checking.told.add("warning", name, "frame_dir", said, "one")
        if len(set(labels)) > 1:
            listed = ", ".join(map(str, sorted(set(labels))))
            checking.told.add("note", name, "label", f"one name under the labels {listed}", "")


def _check_units(checking: RecordChecker) -> None:
    """Note coordinates that cannot be pixels, and a score that stands where z should be."""
    if checking.shape is None:
        return
    joints, values, has_score = checking.shape
    low, high = checking.third
    if values == 2 and 0 < checking.largest <= _RELATIVE:
        said = f"no coordinate is above {checking.largest:.3g}: are these shares of the image?"
        checking.told.add("warning", _ALL, "keypoint", said, "pixels")
    if (joints, values, has_score) == (17, 3, False) and low >= 0 and high <= 1 < checking.largest:
        said = f"the third value is from {low:.3g} to {high:.3g}: is it a score?"
        expected = "z; for a score: stgcn data convert FILE --score-last --out NEW.pkl"
        checking.told.add("warning", _ALL, "keypoint", said, expected)


# A validation as the user wishes it: the file by itself, then against the preset that is to use it.


@dataclass(frozen=True)
class ValidateOptions:
    """What the user asked for."""

    file: Path
    preset: str | None = None
    settings: tuple[str, ...] = ()
    names: Sequence[str] | None = None  # of the classes


def validate(wishes: ValidateOptions, reporter: Reporter) -> Findings:
    """What is wrong in the file, and with a preset what it would say before training. Raises DataError, UsageError."""
    preset = presets.load(wishes.preset, wishes.settings) if wishes.preset else None
    found = validate_pickle(wishes.file, wishes.names, reporter)
    if preset is None or found.count("error"):
        return found
    try:
        _check_with(preset, wishes.file, found)
    except DataError as error:
        found.add("error", preset.name, "preset", _told(error), "")
    return found


def _check_with(preset: Preset, file: Path, found: Findings) -> None:
    """What is checked before a training. A split that is not there is told, and the whole file is checked in its place."""
    stores, splits = open_stores([file]), []
    for name, training in ((preset.data.train, True), (preset.data.val, False)):
        if not stores[0].has_splits and stores[0].indices(name) is None:
            continue  # a list is one split; the other has its own file
        try:
            split = find_split(stores, name)
            splits.append(split)
        except DataError as error:
            found.add("error", f"split {name}", "preset", _told(error), "")
            split = Split(name, stores[0], np.arange(len(stores[0])))
        for warning in preflight.check(preset, split, training=training):
            found.add("warning", f"split {name}", "preset", warning, "")
    for warning in preflight.check_pair(*splits) if len(splits) == 2 else ():
        found.add("warning", "both splits", "preset", warning, "")


def _told(error: DataError) -> str:
    return " ".join(f"{error.message} {error.hint}".split("\n")).strip()


def next_command(wishes: ValidateOptions, found: Findings) -> str:
    """What to type after this."""
    file, beside = shlex.quote(str(wishes.file)), wishes.file.with_suffix(".toml")
    if found.count("error"):
        return f"stgcn data validate {file}"
    preset = wishes.preset or (str(beside) if beside.is_file() else _shipped_for(wishes.file.stem))
    if preset is None:
        return f"stgcn data convert {file} --out {shlex.quote(str(wishes.file.with_stem(wishes.file.stem + '_own')))}"
    settings = "".join(f" --set {shlex.quote(setting)}" for setting in wishes.settings)
    return f"stgcn train --preset {shlex.quote(preset)}{settings} --data {file}"


def _shipped_for(dataset: str) -> str | None:
    """The first preset that is trained on this data set, as `prepare` calls its file."""
    return next((name for name in presets.names() if presets.load(name).data.dataset == dataset), None)
