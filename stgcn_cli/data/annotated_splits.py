"""Annotation pickles of either dialect with the splits each record belongs to, by the names NTU's benchmarks have here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stgcn_cli.data import annotations
from stgcn_cli.data.places import split_in_name
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.wording import nearest, one_line

_BENCHMARKS = {"xsub": "xsub", "xview": "xview", "xset": "xset", "xsetup": "xset"}  # as written -> as named here
_USUAL = "xsub"  # of a list whose name says no benchmark


@dataclass(frozen=True)
class SplitRecords:
    """A pickle's records, the splits it has, and which of them a record is in."""

    path: Path
    records: Sequence[Any]
    splits: list[str]
    members: dict[str, list[str]] | None  # name -> splits; None: every record is in every split
    notes: list[str] = field(default_factory=list)

    def splits_of(self, record: Any) -> list[str]:
        """The splits the record is in; none for one that no split names."""
        if self.members is None:
            return self.splits
        name = record.get("frame_dir") if isinstance(record, dict) else None
        return self.members.get(name, []) if isinstance(name, str) else []


def read_with_splits(path: Path) -> SplitRecords:
    """Either dialect. A list's split is in the file's name: ntu60_xsub_train.pkl. Raises DataError."""
    read = annotations.read(path)
    if read.splits is None:
        return SplitRecords(path, read.records, [_split_in_name(path)], None)
    members: dict[str, list[str]] = {}
    for split, names in read.splits.items():
        for name in dict.fromkeys(names):
            members.setdefault(name, []).append(split)
    return SplitRecords(path, read.records, list(read.splits), members, _lost(path, read.records.bare, members))


def choose_splits(dataset: str, there: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """The splits of `there`, each once, that `wanted` names or whose benchmark it names (None: all). Raises UsageError."""
    there = list(dict.fromkeys(there))
    if wanted is None:
        return there
    known = list(dict.fromkeys([*(split.rpartition("_")[0] or split for split in there), *there]))
    chosen = [_BENCHMARKS.get(name, name) for name in wanted]
    for name in chosen:
        if name not in known:
            said = f"{dataset} has no split {name!r} here.{nearest(name, known)}"
            raise UsageError(said, f"It has {', '.join(known)}.")
    if not chosen:
        raise UsageError("--splits names no split.", f"{dataset} has {', '.join(known)}.")
    return [split for split in there if split in chosen or split.rpartition("_")[0] in chosen]


def _split_in_name(path: Path) -> str:
    part = split_in_name(path)
    if part is None:
        raise DataError(
            f"{path} is a list of records, and its name does not say of which split.",
            "Give it a name with train or val in it, such as ntu60_xsub_train.pkl.",
        )
    words = path.stem.lower().replace("-", "_").replace(".", "_").split("_")
    benchmark = next((_BENCHMARKS[word] for word in words if word in _BENCHMARKS), _USUAL)
    return f"{benchmark}_{part}"


def _lost(path: Path, records: Sequence[Any], members: dict[str, list[str]]) -> list[str]:
    named = (record.get("frame_dir") for record in records if isinstance(record, dict))
    there = {name for name in named if isinstance(name, str)}
    lost = [name for name in members if name not in there]
    if not lost:
        return []
    return [f"{len(lost):,} names in the splits of {path} have no record, the first is {one_line(lost[0])}."]
