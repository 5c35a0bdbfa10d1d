"""MMPose's predictions: of a video {"instance_info": [{"frame_id", "instances": [...]}]} or that list alone; of a picture the
list of its instances.

An instance has keypoints [[x, y], ...] (or x, y, z), keypoint_scores, and track_id where a tracker ran. meta_info names the joints.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.data.readers import named_joints
from stgcn_cli.data.readers.parsing import MAX_JOINTS, Options, dicts_in, frame_span, load_json, numbers
from stgcn_cli.data.readers.tracking import Detection, clip_of, clip_of_files, track_of

_JOINTS = 17  # of a clip without a person


def fits(head: bytes) -> bool:
    """Whether a text begins like one of MMPose's."""
    return any(word in head for word in (b'"instance_info"', b'"meta_info"', b'"instances"', b'"keypoint_scores"'))


def is_picture(head: bytes) -> bool:
    """Whether a file that fits is of one picture: its instances stand in no frames."""
    return b'"instances"' not in head and b'"frame_id"' not in head


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The one clip in a file. A picture's list of instances is a clip of one frame."""
    value = load_json(path)
    found = _listed(value)
    if found and "instances" not in found[0]:
        found = [{"frame_id": 0, "instances": found}]
    seen: dict[int, list[Detection]] = {}
    for index, frame in enumerate(found):
        number = frame.get("frame_id", index)
        if not isinstance(number, int):
            raise ValueError(f"frame_id is {number!r:.40}, not a whole number")
        people = dicts_in(frame.get("instances"), f"instances of frame {number}")
        seen.setdefault(number, []).extend(_seen(person, number) for person in people)
    yield clip_of([seen.get(frame, []) for frame in frame_span(seen)], options, _JOINTS) | _named(value)


def read_frames(frames: Sequence[int], files: Sequence[Path], options: Options) -> dict[str, Any]:
    """The clip of files that hold a picture each."""
    clip = clip_of_files(
        frames, files, lambda file: [_seen(each, 0) for each in _listed(load_json(file))], options, _JOINTS
    )
    return clip | _named(load_json(files[0]))


def _listed(value: Any) -> list[dict[str, Any]]:
    return dicts_in(value.get("instance_info") if isinstance(value, dict) else value, "instance_info")


def _named(value: Any) -> dict[str, Layout]:
    """The skeleton that meta_info describes."""
    meta = value.get("meta_info") if isinstance(value, dict) else None
    if not isinstance(meta, dict):
        return {}
    called = meta.get("dataset_name")
    layout = named_joints.layout_of(
        meta.get("keypoint_id2name"), meta.get("skeleton_links"), called if isinstance(called, str) else "own"
    )
    return {} if layout is None else {"layout": layout}


def _seen(person: dict[str, Any], frame: int) -> Detection:
    joints = numbers(person.get("keypoints"), f"keypoints in frame {frame}")
    joints = joints[0] if joints.ndim == 3 and len(joints) == 1 else joints
    if joints.ndim != 2 or joints.shape[1] not in (2, 3) or not 0 < len(joints) <= MAX_JOINTS:
        raise ValueError(f"keypoints in frame {frame} has the shape {joints.shape}, expected (joints, 2 or 3)")
    scores = person.get("keypoint_scores")
    values = np.ones(len(joints), np.float32) if scores is None else numbers(scores, "keypoint_scores").ravel()
    if len(values) != len(joints):
        raise ValueError(f"keypoint_scores in frame {frame} has {len(values)} numbers for {len(joints)} joints")
    return Detection(joints, values, track_of(person.get("track_id")))
