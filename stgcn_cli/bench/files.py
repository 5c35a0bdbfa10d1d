"""What comes before the first step: preparing raw texts, building the store of a pickle, opening it."""

import os
import pickle
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stgcn_cli.bench.clips import split_of
from stgcn_cli.config import Preset
from stgcn_cli.data import synthetic
from stgcn_cli.data.ntu_names import NTU
from stgcn_cli.data.prepare_ntu import prepare_ntu
from stgcn_cli.data.store import Store, open_store

_SUBJECTS, _REPETITIONS = range(1, 13), 2  # of the made texts: 120 of one person
_CLIPS = 400  # in the made pickle


@dataclass(frozen=True)
class FileTimes:
    """Seconds; `texts` and `bytes` are how much there was. What was not measured is 0."""

    prepare_s: float
    texts: int
    build_s: float
    bytes: int
    open_s: float


def measure(preset: Preset) -> FileTimes:
    """In a temporary folder, which is removed again."""
    with tempfile.TemporaryDirectory(prefix="stgcn-bench-") as name:
        folder = Path(name)
        prepare_s, texts = _prepare(folder) if preset.data.dataset in NTU else (0.0, 0)
        path = folder / "made.pkl"
        path.write_bytes(pickle.dumps(_records(preset), protocol=4))
        began = time.perf_counter()
        open_store(path, folder)
        built = time.perf_counter()
        store = open_store(path, folder)
        opened = time.perf_counter()
        size = path.stat().st_size
        del store  # before its folder goes
        return FileTimes(prepare_s, texts, built - began, size, opened - built)


def open_seconds(path: Path, cache: Path) -> float:
    """Of opening a store that is there already."""
    open_store(path, cache)
    began = time.perf_counter()
    open_store(path, cache)
    return time.perf_counter() - began


def _prepare(folder: Path) -> tuple[float, int]:
    raw = folder / "made_skeletons.zip"
    texts = synthetic.write_zip(raw, tuple(_SUBJECTS), _REPETITIONS)
    began = time.perf_counter()
    prepare_ntu("ntu60", [raw], folder / "prepared.pkl", workers=os.cpu_count() or 1)
    return time.perf_counter() - began, texts


def _records(preset: Preset) -> list[dict]:
    store: Store = split_of(preset, _CLIPS).store
    frames = np.asarray(store.frames)
    return [
        {"frame_dir": name, "label": 0, "total_frames": int(length), "keypoint": frames[start : start + length][None]}
        for name, length, start in zip(store.names, store.lengths, store.starts[:, 0], strict=True)
    ]
