"""Annotation pickles in both dialects, read as data: code in them is never executed.

A record is a dict: frame_dir str, label int, total_frames int, keypoint (M T V C), 2-D also keypoint_score (M T V).
Dialects: a list of records (one file a split, MMAction2 0.x), or {"split": {name: [frame_dir]}, "annotations": [records]}.
"""

import functools
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import IO, Any

import numpy as np

from stgcn_cli.data import pickles
from stgcn_cli.data.locations import split_in_name
from stgcn_cli.data.name_index import NameIndex
from stgcn_cli.data.ntu.names import BENCHMARKS, benchmark_name
from stgcn_cli.errors import DataError
from stgcn_cli.io import safe_pickle
from stgcn_cli.io.pickle_values import HeldArray
from stgcn_cli.io.text import one_line, printable, shown


class NotAnnotations(DataError):
    """A pickle that can be read and holds no annotations."""


class Records(Sequence[Any]):
    """The records of a pickle. Larger arrays stay in the file and are read whenever a record is asked for.

    `bare` has the same records with a HeldArray (dtype, shape, nbytes) for each of those. Not for several threads at once.
    """

    def __init__(self, bare: list[Any], path: Path, stream: IO[bytes]) -> None:
        self.bare, self._path, self._stream = bare, path, stream

    def __len__(self) -> int:
        return len(self.bare)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Records(self.bare[index], self._path, self._stream)
        return pickles.filled(self.bare[index], self._path, self._stream)


@dataclass(frozen=True)
class Annotations:
    """Contents of a pickle. `splits` is None for the list dialect, whose single split is `own`, found in the file's name."""

    path: Path
    records: Records
    splits: dict[str, list[str]] | None
    own: str | None
    renamed: str = ""  # an example of a name in a split that differs from its record's in a folder or suffix

    @property
    def notes(self) -> tuple[str, ...]:
        """How the splits were understood, where that is not evident."""
        return (
            (f"Names in the splits were matched without folders and suffixes: {self.renamed}.",) if self.renamed else ()
        )

    @functools.cached_property
    def lost_splits(self) -> str:
        """A name in a split and one of a record, where no record is in any split; else an empty string."""
        known = _names_of(self.records.bare)
        if not self.members or not known or not known.keys().isdisjoint(self.members):
            return ""
        name, splits = next(iter(self.members.items()))
        return f"the split {one_line(splits[0])} names {one_line(name)!r:.80}, but clips are called {min(map(one_line, known))!r:.80}"

    @functools.cached_property
    def members(self) -> dict[str, list[str]]:
        """Splits by clip name, of the dialect with splits."""
        members: dict[str, list[str]] = {}
        for split, names in (self.splits or {}).items():
            for name in dict.fromkeys(names):
                members.setdefault(name, []).append(split)
        return members

    @property
    def split_names(self) -> list[str]:
        """The splits of the file."""
        return list(self.splits) if self.splits is not None else [self.own] if self.own else []

    def splits_of(self, record: Any) -> list[str]:
        """Return the splits of a record; none for one that no split names."""
        if self.splits is None:
            return self.split_names
        name = record.get("frame_dir") if isinstance(record, dict) else None
        return self.members.get(name, []) if isinstance(name, str) else []

    def names_without_record(self) -> list[str]:
        """Return the names in the splits for which there is no record."""
        known = _names_of(self.records.bare)
        return [name for name in self.members if name not in known]


def read(path: Path) -> Annotations:
    """Return the annotations in either dialect, in the memory that their names and labels take. Raises DataError."""
    try:
        return _read(Path(path))
    except (MemoryError, RecursionError) as error:
        raise DataError(
            f"{path} is not a readable pickle: {safe_pickle.cause(error)}.", "Are there other records in it?"
        ) from error


def _read(path: Path) -> Annotations:
    stream = pickles.open_pickle(path)
    value = pickles.load(path, stream, hold=True)
    if follows := _following(path, stream):
        value = _together(path, [value, *follows])
    if isinstance(value, dict) and isinstance(value.get("keypoint"), HeldArray | np.ndarray):
        value = [{"frame_dir": path.stem, **value}]  # one record, as scripts write a file for each video
    if isinstance(value, list) and not any(isinstance(item, HeldArray | np.ndarray | list) for item in value):
        return Annotations(path, Records(_plain_records(value), path, stream), None, split_in_name(path))
    if isinstance(value, dict) and isinstance(value.get("annotations"), list) and isinstance(value.get("split"), dict):
        named = pickles.filled(value["split"], path, stream)
        splits = {str(split): _names_in(path, split, names) for split, names in named.items()}
        records = _plain_records(value["annotations"])
        splits, renamed = _matched(splits, records)
        return Annotations(path, Records(records, path, stream), splits, None, renamed)
    raise _not_annotations(path, value)


