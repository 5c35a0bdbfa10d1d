"""AlphaPose's maps: from picture to persons, tracked or not, or from person to the frames in which they were seen.

{"0.jpg": [{"keypoints", "scores", "idx"}]}; {"1": {"00000": {"keypoints", "scores"}}}, as anomaly detection has them; and its
OpenPose-like {"0.jpg": {"people": […]}}.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stgcn_cli.data.readers import frame_list
from stgcn_cli.data.readers.parsing import Options, load_json
from stgcn_cli.data.readers.persons import Row, clips_of, joints_key, persons_in

_FIRST = re.compile(rb'\s*\{\s*"[^"]*\d[^"]*"\s*:\s*[\[{]')
_NUMBERS = re.compile(rb'\s*\{\s*"[^"]*\d[^"]*"\s*:\s*\[[\s\[]*[-\d]')
_JOINTS = (b'"keypoints"', b'"pose_keypoints_2d"', b'"joints"')


def fits(head: bytes) -> bool:
    """Whether a text begins like a map from names with a number to persons."""
    return bool(_NUMBERS.match(head) or (_FIRST.match(head) and any(word in head for word in _JOINTS)))


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clips in a file: one for each video that the names of pictures tell."""
    value = load_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"it is a {type(value).__name__}, expected a map from pictures or persons")
    if frame_list.videos_in(value):
        yield from frame_list.read(path, options)
        return
    rows = (
        list(_by_person(value))
        if _are_persons(value)
        else [Row(name, persons_in(each)) for name, each in value.items()]
    )
    yield from clips_of(rows, options, path.stem, "the name of a picture")


def _are_persons(value: dict[str, Any]) -> bool:
    """Whether the map is from persons to their frames."""
    return any(
        isinstance(each, dict)
        and joints_key(each) is None
        and any(isinstance(inner, dict) and joints_key(inner) for inner in each.values())
        for each in value.values()
    )


def _by_person(value: dict[str, Any]) -> Iterator[Row]:
    for track, seen in value.items():
        if not isinstance(seen, dict):
            raise ValueError(f"person {track!r:.40} is a {type(seen).__name__}, expected a map from frames")
        for frame, person in seen.items():
            persons = persons_in({**person, "track_id": track} if isinstance(person, dict) else person)
            yield Row(frame, persons)
