"""BABEL releases for tests: made up, or the real clips of tests/golden."""

import pickle
import tarfile
from pathlib import Path

import numpy as np

from tests.conftest import GOLDEN


def golden_release() -> dict[str, np.ndarray]:
    """clips, segments, labels, sequences, chunks, annotators of three training clips."""
    with np.load(GOLDEN / "babel" / "release60.npz") as arrays:
        return dict(arrays)


def golden_records() -> list[dict]:
    """The records the reference makes of them."""
    with np.load(GOLDEN / "babel" / "records60.npz") as arrays:
        columns = {name: arrays[name] for name in arrays.files}
    return [
        {name: column[i] if name == "keypoint" else column[i].item() for name, column in columns.items()}
        for i in range(len(columns["label"]))
    ]


def made_up(count: int, prefix: str = "a", seed: int = 0, classes: int = 60, frames: int = 4) -> dict:
    """The same columns with random clips of a few frames."""
    rng = np.random.default_rng(seed)
    return {
        "clips": rng.normal(0, 1, (count, 3, frames, 25, 1)).astype(np.float32),
        "segments": [f"{prefix}{i:03d}" for i in range(count)],
        "labels": [i % classes for i in range(count)],
        "sequences": [np.int64(100 + i) for i in range(count)],
        "chunks": [i % 3 for i in range(count)],
        "annotators": [f"who-{i % 2}" for i in range(count)],
    }


def write_split(folder: Path, split: str, release: dict, classes: int = 60, labels: bool = True) -> Path:
    """The two files of a split, as the release has them."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{split}_ntu_sk_{classes}.npy", release["clips"])
    names = ("labels", "sequences", "chunks", "annotators")
    columns = {name: as_list(release[name]) for name in ("segments", *names)}
    value = (columns["segments"], tuple(columns[name] for name in names))
    if labels:
        (folder / f"{split}_label_{classes}.pkl").write_bytes(pickle.dumps(value, protocol=4))
    return folder


def as_list(column):
    return column.tolist() if isinstance(column, np.ndarray) else column


def names_of(release: dict) -> list[str]:
    columns = (release[name] for name in ("segments", "sequences", "chunks", "annotators"))
    return ["_".join(map(str, row)) for row in zip(*columns, strict=True)]


def write_archive(path: Path, folder: Path, prefix: str = "release/", mode: str = "w:gz") -> Path:
    """The files of a folder in a tar, below `prefix`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, prefix + file.name)
    return path
