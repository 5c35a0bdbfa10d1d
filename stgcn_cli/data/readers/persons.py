"""Persons in JSON, whatever the keys are called: their joints, scores and ids; and the clips of frames of such persons.

Joints are a list of x, y, … or of points [x, y, …] or {"x", "y", …}, lists by axis {"x": […], "y": […]}, or points by name.
What a third or fourth value is, is decided in `data/joint_values.py`. Shapes: V joints, C values.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.data import axes, joint_values
from stgcn_cli.data.readers import frames
from stgcn_cli.data.readers.parsing import MAX_JOINTS, NAMES, Options, frame_span, load_json, numbers
from stgcn_cli.data.readers.tracking import Detection, clip_of, track_of
from stgcn_cli.data.readers.wide_columns import order_of
from stgcn_cli.data.records import REFERENCE_SIZE

JOINTS, PERSONS, IDS = (NAMES["keys"][key] for key in ("joints", "persons", "ids"))
_SCORES, _NAMES = NAMES["keys"]["scores"], NAMES["keys"]["names_of_joints"]
_SCORE = re.compile("score|conf|visib|likelihood", re.IGNORECASE)
ASSUMED = ("Coordinates are shares of the image, taken for 1920 x 1080; --image-size WIDTHxHEIGHT tells another.",)
_FEW = 12  # numbers and words of an object that may be without joints: a box, a time, a size
_FEWEST = 5  # joints by name, one below the other in an object
_ONE_PLACE = 0.1  # of the size of a body: closer than people stand
Size = tuple[int, int] | None  # height, width


@dataclass(frozen=True)
class Person:
    """A person as a file gives it: values (V, C), scores (V,) beside them, the tracker's id, and names of the joints."""

    values: np.ndarray
    scores: np.ndarray | None = None
    track: int | str | None = None
    names: tuple[str, ...] = ()
    is_flat: bool = False  # of one list of numbers


class Row(NamedTuple):
    """The persons of a frame; `frame` is its number or its name, None for the one after the row before."""

    frame: int | str | None
    persons: Sequence[Person]


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


def clips_of(
    rows: Sequence[Row],
    options: Options,
    stem: str,
    what: str,
    image: Size = None,
    exact: bool = False,
    joints: int = 17,
) -> list[dict[str, Any]]:
    """The clips of these frames: one, or one for each video that the names of frames tell; `image` is height, width.

    Values are told by their ranges; `exact` ones are coordinates with scores beside. A clip without a person has so many
    `joints`. Raises ValueError, DataError where the meaning of the values is unclear.
    """
    persons, layout = in_order(_untwisted([person for row in rows for person in row.persons]), options.layout)
    known = joint_values.Plan(persons[0].values.shape[1], None, "") if exact and persons else None
    plan, ordered = known or plan_of(persons, options), iter(persons)
    rows = [Row(row.frame, [next(ordered) for _ in row.persons]) for row in rows]
    notes: tuple[str, ...] = (f"{stem}: joints hold {plan.words}.",) if plan and "left out" in plan.words else ()
    if plan and plan.is_shares and not (image or options.image_size):
        notes += ASSUMED
    names_of_frames = list(dict.fromkeys(str(row.frame) for row in rows if row.frame is not None))
    if not names_of_frames:
        videos = {"": [(index, row) for index, row in enumerate(rows)]}
    elif any(row.frame is None for row in rows):
        raise ValueError(f"some frames have {what}, others have none")
    elif all(isinstance(row.frame, int) for row in rows):
        videos = {"": [(row.frame, row) for row in rows if isinstance(row.frame, int)]}
    else:
        videos, found = {}, frames.video_of(names_of_frames, what)
        notes += frames.note_on(found, stem)
        for video in found:
            place = {names_of_frames[item]: number for item, number in zip(video.items, video.numbers, strict=True)}
            videos[video.name] = [(place[str(row.frame)], row) for row in rows if str(row.frame) in place]
    size = image or options.image_size or (REFERENCE_SIZE if plan and plan.is_shares else None)
    records = []
    for name, placed in videos.items():
        seen: dict[int, list[Detection]] = {}
        for number, row in placed:
            people = [detection_of(person, plan, size or REFERENCE_SIZE) for person in row.persons]
            seen.setdefault(number, []).extend(people)
        clip = clip_of([seen.get(number, []) for number in frame_span(seen)], options, joints)
        clip |= {"img_shape": size} if size and clip["keypoint"].shape[3] == 2 else {}
        clip |= {"notes": notes} | ({"layout": layout} if layout else {})
        records.append(clip | ({"frame_dir": f"{stem}/{name}"} if len(videos) > 1 else {}))
    return records


