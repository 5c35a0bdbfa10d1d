"""YOLO's texts, BVH, and the JSON of ultralytics, AlphaPose, Kinetics, NW-UCLA and one's own, as `fuzz_clips` has the others."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.factories import foreign, poses
from tests.fuzz import fuzz_clips


def _seeds() -> list[bytes]:
    """The first byte says the suffix."""
    xy, score = foreign.clip(frames=2, joints=3, persons=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [poses.bvh(folder / "a.bvh", np.ones((2, 15))), poses.ucla(folder / "a.json", np.ones((2, 3, 3)))]
        files.append(poses.kinetics(folder / "b.json", *foreign.clip(frames=1, joints=18, persons=1)))
        for index, (write, file) in enumerate(poses.WRITERS.values()):
            path = write(folder / f"{index}{file}", xy, score)
            files += sorted(path.iterdir())[:1] if path.is_dir() else [path]
        return [bytes([fuzz_clips.KINDS.index(file.suffix)]) + file.read_bytes() for file in files]


TARGET = replace(
    fuzz_clips.TARGET,
    name="poses",
    seeds=_seeds,
    guided_by=(
        "yolo.py", "bvh.py", "persons.py", "frame_list.py", "kinetics.py", "ucla.py", "frames.py",
        "joint_values.py", "tracking.py",
    ),
)  # fmt: skip
