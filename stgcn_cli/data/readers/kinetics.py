"""Kinetics-Skeleton, the data set of ST-GCN: a JSON a clip, 18 OpenPose joints in shares of the image, with scores and label.

{"data": [{"frame_index": 1, "skeleton": [{"pose": [x, y, …], "score": […]}]}], "label": "juggling balls", "label_index": 181}
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import OPENPOSE_18
from stgcn_cli.data.readers.parsing import Options, dicts_in, frame_span, load_json, numbers
from stgcn_cli.data.readers.tracking import Detection, clip_of

IMAGE_SIZE = (256, 340)  # height, width of the frames that the poses were estimated in
_JOINTS = len(OPENPOSE_18.joints)


def fits(head: bytes) -> bool:
    """Whether a text begins like one of the data set."""
    return (b'"skeleton"' in head and b'"pose"' in head) or (
        head.lstrip().startswith(b'{"data"') and b'"frame_index"' in head
    )


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The one clip in a file, in pixels."""
    value = load_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"it is a {type(value).__name__}, expected an object with data and label")
    size, seen = options.image_size or IMAGE_SIZE, dict[int, list[Detection]]()
    for frame in dicts_in(value.get("data"), "data"):
        number = frame.get("frame_index")
        if type(number) is not int:
            raise ValueError(f"frame_index is {number!r:.40}, not a whole number")
        people = dicts_in(frame.get("skeleton", []), f"skeleton of frame {number}")
        seen.setdefault(number, []).extend(_person(person, number, size) for person in people)
    clip = clip_of([seen.get(number, []) for number in frame_span(seen)], options, _JOINTS)
    label = value.get("label")
    yield {**clip, "img_shape": size, "layout": OPENPOSE_18} | (
        {"label": label} if isinstance(label, str) and label and value.get("label_index") != -1 else {}
    )


def _person(person: dict[str, Any], frame: int, size: tuple[int, int]) -> Detection:
    pose = numbers(person.get("pose"), f"pose in frame {frame}").ravel()
    score = numbers(person.get("score"), f"score in frame {frame}").ravel()
    if pose.size != 2 * _JOINTS or score.size != _JOINTS:
        raise ValueError(
            f"frame {frame} has {pose.size} coordinates and {score.size} scores, expected {2 * _JOINTS} and {_JOINTS}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        return Detection(pose.reshape(-1, 2) * np.array(size[::-1], np.float32), score, None)