def _untwisted(persons: list[Person]) -> list[Person]:
    """The persons, of flat lists that hold all x before all y, too. See `axes.untwisted`."""
    shapes = {person.values.shape for person in persons if person.is_flat}
    if len(shapes) != 1 or not all(person.is_flat for person in persons):
        return persons
    rows, (v, c) = np.stack([person.values.ravel() for person in persons]), shapes.pop()
    reading = axes.untwisted(rows, axes.Reading("T(VC)", {"T": len(rows), "V": v, "C": c}))
    return [replace(one, values=values) for one, values in zip(persons, reading.arranged(rows)[0, 0], strict=True)]


def file_rows(numbers: Sequence[int], files: Sequence[Path], people: Callable[[Any], Sequence[Person]]) -> list[Row]:
    """The persons that JSON files hold, a frame each: `people` finds them in the value of a file. Raises ValueError naming the file."""
    rows = []
    for number, file in zip(numbers, files, strict=True):
        try:
            rows.append(Row(number, people(load_json(file))))
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from error
    return rows


def in_order(persons: Sequence[Person], given: Layout | None) -> tuple[list[Person], Layout | None]:
    """The persons with joints in the order of the skeleton that has their names, NaN for those that one lacks; and this skeleton.

    Raises ValueError where a skeleton has as many joints, but other names.
    """
    names = list(dict.fromkeys(name for person in persons for name in person.names))
    if not names or not all(person.names for person in persons):
        return list(persons), None
    order, layout = order_of(names, (3, 2) if persons[0].values.shape[1] > 2 else (2,), given)
    return [_arranged(person, order) for person in persons], layout


def _arranged(person: Person, order: Sequence[str]) -> Person:
    places = dict(zip(person.names, range(len(person.names)), strict=True))
    index = np.array([places.get(name, -1) for name in order])
    lost = index < 0
    values, scores = person.values[index], None if person.scores is None else person.scores[index]
    if lost.any():
        values = np.where(lost[:, None], np.float32(np.nan), values)
        scores = None if scores is None else np.where(lost, np.float32(0), scores)
    return replace(person, values=values, scores=scores, names=tuple(order))


def plan_of(found: Sequence[Person], options: Options) -> joint_values.Plan | None:
    """What the values of all joints are; None where there are none. Raises ValueError, DataError."""
    shapes = {person.values.shape for person in found}
    if len(shapes) > 1:
        raise ValueError(f"its persons have different numbers of joints: {', '.join(map(str, sorted(shapes)))}")
    if not found:
        return None
    if found[0].values.shape[1] == 3 and len({person.scores is None for person in found}) > 1:
        raise ValueError("some persons have scores beside x, y and z, others have none")
    values = np.stack([_whole(person) for person in found[:10_000]])
    values = np.where(np.isfinite(values), values, 0)
    beside = values.shape[-1] == 2 or any(person.scores is not None for person in found)
    return joint_values.plan(values, None if beside else options.score_last)


def _whole(person: Person) -> np.ndarray:
    """The values with the scores beside x, y and z as a fourth one: whether z is one of them, they tell together."""
    if person.scores is None or person.values.shape[-1] != 3:
        return person.values
    return np.concatenate([person.values, np.clip(person.scores, 0, 1)[..., None]], axis=-1)


def detection_of(person: Person, plan: joint_values.Plan | None, size: tuple[int, int]) -> Detection:
    """Joints and scores of a person, in one frame (V, C) or in many (T, V, C); shares are of an image of this size."""
    assert plan is not None  # there is a person
    joints, score = plan.split(_whole(person), size)
    if person.scores is not None:
        score = np.where(np.isin(person.scores, (0, 1, 2)), np.minimum(person.scores, 1), person.scores)
    if score is None:
        score = np.asarray(joints.any(axis=-1))
    return Detection(joints, np.asarray(score, np.float32), person.track)
