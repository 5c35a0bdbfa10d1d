"""Annotation pickles in both dialects, read as data: code in them is never executed.

A record is a dict: frame_dir str, label int, total_frames int, keypoint (M T V C), 2-D also keypoint_score (M T V).
Dialects: a list of records (one file a split, MMAction2 0.x), or {"split": {name: [frame_dir]}, "annotations": [records]}.
"""

import functools
import io
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from stgcn_cli.data.locations import split_in_name
from stgcn_cli.data.ntu.names import BENCHMARKS, benchmark_name
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io import safe_pickle
from stgcn_cli.io.pickle_values import HeldArray, Refused
from stgcn_cli.io.text import nearest, nearest_file, printable, shown

_CONVERSIONS = {  # what users have in their pickles, and the line that converts it
    "torch": "Convert tensors before pickling: record['keypoint'] = record['keypoint'].numpy()",
    "pandas": "Convert pandas objects before pickling: record['keypoint'] = frame.to_numpy()",
}


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
        return _filled(self.bare[index], self._path, self._stream)


@dataclass(frozen=True)
class Annotations:
    """Contents of a pickle. `splits` is None for the list dialect, whose single split is `own`, found in the file's name."""

    path: Path
    records: Records
    splits: dict[str, list[str]] | None
    own: str | None

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
        named = (record.get("frame_dir") for record in self.records.bare if isinstance(record, dict))
        there = {name for name in named if isinstance(name, str)}
        return [name for name in self.members if name not in there]


def read(path: Path) -> Annotations:
    """Return the annotations in either dialect, in the memory that their names and labels take. Raises DataError."""
    path = Path(path)
    stream = _open(path)
    value = _load(path, stream, hold=True)
    if isinstance(value, list):
        return Annotations(path, Records(value, path, stream), None, split_in_name(path))
    if isinstance(value, dict) and isinstance(value.get("annotations"), list) and isinstance(value.get("split"), dict):
        named = _filled(value["split"], path, stream)
        splits = {str(split): _names_in(path, split, names) for split, names in named.items()}
        return Annotations(path, Records(value["annotations"], path, stream), splits, None)
    found = "an array" if isinstance(value, HeldArray) else shown(value)
    if isinstance(value, dict):
        found += f" with the keys {', '.join(map(str, value))[:80]}"
    raise DataError(
        f"{path} contains {printable(found)}, not annotations.",
        'Expected a list of records, or {"split": {...}, "annotations": [...]}.',
    )


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


def read_pickle(path: Path) -> Any:
    """Return the value in the pickle at `path`, which may hold plain containers, values and arrays only.

    Raises DataError when the file is missing, damaged, or references anything else.
    """
    with _open(path) as stream:
        return _load(path, stream, hold=False)


def complete(bare: Any, path: Path) -> Any:
    """Return one of the `bare` records of the pickle at `path`, in any process, with its arrays. Raises DataError."""
    with _open(path) as stream:
        return _filled(bare, path, stream)


def _open(path: Path) -> io.BufferedReader:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block, reading a device never end
            raise DataError(f"{path} is not a regular file.")
        return open(path, "rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.{nearest_file(path)}") from error


def _filled(bare: Any, path: Path, stream: IO[bytes]) -> Any:
    """Return the record with its arrays; the one in `bare` stays as it is."""
    if not isinstance(bare, dict):
        return bare
    try:
        return {key: value.load(stream) if isinstance(value, HeldArray) else value for key, value in bare.items()}
    except (OSError, ValueError) as error:
        name, reason = shown(bare.get("frame_dir")), getattr(error, "strerror", None) or error
        raise DataError(f"{path}: the record {name} cannot be read: {printable(reason)}.") from error


def _load(path: Path, stream: io.BufferedReader, hold: bool) -> Any:
    try:
        return safe_pickle.load(stream, os.fstat(stream.fileno()).st_size, hold)
    except Refused as error:
        raise DataError(
            f"Refused to load {path}: it references {printable(error)}, which an annotation file may not contain. "
            "No code was executed.",
            next((hint for name, hint in _CONVERSIONS.items() if str(error).startswith(name)), ""),
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except Exception as error:  # a damaged pickle can make Python raise anything
        raise DataError(
            f"{path} is not a readable pickle: {safe_pickle.cause(error)} (near byte {stream.tell():,}).",
            "Was it cut off in a copy?",
        ) from error


def _names_in(path: Path, split: object, names: Any) -> list[str]:
    where = f"{path}: the split {shown(str(split))}"
    if not isinstance(names, list | tuple | set | frozenset | np.ndarray):
        raise DataError(f"{where} is {shown(names)}, not a list of names.")
    plain = names.ravel().tolist() if isinstance(names, np.ndarray) else list(names)
    for name in plain:
        if not isinstance(name, str | int):
            raise DataError(f"{where} contains {shown(name)}; expected names.")
    return list(map(str, plain))


def choose_splits(dataset: str, available: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """Return the available splits, each once, whose name or benchmark is in `wanted` (None: all). Raises UsageError."""
    available = list(dict.fromkeys(available))
    if wanted is None:
        return available
    known = list(dict.fromkeys([*(split.rpartition("_")[0] or split for split in available), *available]))
    chosen = [benchmark_name(name) for name in wanted]
    for name in chosen:
        if name not in known:
            message = f"{dataset} has no split {name!r} here.{nearest(name, known)}"
            raise UsageError(message, f"It has {', '.join(known)}.")
    if not chosen:
        raise UsageError("--splits names no split.", f"{dataset} has {', '.join(known)}.")
    return [split for split in available if split in chosen or split.rpartition("_")[0] in chosen]
