"""What can be wrong between the splits of an annotation pickle and its records."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from stgcn_cli.data.own.findings import Findings, Level
from stgcn_cli.wording import one_line


def check_splits(told: Findings, names: Collection[str], splits: Mapping[str, Sequence[str]]) -> None:
    """Note what is wrong between the splits of a file and its records, which are called `names`."""
    there = dict.fromkeys(names)
    empty = [split for split, listed in splits.items() if not any(name in there for name in listed)]
    grave: Level = "error" if len(empty) == len(splits) else "warning"  # of a part of NTU, a benchmark may be empty
    for split, listed in splits.items():
        for name in dict.fromkeys(listed):
            if name not in there:
                told.add("warning", f"split {split}", "split", f"{one_line(name)} has no record")
        for name in (name for name, count in Counter(listed).items() if count > 1):
            told.add("warning", f"split {split}", "split", f"{one_line(name)} stands there more than once", "")
    for split in empty:
        told.add(grave, f"split {split}", "split", "no clip is in it", "")
    named = {name for listed in splits.values() for name in listed}
    for name in there:
        if name not in named:
            told.add("warning", name, "split", "it is in no split", "one of " + ", ".join(map(one_line, splits)))
    _check_leaks(told, splits)


def _check_leaks(told: Findings, splits: Mapping[str, Sequence[str]]) -> None:
    """Clips of a benchmark that are trained on and validated or tested on, too."""
    for split, listed in splits.items():
        for part in ("val", "test"):
            other = split.removesuffix("train") + part
            if split.endswith("train") and other in splits:
                for name in sorted(set(listed) & set(splits[other])):
                    said = f"it is in {one_line(split)} and in {one_line(other)}: the figures would be too good"
                    told.add("error", name, "split", said, "one of them")
