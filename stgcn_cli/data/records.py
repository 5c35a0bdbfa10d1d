"""Clips and the records they come from: what makes a record usable, and the small changes that make records alike.

Shapes: M persons, T frames, V joints, C coordinates of a joint.
"""

import functools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import NTU, Layout, Shape, layout_for, words
from stgcn_cli.data.axes import Understood
from stgcn_cli.data.ntu.normalize import choose_two, pre_normalise
from stgcn_cli.errors import DataError
from stgcn_cli.io.text import one_line, printable, shown

MAX_PERSONS = 100  # a store has a place for each person of every clip
MAX_PIXELS = 1_000_000  # of an image's side
REFERENCE_SIZE = (1080, 1920)  # height, width the published 2-D models were normalised by
MAX_NAME = 4096  # characters
MAX_FRAMES = 10_000_000  # days of film; bounds what an array without values can claim

_HALVES = re.compile("[\ud800-\udfff]")  # halves of characters, which no file can hold as text

Array = np.ndarray


KINECT = (25, 3)  # joints and coordinates of NTU RGB+D
_NTU_BODIES = 4  # of which the two that move most are kept
_CENTRED = 1e-3  # metres from the middle joint to the origin in clips that are pre-normalised
# Bones over the distances of all joints: 0.30 to 0.35 for a Kinect, over 0.6 for joints in another order.
_SHORT = 0.5
_LOOKED_AT = 50  # frames


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip as a reader gives it: `record` is what a pickle would hold of it.

    `raw`: coordinates as sensors and estimators give them, not pre-normalised. `group` is the first folder below the one
    that was named, "" if there is none; `splits` are those of an annotation pickle.
    """

    record: dict[str, Any]
    source: Path
    raw: bool = False
    group: str = ""
    splits: tuple[str, ...] = ()
    gaps: int = 0  # joints with NaN, which became zeros
    notes: tuple[str, ...] = ()  # how the file was understood, where that is not evident
    lost_splits: str = ""  # why no clip of the file is in its splits
    layout: Layout | None = None  # where the file names its joints, or its format has only one
    understood: Understood | None = None  # how the axes of an array were read

    @property
    def name(self) -> str:
        """The frame_dir; every reader gives one."""
        return self.record["frame_dir"]

    @property
    def shape(self) -> Shape:
        """Joints, coordinates, and whether there is a score."""
        joints, coordinates = self.record["keypoint"].shape[2:]
        return joints, coordinates, self.record.get("keypoint_score") is not None

    @functools.cached_property
    def frames(self) -> Array:
        """The frames in use (M T V C), with the score as last channel. Raises ValueError with the cause."""
        return frames_of(self.record)

    @property
    def is_empty(self) -> bool:
        """Whether no person is in any frame."""
        return not self.record["keypoint"].any()

    def changed(self, **changes: Any) -> "Clip":
        """The clip with other values in its record; None removes a key."""
        record = {
            key: value for key, value in (self.record | changes).items() if value is not None or key not in changes
        }
        return replace(self, record=record)

    def is_kinect(self, layout: Layout | None) -> bool:
        """Whether its skeleton is that of NTU RGB+D, as `layout`, else the file, else the numbers say."""
        known = layout or self.layout
        return self.shape[:2] == KINECT and (
            looks_like_kinect(self.record["keypoint"]) if known is None else known.name == "ntu"
        )

    def layout_or(self, given: Layout | None) -> Layout | None:
        """The layout given, else that of the file, else the built-in one with such joints, if the numbers do not object.

        Raises DataError when the one given has another number of joints.
        """
        return likely_layout(self.record["keypoint"], self.shape[2], given or self.layout)

    def is_centred(self) -> bool:
        """Whether the middle joint of the first body is at the origin throughout, as in pre-normalised clips."""
        return self.shape[:2] == KINECT and bool((np.abs(self.record["keypoint"][0, :, 1]) < _CENTRED).all())

    def with_score_last(self) -> "Clip":
        """The third value of each joint becomes its score. Raises ValueError."""
        keypoint = self.record["keypoint"]
        if keypoint.shape[3] != 3 or self.shape[2]:
            raise ValueError(f"it has {words(self.shape)}; --score-last is for x, y, score")
        return self.changed(
            keypoint=np.ascontiguousarray(keypoint[..., :2]), keypoint_score=np.ascontiguousarray(keypoint[..., 2])
        )

    def with_persons(self, most: int) -> "Clip":
        """At most so many persons, those seen in most frames, in their order; a note says how many there were."""
        keypoint, score = self.record["keypoint"], self.record.get("keypoint_score")
        if len(keypoint) <= most:
            return self
        frames = keypoint.any(axis=(2, 3)).sum(axis=1)
        kept = np.sort(np.argsort(-frames, kind="stable")[:most])
        clip = self.changed(keypoint=keypoint[kept], keypoint_score=None if score is None else score[kept])
        there = int((frames > 0).sum())
        note = f"{one_line(self.name)}: {there} persons, of whom the {most} seen most are kept; keep more with --max-persons."
        return replace(clip, notes=(*self.notes, note)) if there > most else clip

    def with_size(self, given: tuple[int, int] | None) -> "Clip":
        """The image size under both names MMAction2 knows; `given` is for records without one."""
        size = size_of(self.record.get("img_shape")) or given
        original = size_of(self.record.get("original_shape")) or size
        return self.changed(img_shape=size, original_shape=original) if size else self

    def emptied(self, shape: Shape) -> "Clip":
        """A clip of zeros with these joints, coordinates and score."""
        frames = self.record["keypoint"].shape[1]
        keypoint = np.zeros((1, frames, *shape[:2]), np.float32)
        score = np.zeros((1, frames, shape[0]), np.float32) if shape[2] else None
        record = {key: value for key, value in self.record.items() if key != "keypoint_score"} | {"keypoint": keypoint}
        return replace(self, record=record | ({} if score is None else {"keypoint_score": score}))

    def pre_normalized(self) -> "Clip":
        """A raw clip (M T 25 3) as NTU's are prepared: the two bodies that move most, centred, spine up, shoulders level.

        Scores are dropped: they belong to bodies in another order. Raises DataError.
        """
        try:
            frames = frames_of({**self.record, "keypoint_score": None})[:_NTU_BODIES]
        except ValueError as error:
            raise DataError(f"{printable(self.name)}: {error}.") from error
        if frames.shape[2:] != KINECT:
            raise DataError(
                f"{printable(self.name)} has {frames.shape[2]} joints with {frames.shape[3]} values; NTU's way of centring "
                "and turning needs 25 with x, y and z."
            )
        keypoint = pre_normalise(choose_two(frames.astype(np.float64)))
        kept = {key: value for key, value in self.record.items() if key != "keypoint_score"}
        return replace(self, record=kept | {"keypoint": keypoint, "total_frames": keypoint.shape[1]})


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
    if not isinstance(shape, tuple | list | np.ndarray) or np.ndim(shape) != 1 or len(shape) not in (2, 3):
        return None
    if not all(isinstance(n, int | float | np.integer | np.floating) and float(n).is_integer() for n in shape):
        return None
    if isinstance(shape, tuple) and len(shape) == 2 and all(type(n) is int and 0 < n <= MAX_PIXELS for n in shape):
        return shape
    sides = [int(n) for n in shape]
    if len(sides) == 3:
        if sides[2] in _CHANNELS:
            sides = sides[:2]
        elif sides[0] in _CHANNELS:
            sides = sides[1:]
    return (sides[0], sides[1]) if len(sides) == 2 and all(0 < n <= MAX_PIXELS for n in sides) else None


_CHANNELS = (1, 3, 4)  # of an image


def likely_layout(keypoint: Array, has_score: bool, known: Layout | None = None) -> Layout | None:
    """The layout that is known, else the built-in one with such joints; not Kinect's where the numbers (M T V C) object.

    Raises DataError when the known one has another number of joints.
    """
    shape: Shape = (*keypoint.shape[2:], has_score)
    if known is None and shape[:2] == KINECT and not looks_like_kinect(keypoint):
        return None
    return layout_for(shape, known)


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


def looks_like_kinect(keypoint: Array) -> bool:
    """Whether joints (M, T, 25, 3) can be those of NTU RGB+D in their order: the bones are short, as nowhere else.

    A clip in which no joints are apart does not speak against it.
    """
    seen = keypoint[:, : keypoint.shape[1], :, :3].reshape(-1, *KINECT)
    seen = np.nan_to_num(seen[seen.any(axis=(1, 2))][:_LOOKED_AT].astype(np.float64))
    apart = np.linalg.norm(seen[:, :, None] - seen[:, None], axis=-1)
    if not apart.any():
        return True
    ends = np.array(NTU.bones)
    return bool(
        apart[:, ends[:, 0], ends[:, 1]].mean() < _SHORT * apart.sum() / len(seen) / (KINECT[0] * (KINECT[0] - 1))
    )
