"""The working copy of an annotation pickle: flat memory-mapped arrays, built once, shared by all ranks; or in memory.

frames.bin   (R, V, C)  all frames of all persons of all clips, concatenated; row 0 is zeros: an absent person
starts.npy   (N, M)     first row of each person of a clip; 0 = absent
lengths.npy  (N,)       frames T of a clip      labels.npy (N,)       image_sizes.npy (N, 2) height, width
names.json   [N]        splits.npz  name -> clip indices           meta.json, written last: the store is complete
sums.json    checksums of all files     findings.json  the problems that `validate` lists, found while it was built
"""

import contextlib
import hashlib
import io
import json
import os
import tokenize
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data import store_sums
from stgcn_cli.data.findings import Findings
from stgcn_cli.data.locations import split_in_name
from stgcn_cli.data.records import name_of
from stgcn_cli.data.store_build import MOST_JSON, Columns, build, dtype_for, key_of
from stgcn_cli.errors import DataError
from stgcn_cli.io.locks import locked
from stgcn_cli.io.own_files import check_trusted
from stgcn_cli.io.text import one_line, printable

VERSION = 4
_DTYPES = {name: np.dtype(name) for name in ("float16", "float32")}
_DAMAGE = (  # the last three: numpy's errors for headers that are not Python, and for archives
    OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, OverflowError, RecursionError,
    SyntaxError, tokenize.TokenError, zipfile.BadZipFile,
)  # fmt: skip
_SAMPLE = 1 << 20  # bytes hashed at each end of the pickle


@dataclass(frozen=True, kw_only=True)
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
    findings: Findings

    def __len__(self) -> int:
        return len(self.lengths)

    def indices(self, split: str) -> np.ndarray | None:
        """Return the clips of `split` in file order, or None when the file has no such split.

        A file of the list dialect is one split, named in its file name; "xsub_train" then means "train".
        """
        if self.has_splits:
            return self.splits.get(split)
        own = split_in_name(self.source)
        return np.arange(len(self)) if own is not None and own == split.rsplit("_", 1)[-1] else None


def fingerprint(path: Path) -> str:
    """Return a hash of the state of the file: size, time, and a sample of its bytes. Raises OSError."""
    stat = path.stat()
    digest = hashlib.sha256(f"{VERSION} {stat.st_size} {stat.st_mtime_ns}".encode())
    with open(path, "rb") as stream:
        digest.update(stream.read(_SAMPLE))
        stream.seek(max(0, stat.st_size - _SAMPLE))
        digest.update(stream.read(_SAMPLE))
    return digest.hexdigest()[:16]


def open_store(
    pickle_path: Path,
    cache: Path,
    progress: Callable[[int], Any] = lambda n: None,
    *,
    note: Callable[[str], Any] = lambda text: None,
    verify: bool = False,
) -> Store:
    """Return the store of the pickle, building it when there is none for its present state, or it is damaged.

    It is placed beside a pickle that `prepare` wrote (recognised by its report), else in `cache`. `note` is called with who else
    builds it, and of damage; with `verify` every byte is checked, else a sample. Raises DataError for a pickle that cannot
    be used, RunError when the store cannot be written.
    """
    pickle_path = Path(pickle_path)
    try:
        key = fingerprint(pickle_path)
    except OSError as error:
        raise DataError(f"{pickle_path} cannot be read: {error.strerror}.") from error
    ours = pickle_path.with_suffix(".report.json").is_file() and os.access(pickle_path.parent, os.W_OK)
    folder = pickle_path.with_suffix(".store") if ours else check_trusted(cache / "stores") / key
    if key_of(folder) == key:
        with contextlib.suppress(DataError):  # damaged, or being replaced: opened again under the lock
            return _open(folder, pickle_path, verify)

    def on_wait(holder: str) -> None:
        note(f"Waiting for {holder}, which reads {pickle_path}.")

    with locked(folder.with_name(f"{folder.name}.lock"), on_wait=on_wait):  # of several ranks one builds, others wait
        if key_of(folder) == key:
            try:
                return _open(folder, pickle_path, verify)
            except DataError as error:
                note(f"{error.message} It is rebuilt from {pickle_path}.")
                build(pickle_path, folder, key, progress, replace=True)
        else:
            build(pickle_path, folder, key, progress)
        return _open(folder, pickle_path)


