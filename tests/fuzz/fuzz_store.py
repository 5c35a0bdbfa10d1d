"""Stores whose files were damaged: opened they are whole, or refused; no index leads out of their arrays."""

import io
import pickle
import random
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from stgcn_cli.data import store, store_sums
from stgcn_cli.data.store_build import build
from stgcn_cli.errors import DataError
from tests.conftest import make_records
from tests.fuzz.mutate import some_bytes, some_members, some_words, zipped
from tests.fuzz.target import Target, refused

_FILES = (
    "meta.json",
    "names.json",
    "starts.npy",
    "lengths.npy",
    "labels.npy",
    "image_sizes.npy",
    "splits.npz",
    "frames.bin",
    "findings.json",
)


def _seeds() -> list[bytes]:
    seeds = []
    for clips, persons in ((1, 1), (3, 2)):
        with tempfile.TemporaryDirectory() as name:
            folder, records = Path(name), make_records(clips, joints=2, persons=persons)
            splits = {"a_train": [r["frame_dir"] for r in records], "a_val": ["gone"]}
            (folder / "x.pkl").write_bytes(pickle.dumps({"split": splits, "annotations": records}))
            build(folder / "x.pkl", folder / "s", "key", lambda n: None)
            seeds.append(zipped([(file, (folder / "s" / file).read_bytes()) for file in _FILES]))
    return seeds


def _inside(rng: random.Random, name: str, content: bytes) -> bytes:
    if name.endswith(".json") and rng.random() < 0.8:
        spaced = content.replace(b",", b" , ").replace(b":", b" : ").replace(b"]", b" ]")
        return some_words(rng, spaced, [spaced], head=0)
    return some_bytes(rng, content, [content])


def _mutate(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    return some_members(rng, data, seeds, _inside)


def _attempt(data: bytes, folder: Path) -> str:
    place = folder / "s"
    place.mkdir(exist_ok=True)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            contents = {name: archive.read(name) for name in archive.namelist() if name in _FILES}
    except Exception:  # this archive is only how an input is carried
        return "no input"
    for file in (*_FILES, store_sums.NAME):
        (place / file).unlink(missing_ok=True)
        if file in contents:
            (place / file).write_bytes(contents[file])
    store_sums.write(place, {})  # else nothing that was changed would be looked at
    try:
        opened = store._open(place, folder / "x.pkl")
    except DataError as error:
        return refused(error, place)
    for split in opened.splits:
        for clip in opened.indices(split):
            for start in opened.starts[clip]:
                assert len(opened.frames[start : start + opened.lengths[clip]]) == opened.lengths[clip] or not start
            assert isinstance(opened.names[clip], str) and opened.labels[clip] == int(opened.labels[clip])
    assert not np.isnan(opened.lengths).any()
    return "opened"


TARGET = Target("store", _seeds, _mutate, _attempt, ("store.py",), memory_mb=300)
