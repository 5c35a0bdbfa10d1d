"""Builds a store from an annotation pickle: frames appended person by person, `meta.json` last.

Layout of the files: see `store.py`.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data import annotations, store_sums
from stgcn_cli.data.checks import RecordChecker
from stgcn_cli.data.findings import Findings
from stgcn_cli.data.records import frame_dir_of, frames_of, image_size_of, label_of, name_of
from stgcn_cli.errors import DataError, RunError
from stgcn_cli.io.files import make_dirs, part_folder, sync_folder, writing
from stgcn_cli.io.own_files import read_regular

MOST_JSON = 1 << 30  # bytes of names
_NAMED = 5  # bad records in a message
_BATCH = 1 << 19  # bytes of records that are checked and written together


def key_of(folder: Path) -> str | None:
    """Return the fingerprint of the pickle that a complete store was built from; None without one."""
    try:
        return json.loads(read_regular(folder / "meta.json", MOST_JSON, own=True))["key"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def build(source: Path, folder: Path, key: str, progress: Callable[[int], Any], replace: bool = False) -> None:
    """Write the store under a temporary name, then rename it; of two concurrent builders either result is used.

    `replace`: also where there is one of this key, which is damaged.

    Raises DataError for records that cannot be used, RunError when the store cannot be written.
    """
    read = annotations.read(source)
    if not read.records:
        raise DataError(f"{source} contains no records.")
    with writing(folder), part_folder(make_dirs(folder.parent) / folder.name) as part:
        _write(part, source, read, key, progress)
        if replace or key_of(folder) != key:
            _take_place(part, folder, key)


def _take_place(part: Path, folder: Path, key: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        part.rename(folder)
    except OSError:
        if key_of(folder) != key:  # else another builder was faster
            raise
    sync_folder(folder.parent)


def _write(part: Path, source: Path, read: annotations.Annotations, key: str, progress: Callable[[int], Any]) -> None:
    checker = RecordChecker(Findings(str(source)), read.splits is not None)
    with open(part / "frames.bin", "wb") as stream, store_sums.Summed(stream) as summed:
        columns = _write_frames(summed, read, checker, progress)
    found = checker.finish((), read.splits)
    (part / "findings.json").write_text(json.dumps(found.packed()), "utf-8")
    for name, array in columns.arrays().items():
        np.save(part / f"{name}.npy", array)
    names = json.dumps(columns.names, ensure_ascii=False)
    (part / "names.json").write_bytes(names.encode("utf-8", "backslashreplace"))
    splits = _split_indices(read.splits or {}, columns.names)
    np.savez(part / "splits.npz", **{str(i): indices for i, indices in enumerate(splits.values())})  # type: ignore[arg-type]
    meta: dict[str, Any] = {
        "key": key,
        "dtype": columns.dtype.name,
        "shape": [columns.rows, *columns.joints],
        "splits": list(splits),
    }
    meta |= {"has_splits": read.splits is not None, "has_score": columns.has_score}
    described = json.dumps(meta).encode()
    store_sums.write(part, {"meta.json": described}, {"frames.bin": summed.sums})
    _sync(part, sorted(os.listdir(part)))
    (part / "meta.json").write_bytes(described)
    _sync(part, ["meta.json"])
    try:
        store_sums.check(part, whole=True)  # what the disk gives back
    except ValueError as error:
        raise RunError(
            f"The store {part} was not written as it should be: {error}.", "Is the disk all right?"
        ) from error


def _sync(part: Path, names: Sequence[str]) -> None:
    """Flush these files and their folder to disk."""
    for name in names:
        with open(part / name, "rb") as stream:
            os.fsync(stream.fileno())
    sync_folder(part)


def dtype_for(records: Sequence[Any]) -> np.dtype:
    """Return float16 when all keypoints, read or still in the file, are of half precision, else float32."""
    kinds = {getattr(each.get("keypoint"), "dtype", None) if isinstance(each, dict) else None for each in records}
    return np.dtype(np.float16 if kinds == {np.dtype(np.float16)} else np.float32)


def _write_frames(
    stream: store_sums.Summed, read: annotations.Annotations, checker: RecordChecker, progress: Callable[[int], Any]
) -> "Columns":
    """Append every person's frames to `stream` and return the columns. Raises DataError naming the bad records."""
    records, bad, done = read.records, [], 0
    columns = Columns(dtype_for(records.bare))
    for batch in _batches(records):
        with np.errstate(all="ignore"):
            checked, block = checker.look_at_all(batch)
            persons: list[np.ndarray] = []
            for index, (record, (frames, is_finite)) in enumerate(zip(batch, checked, strict=True), done):
                name = name_of(record, index)
                try:
                    persons += columns.add(record, name, frames, is_finite)
                except ValueError as error:
                    bad.append(f"{name}: {error}")
        if block is not None and block.dtype == columns.dtype and len(block) == sum(map(len, persons)):
            persons = [block]
        stream.write(persons)
        done += len(batch)
        progress(len(batch))
    if bad:
        shown = bad[:_NAMED] + ([f"and {len(bad) - _NAMED} more"] if len(bad) > _NAMED else [])
        raise DataError(
            f"{read.path}: {len(bad)} of {len(records)} records cannot be used:\n  " + "\n  ".join(shown),
            "Correct these records, or leave them out of the file.",
        )
    return columns


