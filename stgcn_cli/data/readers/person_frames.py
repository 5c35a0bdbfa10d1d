"""Frames of persons -> clips: joints in the order of a skeleton, the meaning of their values, the video of each frame.

Shapes: T frames, V joints, C values.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.data import axes, joint_values
from stgcn_cli.data.readers import arrays, frames
from stgcn_cli.data.readers.parsing import Options, frame_span, load_json
from stgcn_cli.data.readers.persons import Person
from stgcn_cli.data.readers.tracking import Detection, clip_of
from stgcn_cli.data.readers.wide_columns import order_of
from stgcn_cli.data.records import REFERENCE_SIZE
from stgcn_cli.errors import DataError

ASSUMED = ("Coordinates are shares of the image, taken for 1920 x 1080; --image-size WIDTHxHEIGHT tells another.",)
_FEW, _POINTS = 4, ((2,), (3,), (4,))  # persons of a frame, more arrays in a list are frames; values of a joint
Size = tuple[int, int] | None  # height, width


class Row(NamedTuple):
    """The persons of a frame; `frame` is its number or its name, None for the one after the row before."""

    frame: int | str | None
    persons: Sequence[Person]


def rows_of(value: Sequence[Any]) -> list[Row]:
    """The frames of a list whose entries are the few persons of one, (V, C) each, or nobody; else an empty list."""
    if not all(each is None or isinstance(each, list | tuple | np.ndarray) for each in value):
        return []
    are_one = [isinstance(each, np.ndarray) and each.ndim == 2 and each.size > 0 for each in value]
    frames = [[each] if one else [] if each is None else list(each) for one, each in zip(are_one, value, strict=True)]
    persons = [person for frame in frames for person in frame]
    if all(are_one) or not persons or max(map(len, frames)) > _FEW:
        return []
    if not all(isinstance(one, np.ndarray) and one.dtype.kind in "fiu" and one.shape[1:] in _POINTS for one in persons):
        return []
    return [Row(None, [Person(arrays.floats_in(one)) for one in frame]) for frame in frames]


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
    persons, layout = in_order(
        _untwisted([person for row in rows for person in row.persons], options.layout), options.layout
    )
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


def _untwisted(persons: list[Person], layout: Layout | None) -> list[Person]:
    """The persons, of flat lists that hold all x before all y, too. Raises ValueError where that is unclear."""
    shapes = {person.values.shape for person in persons if person.is_flat}
    if len(shapes) != 1 or not all(person.is_flat for person in persons):
        return persons
    rows, (v, c) = np.stack([person.values.ravel() for person in persons]), shapes.pop()
    try:
        reading = arrays.untwisted(rows, axes.Reading("T(VC)", {"T": len(rows), "V": v, "C": c}), layout)
    except DataError:
        raise ValueError(
            "lists of numbers can be x, y, … of one joint after the other or all x before all y; name the skeleton with --layout, or write joints as [[x, y], …]"
        ) from None
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
