"""Persons in JSON, whatever the keys are called: their joints, scores and ids.

Joints are a list of x, y, … or of points [x, y, …] or {"x", "y", …}, lists by axis {"x": […], "y": […]}, or points by name.
What a third or fourth value is, is decided in `data/joint_values.py`. Shapes: V joints, C values.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stgcn_cli.data import axes
from stgcn_cli.data.readers.parsing import MAX_JOINTS, NAMES, numbers
from stgcn_cli.data.readers.tracking import track_of

JOINTS, PERSONS, IDS = (NAMES["keys"][key] for key in ("joints", "persons", "ids"))
_SCORES, _NAMES = NAMES["keys"]["scores"], NAMES["keys"]["names_of_joints"]
_SCORE = re.compile("score|conf|visib|likelihood", re.IGNORECASE)
_FEW = 12  # numbers and words of an object that may be without joints: a box, a time, a size
_FEWEST = 5  # joints by name, one below the other in an object
_ONE_PLACE = 0.1  # of the size of a body: closer than people stand


@dataclass(frozen=True)
class Person:
    """A person as a file gives it: values (V, C), scores (V,) beside them, the tracker's id, and names of the joints."""

    values: np.ndarray
    scores: np.ndarray | None = None
    track: int | str | None = None
    names: tuple[str, ...] = ()
    is_flat: bool = False  # of one list of numbers


def persons_in(value: Any) -> list[Person]:
    """The persons in a value: a person, a list of them, or an object that holds such a list. Raises ValueError."""
    if value is None:
        return []
    if isinstance(value, dict):
        if joints_key(value) is None:
            if key := persons_key(value):
                return persons_in(value[key])
            if joints := bare_joints(value):
                return _persons_of(value, {"joints": joints})
            if not any(key in value for key in (*JOINTS, *PERSONS)) and str(value).count(",") >= _FEW:
                listed = ", ".join(map(str, value))[:80]
                raise ValueError(f"no joints under the keys {listed}; expected keypoints, or persons with keypoints")
        return _persons_of(value, value)
    if not isinstance(value, list):
        raise ValueError(f"persons are a {type(value).__name__}, not a list")
    if value and all(isinstance(item, int | float) for item in value):
        return _persons_of({}, {"keypoints": value})
    if value and isinstance(value[0], list) and value[0] and isinstance(value[0][0], int | float):
        return _persons_of({}, {"keypoints": value})  # one person, bare
    if any(isinstance(item, list) and item and isinstance(item[0], dict) for item in value):
        raise ValueError("the persons of a frame hold lists of persons: frames of several videos, or nested too deeply")
    return [person for item in value for person in (persons_in(item) if isinstance(item, dict | list) else ())]


def people_in(value: Any) -> list[Person]:
    """The persons of one picture. Raises ValueError, also for those that lie one upon another as the frames of a video do."""
    found = persons_in(value)
    if len(found) > 2 and len({person.values.shape for person in found}) == 1:
        xy = np.nan_to_num(np.clip([person.values[:, :2] for person in found], -1e9, 1e9))
        if np.abs(np.diff(xy, axis=0)).mean() < _ONE_PLACE * np.ptp(xy, axis=1).mean():
            raise ValueError(
                f'{len(found)} persons of a picture lie one upon another: are they frames? Give each entry its "frame": 0, 1, 2, …'
            )
    return found


def joints_key(person: Mapping[str, Any]) -> str | None:
    """The key under which a person has joints."""
    return next((key for key in JOINTS if isinstance(person.get(key), list | dict)), None)


