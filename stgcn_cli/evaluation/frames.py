"""Frames of a stream: persons, number and time of a JSON value, in any form that pose estimators write; ids for those without.

Shapes: V joints, C values of a joint.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.data.readers import openpose
from stgcn_cli.data.readers.person_frames import in_order
from stgcn_cli.data.readers.persons import PERSONS, Person, joints_key, persons_in
from stgcn_cli.data.readers.tracking import ABSENT, Detection, Track, nearest_tracks

_NUMBERS = ("frame", "frame_id", "frame_index")
_LISTS = (*PERSONS, "annotations")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The persons of a frame, without those of whom no joint was found; its number and time (seconds) where it has them.

    `is_exact`: the format says that values are coordinates and scores stand beside them; else they have to be inferred by their ranges.
    """

    persons: list[Person]
    is_exact: bool = False
    number: int | None = None
    t: float | None = None


def frame_of(value: Any, layout: Layout | None = None) -> Frame:
    """The frame in a JSON value; joints that have names are in the order of their skeleton. Raises ValueError."""
    found, is_exact = _persons(value)
    persons = [finite for person in in_order(found, layout)[0] if (finite := _finite(person)).values[:, :2].any()]
    about = value if isinstance(value, dict) else {}
    number = next((about[key] for key in _NUMBERS if type(about.get(key)) is int), None)
    t = about.get("t")
    time = float(t) if isinstance(t, int | float) and not isinstance(t, bool) and math.isfinite(t) else None
    return Frame(persons=persons, is_exact=is_exact, number=number, t=time)


def _persons(value: Any) -> tuple[list[Person], bool]:
    """The persons, and whether they are of a format with scores beside the coordinates."""
    if isinstance(value, list):
        return persons_in(value), any(isinstance(each, dict) and "keypoint_scores" in each for each in value)
    if not isinstance(value, dict):
        raise ValueError(f"a frame is a {type(value).__name__}, not an object")
    if wrong := next((key for key in _LISTS if not isinstance(value.get(key, []), list | None)), None):
        raise ValueError(f"{wrong!r} is a {type(value[wrong]).__name__}, not a list")
    people = [each for each in value.get("people") or () if isinstance(each, dict)]
    if found := [seen for each in people if (seen := openpose.person_of(each))]:
        return found, True
    skeletons = value.get("skeleton")  # of Kinetics; elsewhere the joints of a person
    if isinstance(skeletons, list) and all(isinstance(each, dict) and joints_key(each) for each in skeletons):
        return persons_in(skeletons), False
    known = next((key for key in _LISTS if key in value), joints_key(value))
    if known is None and (odd := [key for key, each in value.items() if isinstance(each, list | dict) and each]):
        raise ValueError(f"unrecognised key {odd[0]!r:.40}; expected the persons of a frame under 'persons'")
    return persons_in(value["annotations"] if known == "annotations" else value), known == "instances"


def _finite(person: Person) -> Person:
    scores = None if person.scores is None else _zeros_for_odd(person.scores)
    return Person(_zeros_for_odd(person.values), scores, person.track, person.names)


def _zeros_for_odd(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.asarray(values, np.float32), posinf=0, neginf=0)


class Identities:
    """Ids of persons that come without one: whoever is near to where a person was is that person.

    `coordinates`: the first values of a joint that say where it is.
    """

    def __init__(self, coordinates: int) -> None:
        self.coordinates = coordinates
        self.tracks: dict[str, Track] = {}
        self.next = 0

    def of(self, persons: Sequence[Person], frame: int) -> dict[Any, Person]:
        """The persons of a frame by their ids: "#0", "#1", … for those without, or with one that another has, too."""
        named: dict[Any, Person] = {}
        loose = []
        for person in persons:
            if person.track is None or named.setdefault(person.track, person) is not person:
                loose.append(person)
        seen = [
            Detection(each.values[:, : self.coordinates], np.ones(len(each.values), np.float32), None) for each in loose
        ]
        self.tracks = {key: track for key, track in self.tracks.items() if frame - track.last <= ABSENT}
        keys = {id(track): key for key, track in self.tracks.items()}
        nearest = nearest_tracks(seen, list(self.tracks.values()))
        for person, detection, track in zip(loose, seen, nearest, strict=True):
            if track is None:
                track, key = Track(), f"#{self.next}"
                self.tracks[key], self.next = track, self.next + 1
            else:
                key = keys[id(track)]
            track.add(frame, detection)
            track.seen.clear()  # a track of a file remembers all frames
            named[key] = person
        return named
