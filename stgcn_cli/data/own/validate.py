"""`stgcn data validate`: every record of an annotation pickle and its splits, one record in memory at a time.

Errors stop training or make its figures false; warnings are odd and possible; notes need no answer.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stgcn_cli.data import annotations
from stgcn_cli.data.own.class_names import names_beside
from stgcn_cli.data.own.findings import Findings
from stgcn_cli.data.own.fitting import some
from stgcn_cli.data.own.record_checks import Checking
from stgcn_cli.data.own.split_checks import check_splits
from stgcn_cli.screen import SILENT, Screen

_RELATIVE = 2.0  # pixels beyond this are no shares of an image
_ALL = "all records"


def validate(path: Path, names: Sequence[str] | None = None, screen: Screen = SILENT) -> Findings:
    """What is wrong in the pickle at `path`, either dialect; `names` are those of the classes, else those of PATH.toml.

    Raises DataError when it cannot be read as annotations at all.
    """
    read = annotations.read(path)
    checking = Checking(Findings(str(path), len(read.records)), read.splits is not None)
    with screen.progress(f"validate {path.name}", len(read.records)) as advance:
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


def _check_labels(checking: Checking, names: Sequence[str]) -> None:
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


def _check_names(checking: Checking) -> None:
    """Note names that stand there more than once; under several labels, as in BABEL, they may be meant so."""
    for name, labels in checking.labels.items():
        for label, count in Counter(labels).items():
            if count > 1:
                said = f"{count} records of this name with label {label}"
                checking.told.add("warning", name, "frame_dir", said, "one")
        if len(set(labels)) > 1:
            listed = ", ".join(map(str, sorted(set(labels))))
            checking.told.add("note", name, "label", f"one name under the labels {listed}", "")


def _check_units(checking: Checking) -> None:
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
