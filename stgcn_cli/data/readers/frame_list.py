"""JSON of one's own: a list of frames, each a list of persons; or detections in one list with the number of their frame.

Also ultralytics' result.to_json(), one file a frame or a list of such lists.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.readers import arrays
from stgcn_cli.data.readers.parsing import Options, load_json, numbers
from stgcn_cli.data.readers.persons import JOINTS, PERSONS, Row, clips_of, joints_key, persons_in

_FRAMES = ("frames", "data", "results", "predictions", "video", "annotations", "sequence", "keypoints")
_NUMBERS = ("frame", "frame_id", "frame_index", "frame_number", "frame_num", "frameIndex", "frame_no", "frame_idx", "image_id", "image_name", "image", "file_name", "filename", "image_path", "name")  # fmt: skip
_LABELS = ("label", "action", "class_name", "category")
_ULTRALYTICS = re.compile(rb'"keypoints"\s*:\s*\{\s*"x"\s*:\s*\[')
_ANY = re.compile(rb'"(?:' + "|".join(JOINTS).encode() + rb')"\s*:')
_OF_CLIPS = re.compile(  # keys with frames or with the joints of several frames, and what only clips have
    rb'"(?:' + "|".join(_FRAMES[:-1]).encode() + rb')"\s*:\s*[\[{]|"(?:' + "|".join(JOINTS).encode() + rb')"\s*:\s*\[\s*\[\s*\[|"(?:fps|'
    + "|".join(_LABELS).encode() + rb')"\s*:'
)  # fmt: skip
_ARRAYS = re.compile(rb"\s*\[\s*\[\s*\[[\s\[]*(?:null|[-+\d.])")
_LINES = re.compile(rb"\}[ \t]*\r?\n[ \t]*\{\s*\"")
_FEW = 20  # entries that may be the persons of a picture


def fits(head: bytes) -> bool:
    """Whether a text begins like JSON with persons in it, or with nested lists of numbers."""
    return _ARRAYS.match(head) is not None or (head.lstrip()[:1] in (b"[", b"{") and _ANY.search(head) is not None)


def is_frame(head: bytes) -> bool:
    """Whether a file that fits is an object with the persons of one frame, not with those of a clip."""
    return head.lstrip()[:1] == b"{" and not (_OF_CLIPS.search(head) or _LINES.search(head))


def is_ultralytics(head: bytes) -> bool:
    """Whether a text begins like a list that ultralytics has written."""
    return head.lstrip()[:1] == b"[" and _ULTRALYTICS.search(head) is not None


def is_ultralytics_frame(head: bytes) -> bool:
    """Whether it is the list of a single frame."""
    return re.match(rb"\s*\[\s*(?:\{(?![^\[]*\"frame)|\])", head) is not None


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clips in a file."""
    value = load_json(path)
    about: dict[str, Any] = {}
    image, are_frames = None, False
    if isinstance(value, dict):
        image = _size(value)
        label = next((value[key] for key in _LABELS if isinstance(value.get(key), str | int)), None)
        about = {} if label is None or isinstance(label, bool) else {"label": label}
        key = next((key for key in _FRAMES if isinstance(value.get(key), list | dict)), None)
        is_one = key is None or (key == joints_key(value) and not _is_nested(value[key]))
        value, are_frames = ([value], True) if is_one else (value[key], key == "frames")
    if isinstance(value, dict):
        rows = [Row(_number(name), persons_in(frame)) for name, frame in value.items()]
    else:
        if (array := _array(value)) is not None:
            yield from arrays.clips_in(array, options, path.stem)
            return
        rows = _rows(value, are_frames)
    yield from (clip | about for clip in clips_of(rows, options, path.stem, "the frame", image))


def read_frames(frames: Sequence[int], files: Sequence[Path], options: Options) -> dict[str, Any]:
    """The clip of files that hold the persons of a frame each."""
    rows, image = [], None
    for number, file in zip(frames, files, strict=True):
        try:
            value = load_json(file)
            rows.append(Row(number, persons_in(value)))
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from error
        image = image or (_size(value) if isinstance(value, dict) else None)
    (clip,) = clips_of(rows, options, "", "the frame", image)
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


def _rows(value: Any, are_frames: bool = False) -> list[Row]:
    """The frames of a list; `are_frames`: the file says that its entries are."""
    if not isinstance(value, list):
        raise ValueError(f"frames are a {type(value).__name__}, not a list")
    objects = [item for item in value if isinstance(item, dict)]
    if any(isinstance(item, list) for item in value):
        return [Row(None, persons_in(item)) for item in value]
    if odd := next((item for item in value if item is not None and not isinstance(item, dict)), None):
        raise ValueError(f"a frame is a {type(odd).__name__}, not a list of persons")
    key = next(
        (key for key in _NUMBERS if objects and all(_number(item.get(key)) is not None for item in objects)), None
    )
    if key == "name" and len({item["name"] for item in objects}) < len(objects):
        key = None  # "person"
    bare = key is None and 1 < len(objects) <= _FEW and not are_frames
    if bare and all(joints_key(item) and not _persons_key(item) for item in objects):
        raise ValueError(
            f"a list of {len(objects)} entries with joints and no frame number: persons of a picture, or frames? Put the persons of "
            'each frame into a list of their own, or give each entry its "frame"'
        )
    return [Row(_number(item.get(key)) if item and key else None, persons_in(item)) for item in value]


def _persons_key(item: dict[str, Any]) -> str | None:
    return next((key for key in PERSONS if isinstance(item.get(key), list)), None)


def _number(value: Any) -> int | str | None:
    """The number of a frame, or the name of its picture."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        word = value.strip()
        return int(word) if word.isascii() and word.isdigit() and len(word) < 10 else word or None
    return int(value) if isinstance(value, int | float) and value == value // 1 and abs(value) < 1e9 else None


def _size(value: dict[str, Any]) -> tuple[int, int] | None:
    """height, width that a file tells."""
    for names in (("height", "width"), ("image_height", "image_width"), ("img_height", "img_width"), ("h", "w")):
        sides = [value.get(name) for name in names]
        if all(type(side) is int and 0 < side <= 100_000 for side in sides):
            return sides[0], sides[1]  # type: ignore[return-value]
    return None


def _is_nested(value: Any) -> bool:
    """Whether joints are those of several frames: a list of lists of points."""
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], list)
        and bool(value[0])
        and isinstance(value[0][0], list)
    )
