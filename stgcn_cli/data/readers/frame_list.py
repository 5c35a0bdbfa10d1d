"""JSON of one's own: a list of frames, each a list of persons; or detections in one list with the number of their frame.

Also ultralytics' result.to_json(), one file a frame or a list of such lists; and AlphaPose's maps from picture to persons, or from
person to frames: {"0.jpg": [{"keypoints", "scores", "idx"}]}; {"1": {"00000": {"keypoints", "scores"}}}; {"0.jpg": {"people": […]}}.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.readers import arrays, frames
from stgcn_cli.data.readers.frames import TIME_KEYS, VIDEO_KEYS
from stgcn_cli.data.readers.parsing import NAMES, Options, load_json, numbers
from stgcn_cli.data.readers.person_frames import Row, clips_of, file_rows
from stgcn_cli.data.readers.persons import IDS, joints_key, people_in, persons_in, persons_key

_FRAMES, _NUMBERS, _LABELS, _EVERYBODY = (NAMES["keys"][key] for key in ("frames", "numbers", "labels", "everybody"))
_ABOUT = ("metadata", "meta", "info", "video_info", "resolution", "image_size")
_FEW = 20  # entries that may be the persons of a picture


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clips in a file."""
    yield from clips_in_value(load_json(path), options, path.stem)


def clips_in_value(value: Any, options: Options, name: str) -> Iterator[dict[str, Any]]:
    """The clips of a value: one, or one for each video that it holds, called NAME/VIDEO."""
    about: dict[str, Any] = {}
    image, are_frames = None, False
    while isinstance(value, dict):
        image, about = _size(value) or image, about | _label(value)
        key = next((key for key in _FRAMES if isinstance(value.get(key), list | dict)), None)
        is_one = key is None or (key == joints_key(value) and not _is_nested(value[key]))
        inner = {key: each for key, each in value.items() if isinstance(each, list | dict) and each}
        if not is_one:
            value, are_frames = value[key], key == "frames"
            break
        if joints_key(value) or persons_key(value) or not inner:
            value, are_frames = [value], True
        elif len(inner) > 1 or re.search(r"\d", next(iter(inner))):
            break  # a map from pictures, videos or persons
        else:
            (value,) = inner.values()
    if videos := videos_in(value):
        for video, its in videos:
            for clip in clips_in_value(its, options, f"{name}/{video}"):
                yield {"frame_dir": f"{name}/{video}", **about, **clip}
        return
    if isinstance(value, dict):
        rows = list(_rows_of_map(value))
    elif (array := _array(value)) is not None:
        yield from (clip | about for clip in arrays.clips_in(array, options, name))
        return
    else:
        rows, found = _rows(value, are_frames)
        about = found | about
    yield from (about | clip for clip in clips_of(rows, options, name, "the frame", image))


def videos_in(value: Any) -> list[tuple[str, Any]]:
    """Name and content of each video of a value that holds several: a map or a list of them, or detections that name theirs."""
    if isinstance(value, dict):
        return list(value.items()) if value and all(map(_is_video, value.values())) else []
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return []
    key = next((key for key in VIDEO_KEYS if all(isinstance(item.get(key), str | int) for item in value)), None)
    if key:
        videos: dict[str, list[Any]] = {}
        for item in value:
            videos.setdefault(str(item[key]), []).append({k: v for k, v in item.items() if k != key})
        return [(name, its[0] if len(its) == 1 else its) for name, its in videos.items()] if len(videos) > 1 else []
    if not all(map(_is_video, value)) or _is_video(value):  # or each is a frame by its number
        return []
    names = [str(next((item[key] for key in ("name", "id", "file") if item.get(key)), "")) for item in value]
    unique = all(names) and len(set(names)) == len(names)
    return [(name if unique else str(index), item) for index, (name, item) in enumerate(zip(names, value, strict=True))]


def _is_video(value: Any) -> bool:
    """Whether a value holds frames: lists of persons one below the other, or an object with such a list or with joints of frames."""
    if isinstance(value, dict):
        key = joints_key(value)
        return any(isinstance(value.get(key), list) for key in _FRAMES[:-1]) or bool(key and _is_nested(value[key]))
    items = value if isinstance(value, list) else []
    if items and all(isinstance(item, dict) for item in items):  # each with its frame
        return any(len({str(item.get(key)) for item in items}) > 1 for key in _NUMBERS if key.startswith("frame"))
    return any(isinstance(item, list) and item and isinstance(item[0], dict) for item in items)


def _label(value: dict[str, Any]) -> dict[str, Any]:
    """The class and the subject of an object that tells them; detectors call everybody a person."""
    words = [value[key] for key in _LABELS if isinstance(value.get(key), str | int)]
    label = {"label": words[0]} if words and not isinstance(words[0], bool) and words[0] not in _EVERYBODY else {}
    return label | ({"subject": str(value["subject"])} if isinstance(value.get("subject"), str | int) else {})


def read_frames(numbers: Sequence[int], files: Sequence[Path], options: Options) -> dict[str, Any]:
    """The clip of files that hold the persons of a frame each, in an image of the size that the first one tells."""
    rows, value = file_rows(numbers, files, persons_in), load_json(files[0])
    (clip,) = clips_of(rows, options, "", "the frame", _size(value) if isinstance(value, dict) else None)
    return clip


