"""Clips of `foreign.clip`, written as YOLO, ultralytics, AlphaPose, Kinetics-Skeleton and others write them; BVH and NW-UCLA.

Every writer takes a path (a folder for formats with a file a frame) and pixels of an image of foreign.SIZE.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.factories.foreign import SIZE, flat, people

Array = np.ndarray


def _shares(joints: list) -> list:
    return (np.array(joints) / SIZE[::-1]).tolist()


def yolo(folder: Path, xy: Array, score: Array, ids: bool = False) -> Path:
    """A folder of save_txt: a frame without anybody has no file."""
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(xy.shape[1]):
        lines = [
            " ".join(map(str, [0, 0.5, 0.5, 0.2, 0.6, *flat(_shares(joints), scores), *([m + 3] if ids else [])]))
            for m, joints, scores in people(xy, score, t)
        ]
        if lines:
            (folder / f"walk_{t + 1}.txt").write_text("\n".join(lines) + "\n")
    return folder


def _ultralytics(xy: Array, score: Array, t: int) -> list:
    return [
        {"name": "person", "class": 0, "confidence": 0.9, "track_id": m + 1, "box": {"x1": 1.0, "y1": 2.0},
         "keypoints": {"x": np.array(joints)[:, 0].tolist(), "y": np.array(joints)[:, 1].tolist(), "visible": scores}}
        for m, joints, scores in people(xy, score, t)
    ]  # fmt: skip


def ultralytics(folder: Path, xy: Array, score: Array) -> Path:
    """A folder of result.to_json(), one a frame."""
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(xy.shape[1]):
        (folder / f"walk_{t:03d}.json").write_text(json.dumps(_ultralytics(xy, score, t)))
    return folder


def ultralytics_list(path: Path, xy: Array, score: Array) -> Path:
    """The same lists in one."""
    path.write_text(json.dumps([_ultralytics(xy, score, t) for t in range(xy.shape[1])]))
    return path


def alphapose(path: Path, xy: Array, score: Array, tracked: bool = True) -> Path:
    """A map from picture to persons."""
    value = {
        f"{t}.jpg": [
            {"keypoints": flat(joints, scores), "scores": 2.5, **({"idx": [float(m)]} if tracked else {})}
            for m, joints, scores in people(xy, score, t)
        ]
        for t in range(xy.shape[1])
    }
    path.write_text(json.dumps(value))
    return path


def alphapose_persons(path: Path, xy: Array, score: Array) -> Path:
    """A map from person to frames."""
    value: dict = {}
    for t in range(xy.shape[1]):
        for m, joints, scores in people(xy, score, t):
            value.setdefault(str(m + 1), {})[f"{t:05d}"] = {"keypoints": flat(joints, scores), "scores": None}
    path.write_text(json.dumps(value))
    return path


def kinetics(path: Path, xy: Array, score: Array, label: str = "high kick") -> Path:
    """Shares of the image, 18 joints."""
    frames = [
        {"frame_index": t + 1, "skeleton": [
            {"pose": np.ravel(_shares(joints)).tolist(), "score": scores} for _, joints, scores in people(xy, score, t)
        ]} for t in range(xy.shape[1])
    ]  # fmt: skip
    path.write_text(json.dumps({"data": frames, "label": label, "label_index": 152}))
    return path


def frames(path: Path, xy: Array, score: Array, style: str = "lists") -> Path:
    """JSON as people write it for themselves."""

    def person(m: int, joints: list, scores: list) -> object:
        points = [{"x": x, "y": y, "score": s} for (x, y), s in zip(joints, scores, strict=True)]
        return {
            "lists": {"keypoints": joints, "scores": scores, "bbox": [1, 2, 3, 4]},
            "threes": {"keypoints": [[*joint, s] for joint, s in zip(joints, scores, strict=True)], "id": m + 5},
            "flat": {"pose": flat(joints, scores), "track_id": f"person {m}"},
            "points": {"landmarks": points},
            "pose": {"pose": {"keypoints": [{"position": {"x": p["x"], "y": p["y"]}, "part": f"j{i}", "score": p["score"]} for i, p in enumerate(points)]}},
            "by name": {"joints": {f"j{i}": [*joint, s] for i, (joint, s) in enumerate(zip(joints, scores, strict=True))}},
            "one list": {"frame": 0, "track_id": m, "keypoints": flat(joints, scores)},
        }[style]  # fmt: skip

    rows = [[person(*each) for each in people(xy, score, t)] for t in range(xy.shape[1])]
    value: object = rows
    if style in ("points", "by name"):
        value = {
            "width": SIZE[1],
            "height": SIZE[0],
            "fps": 30,
            "frames": [{"frame": t, "persons": row} for t, row in enumerate(rows)],
        }
    if style == "one list":
        value = [{**person, "frame": t} for t, row in enumerate(rows) for person in row]  # type: ignore[dict-item]
    path.write_text(json.dumps(value))
    return path


def ucla(path: Path, skeletons: Array, name: str = "a01_s01_e00_v01", label: int = 1) -> Path:
    """NW-UCLA of (T, 20, 3)."""
    path.write_text(json.dumps({"file_name": name, "skeletons": skeletons.tolist(), "label": label}))
    return path


BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Spine
  {
    OFFSET 0 10 1
    CHANNELS 3 Yrotation Xrotation Zrotation
    JOINT LeftArm
    {
      OFFSET 5 4 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      {
        OFFSET 3 0 0
      }
    }
    JOINT RightArm
    {
      OFFSET -5 4 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      {
        OFFSET -3 0 0
      }
    }
  }
}
MOTION
Frames: FRAMES
Frame Time: 0.033333
"""


def bvh(path: Path, values: Array) -> Path:
    """A body of four joints that moves by `values` (T, 15)."""
    rows = "\n".join(" ".join(f"{value:.5f}" for value in row) for row in values)
    path.write_text(BVH.replace("FRAMES", str(len(values))) + rows + "\n")
    return path


WRITERS: dict[str, tuple[Callable[..., Path], str]] = {
    "yolo": (yolo, "a"),
    "yolo with ids": (lambda path, *clip: yolo(path, *clip, ids=True), "a"),
    "ultralytics": (ultralytics, "a"),
    "ultralytics list": (ultralytics_list, "a.json"),
    "alphapose": (alphapose, "a.json"),
    "alphapose untracked": (lambda path, *clip: alphapose(path, *clip, tracked=False), "a.json"),
    "alphapose persons": (alphapose_persons, "a.json"),
    **{
        f"frames: {style}": (lambda path, xy, score, style=style: frames(path, xy, score, style), "a.json")
        for style in ("lists", "threes", "flat", "points", "pose", "by name", "one list")
    },
}
