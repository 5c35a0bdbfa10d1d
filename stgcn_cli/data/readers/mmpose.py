"""MMPose's predictions: of a video {"instance_info": [{"frame_id", "instances": [...]}]} or that list alone; of a picture the
list of its instances.

An instance has keypoints [[x, y], ...] (or x, y, z), keypoint_scores, and track_id where a tracker ran. meta_info names the joints.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stgcn_cli.data.readers import named_joints
from stgcn_cli.data.readers.parsing import Options, dicts_in, load_json
from stgcn_cli.data.readers.person_frames import Row, clips_of, file_rows
from stgcn_cli.data.readers.persons import people_in, persons_in

_FRAME = re.compile(rb'"frame\w*"\s*:')  # of a list of one's own


def fits(head: bytes) -> bool:
    """Whether a text begins like one of MMPose's."""
    words = (b'"instance_info"', b'"meta_info"', b'"instances"')
    is_list = head.lstrip()[:1] == b"[" and not _FRAME.search(head)
    return any(word in head for word in words) or (b'"keypoint_scores"' in head and is_list)


def is_picture(head: bytes) -> bool:
    """Whether a file that fits is of one picture: its instances stand in no frames."""
    return b'"instances"' not in head and b'"frame_id"' not in head


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The one clip in a file. A picture's list of instances is a clip of one frame."""
    value = load_json(path)
    found, rows = _listed(value), list[Row]()
    if found and "instances" not in found[0]:
        rows, found = [Row(0, people_in(found))], []
    for index, frame in enumerate(found):
        number = frame.get("frame_id", index)
        if not isinstance(number, int):
            raise ValueError(f"frame_id is {number!r:.40}, not a whole number")
        rows.append(Row(number, persons_in(dicts_in(frame.get("instances"), f"instances of frame {number}"))))
    yield _clip(rows, value, options)


def read_frames(numbers: Sequence[int], files: Sequence[Path], options: Options) -> dict[str, Any]:
    """The clip of files that hold a picture each."""
    return _clip(file_rows(numbers, files, lambda value: people_in(_listed(value))), load_json(files[0]), options)


def _listed(value: Any) -> list[dict[str, Any]]:
    return dicts_in(value.get("instance_info") if isinstance(value, dict) else value, "instance_info")


def _clip(rows: Sequence[Row], value: Any, options: Options) -> dict[str, Any]:
    """The clip, with the skeleton that meta_info in a file's value describes."""
    (clip,) = clips_of(rows, options, "", "frame_id", exact=True)
    meta = value.get("meta_info") if isinstance(value, dict) else None
    if not isinstance(meta, dict):
        return clip
    names, links = meta.get("keypoint_id2name"), meta.get("skeleton_links")
    return named_joints.described(clip, names, links, meta.get("dataset_name"), options.layout)
