"""The working copy of an annotation pickle: flat memory-mapped arrays, built once, shared by all ranks.

frames.bin   (R, V, C)  all frames of all persons of all clips, one behind the other; row 0 is zeros: nobody
starts.npy   (N, M)     the row where a person of a clip begins; 0 = nobody there
lengths.npy  (N,)       frames T of a clip      labels.npy (N,)       image_sizes.npy (N, 2) height, width
names.json   [N]        splits.npz  name -> clip indices           meta.json, written last, makes it whole
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data import annotations, records
from stgcn_cli.errors import DataError
from stgcn_cli.files import disk_error

VERSION = 1
_SAMPLE = 1 << 20  # bytes hashed at each end of the pickle
_SHOWN = 5  # bad records named in a message


@dataclass(frozen=True)
class Store:
    """An open store. Arrays are memory-mapped; `frames` is float16 or float32."""

    path: Path
    source: Path
    frames: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    image_sizes: np.ndarray
    names: list[str]
    splits: dict[str, np.ndarray]
    has_splits: bool  # False: the list dialect, one split a file
    has_score: bool
    missing_names: dict[str, int]  # names in a split without a record

    def __len__(self) -> int:
        return len(self.lengths)

    def indices(self, split: str) -> np.ndarray | None:
        """The clips of `split` in file order, or None when this file has no such split.

        A file of the list dialect is one split, found in its name; "xsub_train" is then just "train".
        """
        if self.has_splits:
            return self.splits.get(split)
        own = annotations.split_in_name(self.source)
        return np.arange(len(self)) if own is not None and own == split.rsplit("_", 1)[-1] else None


def fingerprint(path: Path) -> str:
    """A short name for this state of the file: size, time, and a sample of its bytes."""
    stat = path.stat()
    digest = hashlib.sha256(f"{VERSION} {stat.st_size} {stat.st_mtime_ns}".encode())
    with open(path, "rb") as stream:
        digest.update(stream.read(_SAMPLE))
        stream.seek(max(0, stat.st_size - _SAMPLE))
        digest.update(stream.read(_SAMPLE))
    return digest.hexdigest()[:16]


def open_store(pickle_path: Path, cache: Path, progress: Callable[[int], Any] = lambda n: None) -> Store:
    """The store of the pickle, built first when there is none for its present state.

    It lies beside the pickle where `prepare` made it (its report is there), else in `cache`.
    Raises DataError for a pickle that cannot be used, RunError when the store cannot be written.
    """
    pickle_path = Path(pickle_path)
    try:
        key = fingerprint(pickle_path)
    except OSError as error:
        raise DataError(f"{pickle_path} cannot be read: {error.strerror}.") from error
    ours = pickle_path.with_suffix(".report.json").is_file() and os.access(pickle_path.parent, os.W_OK)
    folder = pickle_path.with_suffix(".store") if ours else cache / "stores" / key
    if _key_of(folder) != key:
        _build(pickle_path, folder, key, progress)
    return _open(folder, pickle_path)


def _key_of(folder: Path) -> str | None:
    try:
        return json.loads((folder / "meta.json").read_text("utf-8"))["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _open(folder: Path, source: Path) -> Store:
    try:
        meta = json.loads((folder / "meta.json").read_text("utf-8"))
        shape, dtype = tuple(meta["shape"]), np.dtype(meta["dtype"])
        # "c": changes would stay in this process, but torch wants writable memory; the pages are shared all the same
        frames = np.memmap(folder / "frames.bin", dtype, "c", shape=shape)
        arrays = {name: np.load(folder / f"{name}.npy") for name in ("starts", "lengths", "labels", "image_sizes")}
        with np.load(folder / "splits.npz") as packed:
            splits = {name: packed[str(index)] for index, name in enumerate(meta["splits"])}
        names = json.loads((folder / "names.json").read_text("utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"The store {folder} is damaged: {error}.", f"Delete it; it is made again from {source}."
        ) from error
    return Store(
        folder, source, frames, names=names, splits=splits,
        has_splits=meta["has_splits"], has_score=meta["has_score"], missing_names=meta["missing_names"], **arrays,
    )  # fmt: skip


def _build(source: Path, folder: Path, key: str, progress: Callable[[int], Any]) -> None:
    """Write the store under a name of our own, then rename; of two builders at once one wins, both have it."""
    read = annotations.read(source)
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _write(part, source, read, key, progress)
        if _key_of(folder) != key:
            shutil.rmtree(folder, ignore_errors=True)
            try:
                part.rename(folder)
            except OSError:
                if _key_of(folder) != key:  # another builder was not faster: a real error
                    raise
    except OSError as error:
        raise disk_error(error, folder) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(part: Path, source: Path, read: annotations.Annotations, key: str, progress: Callable[[int], Any]) -> None:
    if not read.records:
        raise DataError(f"{source} holds no records.")
    dtype = np.dtype(np.float16 if _all_half(read.records) else np.float32)
    with open(part / "frames.bin", "wb") as stream:
        columns = _write_frames(stream, source, read.records, dtype, progress)
    for name in ("starts", "lengths", "labels", "image_sizes"):
        np.save(part / f"{name}.npy", columns[name])
    (part / "names.json").write_text(json.dumps(columns["names"], ensure_ascii=False), "utf-8")
    splits, missing = _split_indices(read.splits or {}, columns["names"])
    np.savez(part / "splits.npz", **{str(i): indices for i, indices in enumerate(splits.values())})
    meta = {"key": key, "dtype": dtype.name, "shape": columns["shape"], "splits": list(splits)}
    meta |= {"has_splits": read.splits is not None, "has_score": columns["has_score"], "missing_names": missing}
    for name in sorted(os.listdir(part)):
        with open(part / name, "rb") as stream:
            os.fsync(stream.fileno())
    (part / "meta.json").write_text(json.dumps(meta), "utf-8")


def _all_half(all_records: list[Any]) -> bool:
    kinds = {getattr(r.get("keypoint"), "dtype", None) if isinstance(r, dict) else None for r in all_records}
    return kinds == {np.dtype(np.float16)}


def _write_frames(
    stream: Any, source: Path, all_records: list[Any], dtype: np.dtype, progress: Callable
) -> dict[str, Any]:
    """Append every person's frames to `stream`; returns the columns. Raises DataError naming the bad records."""
    starts, lengths, labels, sizes, names, bad = [], [], [], [], [], []
    joints: tuple[int, ...] = ()
    has_score, row = False, 1
    for index, record in enumerate(all_records):
        name = records.name_of(record, index)
        try:
            frames = records.frames_of(record)
            labels.append(records.label_of(record))
            if not joints:
                joints, has_score = frames.shape[2:], record.get("keypoint_score") is not None
                stream.write(np.zeros(joints, dtype).tobytes())
            if frames.shape[2:] != joints or (record.get("keypoint_score") is not None) != has_score:
                raise ValueError(f"it has {_words(frames.shape[2:])}, the first record {_words(joints)}")
        except ValueError as error:
            bad.append(f"{name}: {error}")
            continue
        clip_starts = []
        for person in frames:
            clip_starts.append(row if person.any() else 0)
            if person.any():
                stream.write(person.astype(dtype, copy=False).tobytes())
                row += len(person)
        starts.append(clip_starts)
        lengths.append(frames.shape[1])
        sizes.append(records.image_size_of(record))
        names.append(record.get("frame_dir") if isinstance(record.get("frame_dir"), str) else name)
        progress(1)
    if bad:
        more = f"\n  and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise DataError(
            f"{source}: {len(bad)} of {len(all_records)} records cannot be used:\n  "
            + "\n  ".join(bad[:_SHOWN])
            + more,
            "Correct these records, or leave them out of the file.",
        )
    return {
        "starts": _padded(starts), "lengths": np.array(lengths, np.int64), "labels": np.array(labels, np.int64),
        "image_sizes": np.array(sizes, np.int64), "names": names, "shape": [row, *joints], "has_score": has_score,
    }  # fmt: skip


def _words(joints: tuple[int, ...]) -> str:
    return f"{joints[0]} joints with {joints[1]} values"


def _padded(rows: list[list[int]]) -> np.ndarray:
    """(N, M) with 0 = nobody, M the most persons of any clip."""
    array = np.zeros((len(rows), max(1, max(map(len, rows)))), np.int64)
    for index, row in enumerate(rows):
        array[index, : len(row)] = row
    return array


def _split_indices(splits: dict[str, Any], names: list[str]) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Clip indices of each split in file order, and how many of its names have no record."""
    places: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        places.setdefault(name, []).append(index)  # BABEL: one name may stand under several labels
    found, missing = {}, {}
    for split, wanted in splits.items():
        if not isinstance(wanted, list | tuple | set | np.ndarray):
            raise DataError(
                f"The split {records.printable(split)!r} is a {type(wanted).__name__}, not a list of names."
            )
        unique = {str(name) for name in wanted}
        found[str(split)] = np.array(sorted(i for name in unique for i in places.get(name, ())), np.int64)
        if lost := sum(name not in places for name in unique):
            missing[str(split)] = lost
    return found, missing
