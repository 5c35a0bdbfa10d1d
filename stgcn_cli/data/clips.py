"""Clips as readers give them, and the small changes that make them alike.

Shapes: M persons, T frames, V joints, C coordinates of a joint.
"""

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import NTU, Layout, Shape, layout_for, words
from stgcn_cli.data.axes import Understood
from stgcn_cli.data.ntu.normalize import choose_two, pre_normalise
from stgcn_cli.data.records import frames_of, size_of
from stgcn_cli.errors import DataError
from stgcn_cli.io.text import one_line, printable

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


def likely_layout(keypoint: Array, has_score: bool, known: Layout | None = None) -> Layout | None:
    """The layout that is known, else the built-in one with such joints; not Kinect's where the numbers (M T V C) object.

    Raises DataError when the known one has another number of joints.
    """
    shape: Shape = (*keypoint.shape[2:], has_score)
    if known is None and shape[:2] == KINECT and not looks_like_kinect(keypoint):
        return None
    return layout_for(shape, known)


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
