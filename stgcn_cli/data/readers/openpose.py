"""OpenPose `NAME_000000000012_keypoints.json`: one file a frame, "people" with x, y, score of 18 or 25 joints."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stgcn_cli.data.readers.parsing import Options, dicts_in, frame_span, load_json, triples
from stgcn_cli.data.readers.tracking import Detection, clip_of, track_of

_NAME = re.compile(r"(?:(.*)_)?(\d+)_keypoints\.json", re.IGNORECASE)
_JOINTS = 25  # of a clip with nobody in it


def fits(head: bytes) -> bool:
    """Whether a text begins like one of OpenPose's."""
    return b'"people"' in head


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clips in a folder, one for each NAME; a single file is a clip of one frame."""
    if path.is_file():
        yield read_frames([path], options)
        return
    found = clips_in(path)
    for name, files in found.items():
        yield read_frames(files, options) | ({"frame_dir": name} if len(found) > 1 else {})


def clips_in(folder: Path) -> dict[str, list[Path]]:
    """The files of each NAME directly in a folder, by name."""
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if (named := _NAME.fullmatch(file.name)) and file.is_file():
            found.setdefault(named[1] or folder.name, []).append(file)
    return found


def read_frames(files: Sequence[Path], options: Options) -> dict[str, Any]:
    """The clip of these files, in the order of their numbers; a number that is missing is a frame without a person."""
    seen: dict[int, list[Detection]] = {}
    for index, file in enumerate(files):
        named = _NAME.fullmatch(file.name)
        try:
            seen[int(named[2]) if named else index] = _people(load_json(file))
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from error
    return clip_of([seen.get(frame, []) for frame in frame_span(seen)], options, _JOINTS)


def _people(value: Any) -> list[Detection]:
    """The persons of one frame; in 3-D where there are four numbers a joint."""
    people = dicts_in(value.get("people") if isinstance(value, dict) else None, '"people"')
    found = []
    for person in people:
        flat, spatial = person.get("pose_keypoints_2d") or [], person.get("pose_keypoints_3d") or []
        joints = triples(spatial, 4, "pose_keypoints_3d") if spatial else triples(flat, 3, "pose_keypoints_2d")
        track = person.get("person_id")
        if len(joints):
            found.append(
                Detection(
                    joints[:, :-1], joints[:, -1], track_of(track[0] if isinstance(track, list) and track else track)
                )
            )
    return found
