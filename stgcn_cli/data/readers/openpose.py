"""OpenPose's JSON: one file a frame, "people" with x, y, score of 18 or 25 joints; of a hand where there is no body."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stgcn_cli.config.skeletons import OPENPOSE_18, OPENPOSE_25
from stgcn_cli.data.readers.parsing import Options, dicts_in, load_json, triples
from stgcn_cli.data.readers.person_frames import clips_of, file_rows
from stgcn_cli.data.readers.persons import Person
from stgcn_cli.data.readers.tracking import track_of

NAME = "_keypoints.json"  # how the files of OpenPose itself end
_TOP = re.compile(rb'\s*\{(?:\s*"[^"]*"\s*:\s*(?:"[^"]*"|[-+.\w]+|\[[^]]*\])\s*,)*\s*"people"\s*:')
_LAYOUTS = {18: OPENPOSE_18, 25: OPENPOSE_25}
_JOINTS = 25  # of a clip without a person
_HANDS = ("hand_left_keypoints", "hand_right_keypoints")


def fits(head: bytes) -> bool:
    """Whether a text begins like one of OpenPose's."""
    return _TOP.match(head) is not None


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """A single file is a clip of one frame."""
    yield read_frames([0], [path], options)


def read_frames(numbers: Sequence[int], files: Sequence[Path], options: Options) -> dict[str, Any]:
    """The clip of these files. Raises ValueError for files with hands only of both sides."""
    clip = _clip(numbers, files, options, "pose_keypoints")
    if clip["keypoint"].any():
        layout = None if options.layout else _LAYOUTS.get(clip["keypoint"].shape[2])
        return clip if layout is None else clip | {"layout": layout}
    hands = {hand for file in files for hand in _hands(load_json(file))}
    if len(hands) > 1:
        raise ValueError(
            "it holds no bodies, but both hands of persons (hand_left_keypoints_2d, hand_right_keypoints_2d): a clip is "
            "of one skeleton. Keep one hand in the files, or run OpenPose with bodies"
        )
    for hand in hands:
        note = f"OpenPose: there are no bodies; the hands in {hand}_2d are read."
        clip = _clip(numbers, files, options, hand) | {"notes": (note,)}
    return clip


def _clip(numbers: Sequence[int], files: Sequence[Path], options: Options, part: str) -> dict[str, Any]:
    def people(value: Any) -> list[Person]:
        listed = dicts_in(value.get("people") if isinstance(value, dict) else None, '"people"')
        return [person for each in listed if (person := person_of(each, part))]

    (clip,) = clips_of(file_rows(numbers, files, people), options, "", "frame", exact=True, joints=_JOINTS)
    return clip


def person_of(person: dict[str, Any], part: str = "pose_keypoints") -> Person | None:
    """One of "people", in 3-D where there are four numbers a joint; None for a person without joints."""
    flat, spatial = person.get(f"{part}_2d", person.get(part)) or [], person.get(f"{part}_3d") or []
    joints = triples(spatial, 4, f"{part}_3d") if spatial else triples(flat, 3, f"{part}_2d")
    return Person(joints[:, :-1], joints[:, -1], track_of(person.get("person_id"))) if len(joints) else None


def _hands(value: Any) -> Iterator[str]:
    """Which hands are seen in a frame."""
    for person in dicts_in(value["people"], '"people"'):
        for hand in _HANDS:
            flat = person.get(f"{hand}_2d")
            if isinstance(flat, list) and any(isinstance(n, int | float) and n for n in flat):
                yield hand