_COLUMNS = ("starts", "lengths", "labels", "image_sizes")
_FILES = ("frames.bin", *(f"{name}.npy" for name in _COLUMNS), "splits.npz", "meta.json", "names.json", "findings.json")


def _open(folder: Path, source: Path, verify: bool = False) -> Store:
    try:
        store_sums.check(folder, _FILES, verify)
        meta = _json(folder / "meta.json")
        shape, dtype = tuple(meta["shape"]), _DTYPES[meta["dtype"]]
        # "c": changes would stay in this process, but torch wants writable memory; the pages are shared all the same
        frames = np.memmap(folder / "frames.bin", dtype, "c", shape=shape)
        arrays = {name: _array(folder / f"{name}.npy") for name in _COLUMNS}
        with np.load(folder / "splits.npz", allow_pickle=False) as packed:
            splits = {name: packed[str(index)] for index, name in enumerate(meta["splits"])}
        names = _json(folder / "names.json")
        store = Store(
            path=folder, source=source, frames=frames, **arrays, names=names, splits=splits,
            has_splits=meta["has_splits"], has_score=meta["has_score"],
            findings=Findings.unpacked(str(source), len(names), _json(folder / "findings.json")),
        )  # fmt: skip
        _check(store)
    except _DAMAGE as error:
        raise DataError(
            f"The store {folder} is damaged: {_cause(error)}.", f"Delete it; it is rebuilt from {source}."
        ) from error
    return store


def _cause(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{Path(error.filename).name} cannot be read: {error.strerror}"
    is_ours = type(error) is ValueError and str(error).startswith("its ")
    return printable(error)[:200] if is_ours else "its files do not fit together"


def _json(path: Path) -> Any:
    if path.stat().st_size > MOST_JSON:
        raise ValueError(f"its {path.name} is too large")
    return json.loads(path.read_text("utf-8"))


def _array(path: Path) -> np.ndarray:
    """Return a column, memory-mapped first: a header that claims more than the file holds allocates nothing."""
    return np.array(np.load(path, mmap_mode="r", allow_pickle=False))


def _check(store: Store) -> None:
    """Raise ValueError when the files do not fit together: every index must lie inside the arrays."""
    clips, columns = len(store.lengths), (store.starts, store.labels, store.image_sizes, store.names)
    if any(len(column) != clips for column in columns) or not all(isinstance(name, str) for name in store.names):
        raise ValueError("its columns are of different lengths")
    whole = (store.starts, store.lengths, store.labels, store.image_sizes, *store.splits.values())
    if any(array.dtype != np.int64 or array.ndim != dims for array, dims in zip(whole, (2, 1, 1, 2), strict=False)):
        raise ValueError("its columns are of other types")
    ends = store.starts + np.where(store.starts > 0, store.lengths[:, None], 0)
    if store.starts.min(initial=0) < 0 or store.lengths.min(initial=1) < 1 or ends.max(initial=0) > len(store.frames):
        raise ValueError("its clips do not lie in its frames")
    for name, indices in store.splits.items():
        if indices.ndim != 1 or indices.dtype != np.int64 or not ((indices >= 0) & (indices < clips)).all():
            raise ValueError(f"its split {one_line(name)} names clips that are not there")


def store_of(records: Sequence[dict[str, Any]], source: Path) -> Store:
    """Return a store in memory of `records`, at least one, of one skeleton; labels count as hidden.

    `source` is the name for messages. Raises DataError naming a record that cannot be used.
    """
    columns, stream = Columns(dtype_for(records)), io.BytesIO()
    for index, record in enumerate(records):
        name = name_of(record, index)
        try:
            for rows in columns.add(record | {"label": None, "frame_dir": None}, name):
                stream.write(rows.data)
        except ValueError as error:
            raise DataError(f"{name}: {error}.") from error
    frames = np.frombuffer(stream.getbuffer(), columns.dtype).reshape(columns.rows, *columns.joints)
    return Store(
        path=source, source=source, frames=frames, **columns.arrays(), names=columns.names, splits={}, has_splits=False,
        has_score=columns.has_score, findings=Findings(str(source)),
    )  # fmt: skip