def _following(path: Path, stream: io.BufferedReader) -> list[Any]:
    """Return the values of further pickles in a file that several were appended to. Raises DataError."""
    size, values = os.fstat(stream.fileno()).st_size, []
    while (place := stream.tell()) < size:
        try:
            values.append(safe_pickle.load(stream, size, hold=True))
        except Exception as error:  # no pickle
            raise DataError(
                f"{path}: {size - place:,} bytes follow the end of its pickle (byte {place:,}), which cannot be read.",
                "Was something appended to it, or another file written over it?",
            ) from error
    return values


def _together(path: Path, values: list[Any]) -> list[Any]:
    """Return the records of pickles that were appended to each other: lists, or single records. Raises DataError."""
    records: list[Any] = []
    for value in values:
        if isinstance(value, dict) and "keypoint" in value:
            records.append(value)
        elif isinstance(value, list):
            records += value
        else:
            raise DataError(
                f"{path} contains {len(values)} pickles, one after the other; expected lists of records or single records.",
                "Write one file for each: open(FILE, 'wb')",
            )
    return records


def _plain_records(records: list[Any]) -> list[Any]:
    """Return the records with names, labels and lengths as plain values where they have other harmless types."""
    return [_plain_record(record) if isinstance(record, dict) else record for record in records]


def _plain_record(record: dict[Any, Any]) -> dict[Any, Any]:
    changes: dict[str, Any] = {}
    name, label = record.get("frame_dir"), record.get("label")
    if isinstance(name, PurePath):
        changes["frame_dir"] = name.as_posix()
    if isinstance(label, np.ndarray) and label.size == 1:
        changes["label"] = label.item()
    plain = record | changes if changes else record
    if "total_frames" in plain and plain["total_frames"] is None:
        plain = {key: value for key, value in plain.items() if key != "total_frames"}
    return plain


def _matched(splits: dict[str, list[str]], records: list[Any]) -> tuple[dict[str, list[str]], str]:
    """Return the splits with the names of the records, where they differ in a folder or suffix, and an example of it."""
    known = _names_of(records)
    if all(name in known for names in splits.values() for name in names):
        return splits, ""
    index, renamed = NameIndex(known), ""
    for split, names in splits.items():
        for place, name in enumerate(names):
            if name not in known and (found := index.find(name)):
                names[place] = found
                renamed = renamed or f"{one_line(name)!r} in {one_line(split)} is {one_line(found)!r}"
    return splits, renamed


def _names_of(records: list[Any]) -> dict[str, None]:
    """The names of the records that have one, in order."""
    names = (record.get("frame_dir") for record in records if isinstance(record, dict))
    return dict.fromkeys(name for name in names if isinstance(name, str))


def _not_annotations(path: Path, value: Any) -> DataError:
    """Return what to say of a pickle that holds something else."""
    inner = [item[0] if isinstance(item, list) and item else item for item in value] if isinstance(value, list) else []
    are_arrays = any(len(getattr(item, "shape", ())) > 1 for item in inner)
    if (isinstance(value, list) and not are_arrays) or (isinstance(value, dict) and "pred_score" in value):
        return DataError(
            f"{path} contains scores of an evaluation (a result of `stgcn eval --out`), not annotations.",
            f"Measure them again: stgcn eval {path} --data FILE",
        )
    found = "an array" if isinstance(value, HeldArray) else f"{len(value):,} arrays" if are_arrays else shown(value)
    if isinstance(value, dict):
        found += f" with the keys {', '.join(shown(key) if not isinstance(key, str) else key[:80] for key in list(value)[:8])[:80]}"
    hint = f"If it holds joints, convert it: stgcn data convert {path} --out own.pkl"
    return NotAnnotations(f"{path} contains {printable(found)}, not annotations.", hint)


def read_with_benchmark(path: Path) -> Annotations:
    """Return the annotations as `read` does; the split of a list is named with its benchmark, such as "xsub_train".

    Raises DataError when a list has no split in its name.
    """
    found = read(path)
    if found.splits is not None:
        return found
    if found.own is None:
        raise DataError(
            f"{path} is a list of records without the name of a split in its file name.",
            "Rename it with train or val, for example ntu60_xsub_train.pkl.",
        )
    words = path.stem.lower().replace("-", "_").replace(".", "_").split("_")
    benchmark = next((name for name in map(benchmark_name, words) if name in BENCHMARKS), "xsub")
    return replace(found, own=f"{benchmark}_{found.own}")


def _names_in(path: Path, split: object, names: Any) -> list[str]:
    where = f"{path}: the split {shown(str(split))}"
    if not isinstance(names, list | tuple | set | frozenset | np.ndarray):
        raise DataError(f"{where} is {shown(names)}, not a list of names.")
    plain = names.ravel().tolist() if isinstance(names, np.ndarray) else list(names)
    for name in plain:
        if not isinstance(name, str | int | PurePath):
            raise DataError(f"{where} contains {shown(name)}; expected names.")
    return [name.as_posix() if isinstance(name, PurePath) else str(name) for name in plain]