def _batches(records: annotations.Records) -> Iterator[list[Any]]:
    """Yield records in groups of about a megabyte, which stays in the processor's cache."""
    batch, size = [], 0
    for bare, record in zip(records.bare, records, strict=True):
        batch.append(record)
        size += getattr(bare.get("keypoint"), "nbytes", 0) if isinstance(bare, dict) else 0
        if size > _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Columns:
    """The columns of a store, and how many rows of frames there are so far; row 0 stands for an absent person."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.starts: list[list[int]] = []
        self.lengths: list[int] = []
        self.labels: list[int] = []
        self.sizes: list[tuple[int, int]] = []
        self.names: list[str] = []
        self.joints: tuple[int, ...] = ()
        self.has_score, self.rows = False, 0

    def add(
        self, record: Any, name: str, frames: np.ndarray | None = None, is_finite: bool = False
    ) -> list[np.ndarray]:
        """Add one record and return its rows; `frames` are those of `frames_of`, if known.

        Raises ValueError with the cause when it cannot be used.
        """
        frames = frames_of(record) if frames is None else frames
        if not is_finite or frames.dtype != self.dtype:
            with np.errstate(all="ignore"):  # a value too large becomes infinite, which is refused
                frames = frames.astype(self.dtype, copy=False)
            if not np.isfinite(frames).all():
                raise ValueError(f"it holds NaN or infinite values (as {self.dtype})")
        label, has_score = label_of(record), record.get("keypoint_score") is not None
        full_name = frame_dir_of(record) or name
        rows: list[np.ndarray] = []
        if not self.joints:
            self.joints, self.has_score = frames.shape[2:], has_score
            rows.append(np.zeros((1, *self.joints), self.dtype))
            self.rows = 1
        if (frames.shape[2:], has_score) != (self.joints, self.has_score):
            raise ValueError(f"it has {_words(frames.shape[2:])}, the first record {_words(self.joints)}")
        starts = []
        for person in frames:  # one joint shows for nearly all that they are present
            present = bool(person[0, -1, 0] or person.any())
            starts.append(self.rows if present else 0)
            if present:
                self.rows += len(person)
                rows.append(person)
        self.starts.append(starts)
        self.lengths.append(frames.shape[1])
        self.labels.append(label)
        self.sizes.append(image_size_of(record))
        self.names.append(full_name)
        return rows

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the columns by file name."""
        return {
            "starts": _padded(self.starts), "lengths": np.array(self.lengths, np.int64),
            "labels": np.array(self.labels, np.int64), "image_sizes": np.array(self.sizes, np.int64),
        }  # fmt: skip


def _words(joints: tuple[int, ...]) -> str:
    return f"{joints[0]} joints with {joints[1]} values"


def _padded(rows: list[list[int]]) -> np.ndarray:
    """Return (N, M) rows padded with 0 (absent), M the most persons of any clip."""
    array = np.zeros((len(rows), max(1, max(map(len, rows)))), np.int64)
    for index, row in enumerate(rows):
        array[index, : len(row)] = row
    return array


def _split_indices(splits: dict[str, list[str]], names: list[str]) -> dict[str, np.ndarray]:
    """Return the clip indices of each split in file order."""
    places: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        places.setdefault(name, []).append(index)  # BABEL: one name may stand under several labels
    return {
        split: np.array(sorted(i for name in dict.fromkeys(listed) for i in places.get(name, ())), np.int64)
        for split, listed in splits.items()
    }
