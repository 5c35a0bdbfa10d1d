"""YOLO's texts, BVH, and the JSON of ultralytics, AlphaPose, Kinetics, NW-UCLA and one's own, as `fuzz_clips` has the others."""

import json
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
        shown = [{"keypoints": joints, "scores": scores} for _, joints, scores in foreign.people(xy, score, 0)]
        others = {
            "videos": [{"video": v, "frame": t, **shown[0]} for v in "ab" for t in range(2)],
            "map": {"cam1": [shown, shown], "cam2": [shown]}, "times": [{"time": t / 30, **shown[0]} for t in range(3)],
            "deep": {"meta": {}, "result": {"frames": [{"persons": shown}]}}, "numbers": {"f1": xy[0, 0].tolist()},
            "rows": [{"frame": t, "nose_x": 1.0, "nose_y": t, "eye_x": 3, "eye_y": 4} for t in range(3)], "columns": {"x1": {"0": 1, "1": 2}, "y1": {"0": 3, "1": 4}},
            "split": {"columns": ["x1", "y1"], "data": [[1, 2], [3, 4]]}, "long": [{"frame": 0, "joint": v, "x": v, "y": 2} for v in range(3)],
            "named": [[{"keypoints": [{"name": n, "x": 1, "y": 2} for n in ("nose", "left eye")]}]],
        }  # fmt: skip
        for name, value in others.items():
            files.append(folder / f"{name}.json")
            files[-1].write_text(json.dumps(value))
        return [bytes([fuzz_clips.KINDS.index(file.suffix)]) + file.read_bytes() for file in files]


TARGET = replace(
    fuzz_clips.TARGET,
    name="poses",
    seeds=_seeds,
    guided_by=(
        "yolo.py", "bvh.py", "persons.py", "person_frames.py", "frame_list.py", "json_looks.py", "kinetics.py", "ucla.py", "frames.py",
        "joint_values.py", "tracking.py", "list_cells.py",
    ),
)  # fmt: skip