def bare_joints(person: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The joints of an object that has them under their names, or x and y of all; None where it has none."""
    if isinstance(person.get("x"), list) and isinstance(person.get("y"), list):
        return person
    points = {name: size for name, value in person.items() if (size := _point_size(value))}
    usual = max(points.values(), key=list(points.values()).count, default=0)
    named = {name: person[name] for name, size in points.items() if size == usual}
    return named if len(named) >= _FEWEST else None


def _point_size(value: Any) -> int:
    """How many values a point has; 0 for what is none."""
    if isinstance(value, list):
        return len(value) if 2 <= len(value) <= 4 and all(isinstance(n, int | float | None) for n in value) else 0
    return len(value) if isinstance(value, dict) and {"x", "y"} <= value.keys() else 0


def persons_key(frame: Mapping[str, Any]) -> str | None:
    """The key under which a frame has persons."""
    return next((key for key in PERSONS if isinstance(frame.get(key), list)), None)


def _persons_of(about: Mapping[str, Any], holder: Mapping[str, Any]) -> list[Person]:
    key = joints_key(holder)
    if key is None or not (joints := holder[key]):
        return []
    if isinstance(joints, dict) and joints_key(joints):  # {"pose": {"keypoints": …}}
        return _persons_of(about, joints)
    values, scores, names = _joints(joints, key)
    given = next((about[k] for k in _SCORES if isinstance(about.get(k), list)), None)
    if scores is None and given is None:  # under any other name: as many numbers as joints
        named = (each for key, each in about.items() if _SCORE.search(key) and isinstance(each, list))
        fitting = (each for each in named if len(each) == values.shape[-2:][0] and not isinstance(each[0], list | dict))
        given = next(fitting, None)
    if scores is None and given is not None:
        scores = numbers(given, "scores").ravel()
    track = next((found for k in IDS if (found := track_of(about.get(k))) is not None), None)
    if values.ndim == 3:
        if scores is not None and len(values) > 1:
            scores = scores.reshape(len(values), -1) if scores.size % len(values) == 0 else scores
        each = [None] * len(values) if scores is None else [scores] if len(values) == 1 else list(scores)
        return [_checked(Person(v, s, track, names)) for v, s in zip(values, each, strict=True)]
    is_flat = values.ndim == 1
    if is_flat:
        values = _rows(values, None if scores is None else len(scores), key)
    return [_checked(Person(values, scores, track, names, is_flat))]


def _checked(person: Person) -> Person:
    values, scores = person.values, person.scores
    if values.ndim != 2 or values.shape[1] not in (2, 3, 4) or not 0 < len(values) <= MAX_JOINTS:
        raise ValueError(f"the joints of a person have the shape {values.shape}, expected joints with 2 to 4 values")
    if scores is not None and scores.shape != (len(values),):
        raise ValueError(f"{scores.size} scores for {len(values)} joints")
    return person if len(person.names) == len(values) else replace(person, names=())


def _joints(value: Any, what: str) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """(…, C) values, scores and names."""
    if isinstance(value, dict):
        if isinstance(value.get("x"), list):
            there = [axis for axis in "xyz" if isinstance(value.get(axis), list)]
            axes = [numbers(value[axis], f"{what} {axis}").ravel() for axis in there]
            if len({len(axis) for axis in axes}) > 1:
                raise ValueError(f"{what} has {' and '.join(str(len(axis)) for axis in axes)} values of x and y")
            score = next((value[key] for key in _SCORES if isinstance(value.get(key), list)), None)
            return np.stack(axes, axis=-1), None if score is None else numbers(score, f"scores of {what}").ravel(), ()
        value = [
            {"name": k, **point} if isinstance(point, dict) else {"name": k, "at": point} for k, point in value.items()
        ]
    if value and all(isinstance(point, dict) for point in value):
        return _points(value, what)
    return numbers(value, what), None, ()


def _points(points: list[dict[str, Any]], what: str) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Points that are objects: x and y, or a list, with a score and a name."""
    names = [str(next((point[key] for key in _NAMES if key in point), "")) for point in points]
    named = tuple(names) if all(names) and len(set(names)) == len(names) else ()
    if all("at" in point for point in points):
        return numbers([point["at"] for point in points], what), None, named
    places = [point["position"] if isinstance(point.get("position"), dict) else point for point in points]
    axes = [axis for axis in "xyz" if all(axis in place for place in places)]
    if axes[:2] != ["x", "y"]:
        raise ValueError(f"{what} holds points without x and y: {', '.join(map(str, points[0]))[:80]}")
    values = numbers([[place[axis] for axis in axes] for place in places], what)
    key = next((key for key in _SCORES if all(key in point for point in points)), None)
    return values, None if key is None else numbers([point[key] for point in points], key).ravel(), named


def _rows(flat: np.ndarray, joints: int | None, what: str) -> np.ndarray:
    """(V, C) of x, y, … x, y, …: C by the number of scores, else x, y and a score where the numbers can be that."""
    known = [width for width in (2, 3, 4) if len(flat) % width == 0 and len(flat) // width in axes.KNOWN]
    if joints and len(flat) % joints == 0:
        return flat.reshape(joints, -1)
    if len(known) == 1:
        return flat.reshape(-1, known[0])
    if len(flat) % 3 == 0:
        third = flat[2::3]
        if len(flat) % 2 or ((third >= 0) & ((third <= 1) | (third == 2))).all():
            return flat.reshape(-1, 3)
    if len(flat) % 2 == 0:
        return flat.reshape(-1, 2)
    raise ValueError(f"{what} has {len(flat)} numbers: neither x, y nor x, y, score")