def _array(value: Any) -> np.ndarray | None:
    """Nested lists of numbers as an array of at least three axes; None for anything else."""
    inside = value
    for _ in range(2):
        if not isinstance(inside, list) or not inside:
            return None
        inside = inside[0]
    if not isinstance(inside, list) or (inside and isinstance(inside[0], dict)):
        return None
    try:
        return numbers(value, "the list")
    except ValueError:
        return None  # of different lengths: the persons of each frame


def _rows(value: Any, are_frames: bool = False) -> tuple[list[Row], dict[str, Any]]:
    """The frames of a list, and what all of them say; `are_frames`: the file says that its entries are."""
    if not isinstance(value, list):
        raise ValueError(f"frames are a {type(value).__name__}, not a list")
    objects = [item for item in value if isinstance(item, dict)]
    if any(isinstance(item, list) for item in value):
        return [Row(None, persons_in(item)) for item in value], {}
    if odd := next((item for item in value if item is not None and not isinstance(item, dict)), None):
        raise ValueError(f"a frame is a {type(odd).__name__}, not a list of persons")
    labels = [_label(item) for item in objects]
    about = labels[0] if objects and all(each == labels[0] for each in labels) else {}
    if len(changing := {str(each["label"]) for each in labels if "label" in each}) > 1:
        raise ValueError(
            f"the label changes inside ({', '.join(sorted(changing))[:60]}): a key video tells which frames are a clip"
        )
    key = next(
        (key for key in _NUMBERS if objects and all(_number(item.get(key)) is not None for item in objects)), None
    )
    if key == "name" and len({item["name"] for item in objects}) < len(objects):
        key = None  # "person"
    if key is not None:
        numbers_ = [_number(item[key]) for item in objects]
        _check_order(objects, numbers_, key)
        return [Row(number, persons_in(item)) for number, item in zip(numbers_, objects, strict=True)], about
    time = next((key for key in TIME_KEYS if objects and all(_is_time(item.get(key)) for item in objects)), None)
    if time is not None:
        places, notes = frames.places_of_times(np.array([item[time] for item in objects], np.float64), time)
        rows = [Row(int(place), persons_in(item)) for place, item in zip(places, objects, strict=True)]
        return rows, about | ({"notes": notes} if notes else {})
    are_persons = all(joints_key(item) and not persons_key(item) for item in objects)
    if 1 < len(objects) <= _FEW and not are_frames and are_persons:
        raise ValueError(
            f"a list of {len(objects)} entries with joints and no frame number: persons of a picture, or frames? Put the persons of "
            'each frame into a list of their own, or give each entry its "frame"'
        )
    return [Row(None, persons_in(item)) for item in value], about


def _rows_of_map(value: dict[str, Any]) -> Iterator[Row]:
    """The frames of a map from pictures to persons, or from persons to the frames in which they were seen."""
    maps = [each for each in value.values() if isinstance(each, dict) and joints_key(each) is None]
    if not any(isinstance(inner, dict) and joints_key(inner) for each in maps for inner in each.values()):
        yield from (Row(_number(name), people_in(frame)) for name, frame in value.items())
        return
    for track, seen in value.items():
        if not isinstance(seen, dict):
            raise ValueError(f"person {track!r:.40} is a {type(seen).__name__}, expected a map from frames")
        for frame, person in seen.items():
            yield Row(_number(frame), persons_in({**person, "track_id": track} if isinstance(person, dict) else person))


def _check_order(objects: Sequence[dict[str, Any]], numbers_: Sequence[int | str | None], frame: str) -> None:
    """Raise ValueError where frames stand there twice, and some other key tells their entries apart: videos or persons?"""
    again = [i for i, (a, b) in enumerate(itertools.pairwise(numbers_), 1) if isinstance(a, int) and a > int(b or 0)]
    for key in objects[0] if len(set(numbers_)) < len(objects) else ():
        words = [item.get(key) for item in objects]
        if key in (frame, *IDS) or not isinstance(words[0], str | int):
            continue
        pairs, different = set(zip(numbers_, map(str, words), strict=True)), set(map(str, words))
        apart = isinstance(words[0], str) and len(pairs) == len(objects) > 2 * len(different)
        changes = [i for i, (a, b) in enumerate(itertools.pairwise(words), 1) if a != b]
        if apart or (again and changes == again):
            twice = f"{frame} {numbers_[0]} stands there with several {key}: are these videos or persons?"
            raise ValueError(f"{twice} Call it video or track_id in the file")


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e20  # fits numpy


def _number(value: Any) -> int | str | None:
    """The number of a frame, or the name of its picture."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        word = value.strip()
        return int(word) if word.isascii() and word.isdigit() and len(word) < 10 else word or None
    return int(value) if isinstance(value, int | float) and value == value // 1 and abs(value) < 1e9 else None


def _size(value: dict[str, Any]) -> tuple[int, int] | None:
    """height, width that a file tells, perhaps in an object about the video."""
    if about := next((key for key in _ABOUT if isinstance(value.get(key), dict)), None):
        return _size(value[about])
    for names in (("height", "width"), ("image_height", "image_width"), ("img_height", "img_width"), ("h", "w")):
        sides = [value.get(name) for name in names]
        if all(type(side) is int and 0 < side <= 100_000 for side in sides):
            return sides[0], sides[1]  # type: ignore[return-value]
    return None


def _is_nested(value: Any) -> bool:
    """Whether joints are those of several frames: a list of lists of points."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, list) and bool(first) and isinstance(first[0], list)
