"""An example of every format that is read: one clip under a path without suffix, by the name of the format."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.factories import bodies, foreign, poses


def _json(write: Callable) -> Callable[[Path, int], object]:
    return lambda path, seed: write(path.with_suffix(".json"), *foreign.clip(seed=seed))


def _skeleton(path: Path, seed: int) -> None:
    frames = bodies.kinect(8, 1, seed)[0]
    lines = [str(len(frames))]
    for frame in frames:
        lines += ["1", "72057594037900001 0 1 1 1 1 0 0.01 -0.2 2", "25"]
        lines += [" ".join(f"{value:.7g}" for value in (*joint, *np.zeros(8))) + " 2" for joint in frame]
    path.with_suffix(".skeleton").write_text("\n".join(lines) + "\n")


def _pickle(path: Path, seed: int) -> None:
    record = {"frame_dir": path.name, "label": 0, "keypoint": bodies.kinect(8, 2, seed), "total_frames": 8}
    path.with_suffix(".pkl").write_bytes(pickle.dumps([record]))


def _csv(path: Path, seed: int) -> None:
    file = foreign.table(path.with_suffix(".csv"), *foreign.clip(seed=seed))
    file.write_text(file.read_text().replace("walk", path.name))


def _npy(path: Path, seed: int) -> None:
    np.save(path.with_suffix(".npy"), bodies.kinect(8, 2, seed).transpose(3, 1, 2, 0))  # C T V M


def _ucla(path: Path, seed: int) -> None:
    poses.ucla(path.with_suffix(".json"), bodies.kinect(8, 1, seed)[0, :, :20], f"a01_s01_e{seed:02d}_v01")


EXAMPLES: dict[str, Callable[[Path, int], object]] = {
    "skeleton": _skeleton,
    "pickle": _pickle,
    "npy": _npy,
    "npz": lambda path, seed: foreign.npz(path.with_suffix(".npz"), *foreign.clip(seed=seed)),
    "csv": _csv,
    "bvh": lambda path, seed: poses.bvh(path.with_suffix(".bvh"), np.random.default_rng(seed).normal(0, 20, (8, 15))),
    "yolo": lambda path, seed: poses.yolo(path, *foreign.clip(seed=seed)),
    "kinetics": lambda path, seed: poses.kinetics(path.with_suffix(".json"), *foreign.clip(joints=18, seed=seed)),
    "ucla": _ucla,
    "openpose": lambda path, seed: foreign.openpose(path, *foreign.clip(seed=seed)),
    "ultralytics": lambda path, seed: poses.ultralytics(path, *foreign.clip(seed=seed)),
    "mmpose": _json(foreign.mmpose),
    "coco": _json(foreign.coco),
    "alphapose": _json(poses.alphapose),
    "frames": _json(poses.frames),
}
