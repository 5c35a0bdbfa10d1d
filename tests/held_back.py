"""`python -m tests.held_back uiprmd_skeletons.zip FOLDER`: data sets to choose a recipe on, of training subjects alone.

fold-a, fold-b: two of the five training subjects validate, as they are (`val`), mirrored, and `hard`: 20 to 40 frames of a clip, turned by
up to 1.2 radians around the vertical, half of them mirrored, 1 cm of noise in each coordinate of each joint.
cross-view: 20 to 40 frames, 1.5 cm of noise in training as in validation; training clips are turned by -0.6 or 0.2 radians, those of two other
people by 1.0, half of them mirrored. cross-view-unturned: the same as a skeleton whose clips nothing centres or turns.
"""

import pickle
import sys
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np

from stgcn_cli import api
from stgcn_cli.config.skeletons import NTU
from tests.cli.runner import run_stgcn

SUBJECTS = (1, 2, 4, 5, 8)  # numbers of NTU's training subjects in the names
FOLDS = {"a": (1, 4), "b": (2, 8)}
OTHER = np.arange(25)
OTHER[np.array(NTU.pairs)], OTHER[np.array(NTU.pairs)[:, ::-1]] = np.array(NTU.pairs)[:, ::-1], np.array(NTU.pairs)


def turned(x: np.ndarray, angle: float) -> np.ndarray:
    """x (M, T, V, 3) as a camera sees it from another side: turned around the vertical through the first joint."""
    cos, sin = np.cos(angle), np.sin(angle)
    start = x[:, :1, :1]
    return (x - start) @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], np.float32).T + start


def mirrored(x: np.ndarray) -> np.ndarray:
    """x (M, T, V, 3) with left and right exchanged."""
    return x[..., OTHER, :] * np.array([-1, 1, 1], np.float32)


def part_of(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """20 to 40 frames of x (M, T, V, 3)."""
    length = int(rng.integers(20, 41))
    start = int(rng.integers(0, max(1, x.shape[1] - length + 1)))
    return x[:, start : start + length]


class Pickle:
    """Records and their splits."""

    def __init__(self) -> None:
        self.splits, self.records = defaultdict(list), []

    def add(self, split: str, name: str, label: int, x: np.ndarray) -> None:
        """A record of x (M, T, V, 3)."""
        self.splits[split].append(f"{split}_{name}")
        self.records.append(
            {
                "frame_dir": f"{split}_{name}",
                "label": label,
                "keypoint": x.astype(np.float32),
                "total_frames": x.shape[1],
            }
        )

    def convert(self, folder: Path, name: str, *words: str) -> None:
        """Write NAME.pkl and NAME.toml by `stgcn data convert`."""
        raw = folder / f"{name}-raw.pkl"
        raw.write_bytes(pickle.dumps({"split": dict(self.splits), "annotations": self.records}))
        said = run_stgcn(folder, "data", "convert", raw.name, "--out", f"{name}.pkl", "--force", *words)
        print(said.out or said.err)


def main(source: str, target: str) -> None:
    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    folds, views = {name: Pickle() for name in FOLDS}, Pickle()
    for clip in api.read(source):
        name, x = clip.name.rpartition("/")[2], np.asarray(clip.record["keypoint"], np.float32)[:1]
        subject, label = int(name[9:12]), int(clip.record["label"])
        if subject not in SUBJECTS:
            continue
        for fold, held in FOLDS.items():
            if subject not in held:
                folds[fold].add("train", name, label, x)
                continue
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            folds[fold].add("val", name, label, x)
            folds[fold].add("mirrored", name, label, mirrored(x))
            y = turned(part_of(x, rng), rng.uniform(-1.2, 1.2))
            y = mirrored(y) if rng.random() < 0.5 else y
            folds[fold].add("hard", name, label, y + rng.normal(0, 0.01, y.shape))
        rng = np.random.default_rng(zlib.crc32(b"x" + name.encode()))
        split = "val" if subject in FOLDS["a"] else "train"
        y = turned(part_of(x, rng), 1.0 if split == "val" else rng.choice([-0.6, 0.2]))
        y = mirrored(y) if split == "val" and rng.random() < 0.5 else y
        views.add(split, name, label, y + rng.normal(0, 0.015, y.shape))
    for fold, made in folds.items():
        made.convert(folder, f"fold-{fold}", "--pre-normalize", "ntu")
    views.convert(folder, "cross-view", "--pre-normalize", "ntu")
    layout = Path(api.__file__).parent / "config" / "layouts" / "ntu.toml"
    (folder / "other-25.toml").write_text(layout.read_text().replace('name = "ntu"', 'name = "other-25"'))
    views.convert(folder, "cross-view-unturned", "--pre-normalize", "none", "--layout", "other-25.toml")


if __name__ == "__main__":
    main(*sys.argv[1:])
