"""Files of other programs (JSON, CSV, numpy arrays, a zip of texts) through the reader that `predict` and `data` use."""

import contextlib
import gzip
import random
import tempfile
import zlib
from pathlib import Path

import numpy as np

from stgcn_cli.data.readers import unzipped
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.errors import StgcnError
from tests.factories import foreign
from tests.factories.skeletons import text
from tests.fuzz.mutate import some_bytes, some_members, some_values, some_words, zipped
from tests.fuzz.target import Target, refused

KINDS = (".json", ".csv", ".npz", ".npy", ".zip", ".skeleton", ".txt", ".bvh", ".csv.gz", ".pkl")


def _seeds() -> list[bytes]:
    """The first byte says the suffix."""
    xy, score = foreign.clip(frames=2, joints=3, persons=1)
    seeds = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [foreign.coco(folder / "a.json", xy, score), foreign.results(folder / "b.json", xy, score), foreign.mmpose(folder / "c.json", xy, score),
                 foreign.table(folder / "d.csv", xy, score), foreign.npz(folder / "e.npz", xy, score)]  # fmt: skip
        files += sorted(foreign.openpose(folder / "walk", xy, score).glob("*.json"))[:1]
        np.save(folder / "f.npy", np.concatenate([xy, score[..., None]], axis=-1).astype("f4"))
        for file in [*files, folder / "f.npy"]:
            seeds.append(bytes([KINDS.index(file.suffix)]) + file.read_bytes())
    seeds.append(b"\x04" + zipped([("raw/S001C001P001R001A001.skeleton", text([1])[:4000])]))
    seeds.append(b"\x08" + gzip.compress(next(seed[1:] for seed in seeds if seed[:1] == b"\x01")))
    return [*seeds, b"\x05" + text([1])]


def _inside(rng: random.Random, name: str, content: bytes) -> bytes:
    return some_bytes(rng, content, [content])


def _mutate(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    kind, content = data[:1], data[1:]
    if kind == b"\x08" and rng.random() < 0.7:
        with contextlib.suppress(OSError, EOFError, zlib.error):  # damaged before
            table = gzip.decompress(content)
            return kind + gzip.compress(some_words(rng, table.replace(b",", b" ,"), [table], head=0))
    same = [seed[1:] for seed in seeds if seed[:1] == kind] or [content]
    if kind in b"\x02\x04" and rng.random() < 0.7:
        return kind + some_members(rng, content, same, _inside)
    if kind == b"\x00" and rng.random() < 0.5:
        return kind + some_values(rng, content)
    if kind in b"\x00\x01\x05\x06\x07" and rng.random() < 0.9:
        spaced = (
            content.replace(b"\n", b"").replace(b", ", b"\n,").replace(b"{", b"\n{ ").replace(b": ", b" : ")
            if kind == b"\x00"
            else content.replace(b",", b" ,")
        )
        return kind + some_words(rng, spaced, same, head=0)
    return kind + some_bytes(rng, content, same)


def _attempt(data: bytes, folder: Path) -> str:
    path = folder / f"clip{KINDS[data[0] % len(KINDS)] if data else '.npy'}"
    path.write_bytes(data[1:])
    try:
        clips = list(read_inputs([str(path)]))
    except StgcnError as error:
        return refused(error, path)
    finally:
        path.unlink()
        unzipped.remove()
    for clip in clips:
        keypoint = clip.record["keypoint"]
        assert keypoint.ndim == 4 and keypoint.shape[1] >= 1 and isinstance(clip.record["frame_dir"], str)
    return f"{min(len(clips), 3)} clips of {path.suffix}"


TARGET = Target(
    "clips",
    _seeds,
    _mutate,
    _attempt,
    (
        "inputs.py",
        "units.py",
        "coco.py",
        "mmpose.py",
        "openpose.py",
        "table.py",
        "arrays.py",
        "tracking.py",
        "named_joints.py",
    ),
    memory_mb=1500,
)
