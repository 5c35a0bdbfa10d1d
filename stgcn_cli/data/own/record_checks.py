"""What can be wrong with one record of an annotation pickle, by the rules of `records`."""

import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgcn_cli.data import records
from stgcn_cli.data.own.findings import EXPECTED, Findings
from stgcn_cli.data.own.fitting import Shape, words

_KNOWN = {*EXPECTED, "original_shape", "subject"} - {"record", "split"}


@dataclass
class Checking:
    """What has been seen up to now."""

    told: Findings
    has_splits: bool
    shape: Shape | None = None
    first: str = ""  # the record the shape is of
    names: dict[str, None] = field(default_factory=dict)
    labels: dict[str, list[int]] = field(default_factory=dict)  # of each name, -1 hidden
    contents: dict[tuple[int, int], str] = field(default_factory=dict)  # checksum and bytes -> the first record
    unknown: Counter[str] = field(default_factory=Counter)
    largest: float = 0.0  # coordinate
    third: tuple[float, float] = (0.0, 0.0)  # range of a third value

    def look_at(self, record: Any, index: int) -> None:
        """Note what is wrong with one record."""
        where = records.name_of(record, index)
        if not isinstance(record, dict):
            self.told.add("error", where, "record", f"a {type(record).__name__}")
            return
        self._name_and_label(record, where)
        self.unknown.update(str(key) for key in record.keys() - _KNOWN)
        try:
            frames = records.frames_of(record)
        except ValueError as error:
            self._refused("keypoint", str(error), where)
            return
        if record["keypoint"].shape[1] > frames.shape[1]:
            stored = record["keypoint"].shape[1]
            said = f"{frames.shape[1]}, but keypoint holds {stored} frames; the last {stored - frames.shape[1]} are not used"
            self.told.add("warning", where, "total_frames", said, "")
        self._values(frames, record, where)

    def _name_and_label(self, record: dict[str, Any], where: str) -> None:
        name = None
        try:
            name = records.frame_dir_of(record)
            if name is None:
                found = "missing" if record.get("frame_dir") is None else f"a {type(record['frame_dir']).__name__}"
                self.told.add("error" if self.has_splits else "warning", where, "frame_dir", found)
        except ValueError as error:
            self._refused("frame_dir", str(error), where)
        self.names[name or where] = None
        try:
            label = records.label_of(record)
            self.labels.setdefault(name or where, []).append(label)
            if label < 0:
                self.told.add("warning", where, "label", "hidden: this clip cannot be trained on")
        except ValueError as error:
            self._refused("label", str(error), where)

    def _refused(self, key: str, cause: str, where: str) -> None:
        """A cause as `records` words it, which begins with its key: "label is -3"."""
        word, _, rest = cause.partition(" ")
        self.told.add("error", where, word if word in EXPECTED else key, rest.removeprefix("is ") or cause)

    def _values(self, frames: np.ndarray, record: dict[str, Any], where: str) -> None:
        has_score = record.get("keypoint_score") is not None
        coordinates = frames[..., : frames.shape[3] - has_score]
        shape: Shape = (*coordinates.shape[2:], has_score)
        if self.shape is None:
            self.shape, self.first = shape, where
        if shape != self.shape:
            self.told.add("error", where, "keypoint", words(shape), f"{words(self.shape)}, as {self.first} has")
            return
        for key, values in (("keypoint", coordinates), ("keypoint_score", frames[..., -1] if has_score else None)):
            if values is not None and not (finite := np.isfinite(values)).all():
                frame = int(np.argwhere(~finite)[0][1])
                said = (
                    f"NaN or infinite: {np.count_nonzero(~finite):,} of {values.size:,} values, first in frame {frame}"
                )
                self.told.add("error", where, key, said)
                return
        if not coordinates.any():
            self.told.add("warning", where, "keypoint", "all zeros: nobody is there", "a person")
            return
        self.largest = max(self.largest, float(np.abs(coordinates[..., :2]).max()))
        if shape[1] > 2:
            low, high = float(coordinates[..., 2].min()), float(coordinates[..., 2].max())
            self.third = (min(self.third[0], low), max(self.third[1], high))
        if shape[1] == 2 and records.image_size_of(record) == (0, 0):
            self.told.add("warning", where, "img_shape", "not told; 1920 x 1080 pixels are assumed")
        content = (zlib.crc32(frames.tobytes()), frames.nbytes)
        other = self.contents.setdefault(content, where)
        if other != where:
            self.told.add("warning", where, "keypoint", f"the same values as {other}", "a clip of its own")
