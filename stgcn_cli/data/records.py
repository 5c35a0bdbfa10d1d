"""Records of annotation pickles: what makes one usable.

Shapes: M persons, T frames, V joints, C coordinates of a joint.
"""

import re
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Shape
from stgcn_cli.io.text import one_line, shown

MAX_PERSONS = 100  # a store has a place for each person of every clip
MAX_PIXELS = 1_000_000  # of an image's side
REFERENCE_SIZE = (1080, 1920)  # height, width the published 2-D models were normalised by
MAX_NAME = 4096  # characters
MAX_FRAMES = 10_000_000  # days of film; bounds what an array without values can claim

_HALVES = re.compile("[\ud800-\udfff]")  # halves of characters, which no file can hold as text

Array = np.ndarray


def name_of(record: Any, index: int) -> str:
    """The record's frame_dir, printable, or its place in the file."""
    name = record.get("frame_dir") if isinstance(record, dict) else None
    return one_line(name)[:100] if isinstance(name, str) else f"record {index}"


def frame_dir_of(record: dict[str, Any]) -> str | None:
    """The record's name; None where it has none. Raises ValueError for one that cannot be written to a file."""
    name = record.get("frame_dir")
    if not isinstance(name, str):
        return None
    if len(name) > MAX_NAME or _HALVES.search(name):
        raise ValueError(f"frame_dir is {shown(one_line(name))}, which is no name")
    return name


def frames_of(record: Any) -> Array:
    """The record's first total_frames frames (M T V C), with the score as last channel where there is one.

    Raises ValueError with the cause; the caller knows the record's name.
    """
    if not isinstance(record, dict):
        raise ValueError(f"it is a {type(record).__name__}, not a dict")
    keypoint = _array(record, "keypoint", 4)
    score = _array(record, "keypoint_score", 3) if record.get("keypoint_score") is not None else None
    if score is not None:
        if score.shape != keypoint.shape[:3]:
            raise ValueError(f"keypoint_score has shape {score.shape}, keypoint {keypoint.shape}")
        joined = np.empty((*score.shape, keypoint.shape[3] + 1), keypoint.dtype)
        joined[..., -1] = score
        if keypoint.shape[3] == 2:  # one after the other: numpy is slow at short rows
            joined[..., 0], joined[..., 1] = keypoint[..., 0], keypoint[..., 1]
        else:
            joined[..., :-1] = keypoint
        keypoint = joined
    _check_sizes(*keypoint.shape)
    total = _total_frames(record, keypoint.shape[1])
    return np.ascontiguousarray(keypoint[:, :total])


def shape_of(record: dict[str, Any], frames: Array) -> Shape:
    """Joints, coordinates and whether there is a score, of the frames that `frames_of` returned."""
    has_score = record.get("keypoint_score") is not None
    return frames.shape[2], frames.shape[3] - has_score, has_score


def _check_sizes(persons: int, frames: int, joints: int, values: int) -> None:
    if persons > MAX_PERSONS:
        raise ValueError(f"keypoint holds {persons:,} persons, more than {MAX_PERSONS}")
    if frames > MAX_FRAMES:
        raise ValueError(f"keypoint holds {frames:,} frames, more than {MAX_FRAMES:,}")
    if not joints or not values:
        raise ValueError(f"keypoint holds {joints} joints with {values} values")


def _array(record: dict[str, Any], key: str, dimensions: int) -> Array:
    value = record.get(key)
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{key} is {'missing' if value is None else 'a ' + type(value).__name__}, not an array")
    if value.ndim != dimensions or value.dtype.kind not in "fiu":
        raise ValueError(
            f"{key} has shape {value.shape} and type {value.dtype}, expected {'M T V C'[: 2 * dimensions - 1]}"
        )
    if value.dtype.kind != "f" or not value.dtype.isnative or value.dtype.itemsize > 8:
        value = value.astype(np.float32)
    return value


def _total_frames(record: dict[str, Any], stored: int) -> int:
    total = record.get("total_frames", stored)
    if not isinstance(total, int | np.integer) or isinstance(total, bool):
        raise ValueError(f"total_frames is {shown(total)}, not a whole number")
    if total < 1:
        raise ValueError(f"total_frames is {shown(int(total))}")
    if total > stored:
        raise ValueError(f"total_frames is {shown(int(total))}, but keypoint holds {stored} frames")
    return int(total)


def label_of(record: dict[str, Any]) -> int:
    """The class index; -1 where the label is hidden (absent or None). Raises ValueError."""
    label = record.get("label")
    if label is None:
        return -1
    if isinstance(label, bool) or not isinstance(label, int | np.integer):
        raise ValueError(f"label is {shown(label)}, not a whole number")
    if not 0 <= label < 1_000_000:
        raise ValueError(f"label is {shown(int(label))}")
    return int(label)


def image_size_of(record: dict[str, Any]) -> tuple[int, int]:
    """(height, width) in pixels; (0, 0) when the record does not say, or not in a form that is known."""
    return size_of(record.get("img_shape")) or (0, 0)


def size_of(shape: Any) -> tuple[int, int] | None:
    """(height, width) of an image's shape: a list, tuple or array, also with the channels that frames have; else None."""
    if type(shape) is tuple and len(shape) == 2:
        height, width = shape
        if type(height) is type(width) is int and 0 < height <= MAX_PIXELS and 0 < width <= MAX_PIXELS:
            return shape  # the usual case, for the sake of time
    if not isinstance(shape, tuple | list | np.ndarray) or np.ndim(shape) != 1 or len(shape) not in (2, 3):
        return None
    if not all(isinstance(n, int | float | np.integer | np.floating) and float(n).is_integer() for n in shape):
        return None
    sides = [int(n) for n in shape]
    if len(sides) == 3:
        if sides[2] in _CHANNELS:
            sides = sides[:2]
        elif sides[0] in _CHANNELS:
            sides = sides[1:]
    return (sides[0], sides[1]) if len(sides) == 2 and all(0 < n <= MAX_PIXELS for n in sides) else None


_CHANNELS = (1, 3, 4)  # of an image


def is_finite(array: Array) -> bool:
    """Whether no value is NaN or infinite."""
    if array.dtype == np.float16 and array.size and array.flags.c_contiguous:  # as integers: numpy is slow at halves
        return bool((array.view(np.uint16) & _HALF_BITS).max() < _HALF_INFINITY)
    return bool(np.isfinite(array).all())


_HALF_BITS, _HALF_INFINITY = np.uint16(0x7FFF), 0x7C00  # without the sign


def check_finite(*arrays: Array) -> None:
    """Raise ValueError where a value is NaN or infinite."""
    if not all(map(is_finite, arrays)):
        raise ValueError("it holds NaN or infinite values")
