"""One clip of two persons in COCO joints, written the way other programs write theirs."""

import csv
import json
from pathlib import Path

import numpy as np

SIZE = (720, 1280)  # height, width


def clip(frames: int = 6, joints: int = 17, persons: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(M, T, V, 2) pixels and (M, T, V) scores: people who stand apart; the second is absent in the third frame."""
    rng = np.random.default_rng(seed)
    place = 200 + 400 * np.arange(persons)[:, None, None, None]
    xy = (place + rng.uniform(-90, 90, (persons, 1, joints, 2)) + rng.normal(0, 3, (persons, frames, joints, 2))).round(
        2
    )
    score = rng.uniform(0.3, 0.9, (persons, frames, joints)).round(3)
    if persons > 1:
        xy[1, 2], score[1, 2] = 0, 0
    return xy.astype(np.float32), score.astype(np.float32)


def people(xy: np.ndarray, score: np.ndarray, frame: int) -> list[tuple[int, list, list]]:
    """Who is seen in a frame: number, joints, scores."""
    return [(m, xy[m, frame].tolist(), score[m, frame].tolist()) for m in range(len(xy)) if xy[m, frame].any()]


def flat(joints: list, scores: list) -> list[float]:
    """x, y, score, x, y, score, ..."""
    return [n for joint, score in zip(joints, scores, strict=True) for n in (*joint, score)]


def coco(path: Path, xy: np.ndarray, score: np.ndarray, tracks: bool = True) -> Path:
    """A COCO keypoint file of one video; every other image stands at the end, as nothing says it may not."""
    images = [
        {"id": 90 - t, "file_name": f"img_{t}.jpg", "height": SIZE[0], "width": SIZE[1]} for t in range(xy.shape[1])
    ]
    annotations = [
        {"image_id": 90 - t, "category_id": 1, "keypoints": flat(joints, scores), **({"track_id": m} if tracks else {})}
        for t in range(xy.shape[1])
        for m, joints, scores in people(xy, score, t)
    ]
    path.write_text(json.dumps({"images": images[::2] + images[1::2], "annotations": annotations, "categories": []}))
    return path


def results(path: Path, xy: np.ndarray, score: np.ndarray) -> Path:
    """A results list as AlphaPose writes it: image names, frames without anybody left out."""
    listed = [
        {"image_id": f"{t + 10}.jpg", "category_id": 1, "keypoints": flat(joints, scores), "score": 2.9, "idx": m}
        for t in range(xy.shape[1])
        for m, joints, scores in people(xy, score, t)
    ]
    path.write_text(json.dumps(listed))
    return path


def mmpose(path: Path, xy: np.ndarray, score: np.ndarray, bare: bool = False) -> Path:
    """A video's predictions, of MMPose's demos or (bare) of its inferencer."""
    frames = [
        {
            "frame_id": t + 1,
            "instances": [
                {"keypoints": joints, "keypoint_scores": scores, "bbox": [[0, 0, 1, 1]]}
                for _, joints, scores in people(xy, score, t)
            ],
        }
        for t in range(xy.shape[1])
    ]
    path.write_text(json.dumps(frames if bare else {"meta_info": {"dataset_name": "coco"}, "instance_info": frames}))
    return path


def openpose(folder: Path, xy: np.ndarray, score: np.ndarray, name: str = "walk", first: int = 0) -> Path:
    """A folder of NAME_000000000012_keypoints.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(xy.shape[1]):
        found = [
            {"person_id": [-1], "pose_keypoints_2d": flat(joints, scores), "face_keypoints_2d": []}
            for _, joints, scores in people(xy, score, t)
        ]
        (folder / f"{name}_{t + first:012d}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": found}))
    return folder


def table(path: Path, xy: np.ndarray, score: np.ndarray, **more: object) -> Path:
    """A CSV with a row for each joint; frames count from 1."""
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["clip", "frame", "person", "joint", "x", "y", "score", *more])
        for t in range(xy.shape[1]):
            writer.writerow(["walk", t + 1, "", "", "", "", "", *more.values()])
            for m, joints, scores in people(xy, score, t):
                for v, ((x, y), s) in enumerate(zip(joints, scores, strict=True)):
                    writer.writerow(["walk", t + 1, f"p{m}", v, x, y, s, *more.values()])
    return path


def npz(path: Path, xy: np.ndarray, score: np.ndarray) -> Path:
    """One clip as arrays."""
    np.savez(path, keypoint=xy, keypoint_score=score, label=3)
    return path
