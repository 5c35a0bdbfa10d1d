"""Every problem of records and splits: `validate` lists them all, `convert`, `train` and `predict` one line for each kind.

Errors stop training or make its figures wrong; warnings are odd but possible; notes need no answer.
"""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Shape, words
from stgcn_cli.data import records
from stgcn_cli.data.axes import persons_exceed_frames
from stgcn_cli.data.findings import EXPECTED, Findings
from stgcn_cli.data.problems import check_splits, image_problem, label_problems, unit_problems
from stgcn_cli.io.text import shown

_ALL = "all records"
_KNOWN = {*EXPECTED, "original_shape", "subject"} - {"record", "split"}
_SAMPLED = 4  # every so many frames tell units, images, and whether two clips are equal


@dataclass
class RecordChecker:
    """Collects the problems of records: `look_at` each, then `finish`."""

    findings: Findings
    has_splits: bool = False
    labelled: bool = True  # whether the labels of records are looked at
    shape: Shape | None = None
    first: str = ""  # the record the shape is of
    names: dict[str, None] = field(default_factory=dict)
    labels: dict[str, list[int]] = field(default_factory=dict)  # of each name, -1 hidden
    contents: dict[tuple[int, ...], str] = field(default_factory=dict)  # checksum and shape -> the first record
    unknown: Counter[str] = field(default_factory=Counter)
    largest: float = 0.0  # coordinate
    third: tuple[float, float] = (0.0, 0.0)  # range of a third value

    def look_at(self, record: Any, gaps: int = 0) -> np.ndarray | None:
        """Note the problems of one record; return its frames as `frames_of` does, None where it has none.

        `gaps`: joints with NaN, which the reader has made zeros.
        """
        where = records.name_of(record, self.findings.clips)
        self.findings.clips += 1
        if not isinstance(record, dict):
            self.findings.add("error", where, "record", f"a {type(record).__name__}")
            return None
        self._name_and_label(record, where)
        self.unknown.update(key for key in map(str, record) if key not in _KNOWN)
        try:
            frames = records.frames_of(record)
        except ValueError as error:
            self._refused("keypoint", str(error), where)
            return None
        stored = record["keypoint"].shape
        if stored[1] > frames.shape[1]:
            unused = stored[1] - frames.shape[1]
            found = f"{frames.shape[1]}, but keypoint holds {stored[1]} frames; the last {unused} are not used"
            self.findings.add("warning", where, "total_frames", found, "")
        if found := persons_exceed_frames(stored):
            self.findings.add("warning", where, "keypoint", found)
        if gaps:
            self.findings.add("warning", where, "keypoint", f"NaN in {gaps:,} joints, which become zeros: not seen", "")
        self._values(frames, record, where)
        return frames

    def _name_and_label(self, record: dict[str, Any], where: str) -> None:
        name = None
        try:
            name = records.frame_dir_of(record)
            if name is None:
                found = "missing" if record.get("frame_dir") is None else f"a {type(record['frame_dir']).__name__}"
                self.findings.add("error" if self.has_splits else "warning", where, "frame_dir", found)
        except ValueError as error:
            self._refused("frame_dir", str(error), where)
        self.names[name or where] = None
        if not self.labelled:
            return
        try:
            self.label(name or where, records.label_of(record))
        except ValueError as error:
            self._refused("label", str(error), where)

    def label(self, name: str, label: int) -> None:
        """Note the label of a record, -1 for a hidden one; for clips whose labels are known only when all were read."""
        self.labels.setdefault(name, []).append(label)
        if label < 0:
            self.findings.add("warning", name, "label", "hidden: this clip cannot be trained on")

    def _refused(self, key: str, cause: str, where: str) -> None:
        """A cause as `records` words it, which begins with its key: "label is -3"."""
        word, _, rest = cause.partition(" ")
        self.findings.add("error", where, word if word in EXPECTED else key, rest.removeprefix("is ") or cause)

    def _values(self, frames: np.ndarray, record: dict[str, Any], where: str) -> None:
        has_score = record.get("keypoint_score") is not None
        coordinates = frames[..., : frames.shape[3] - has_score]
        shape: Shape = (*coordinates.shape[2:], has_score)
        if self.shape is None:
            self.shape, self.first = shape, where
        if shape != self.shape:
            self.findings.add("error", where, "keypoint", words(shape), f"{words(self.shape)}, as {self.first} has")
            return
        if not np.isfinite(frames).all():
            key, values = ("keypoint", coordinates)
            if np.isfinite(coordinates).all():
                key, values = "keypoint_score", frames[..., -1]
            lost = ~np.isfinite(values)
            frame = int(np.argwhere(lost)[0][1])
            found = f"NaN or infinite: {np.count_nonzero(lost):,} of {values.size:,} values, first in frame {frame}"
            self.findings.add("error", where, key, found)
            return
        sample = np.ascontiguousarray(frames[:, ::_SAMPLED])
        joints = sample[..., : shape[1]]
        if not joints.any() and not coordinates.any():
            self.findings.add("warning", where, "keypoint", "all zeros: no person in any frame", "a person")
            return
        if frames.shape[1] == 1 or not joints.any(axis=(0, 2, 3)).all():
            self._frames(coordinates, where)
        xy = joints[..., :2]
        self.largest = max(self.largest, float(xy.max()), -float(xy.min()))
        if shape[1] > 2:
            third = joints[..., 2]
            self.third = min(self.third[0], float(third.min())), max(self.third[1], float(third.max()))
        if shape[1] == 2:
            self._image(joints, record, where)
        other = self.contents.setdefault((zlib.crc32(sample.data), *frames.shape), where)
        if other != where:
            self.findings.add("warning", where, "keypoint", f"the same values as {other}", "a clip of its own")

    def _image(self, coordinates_MTVC: np.ndarray, record: dict[str, Any], where: str) -> None:
        """The size of the image that pixels are divided by: missing, invalid, or too small for the joints."""
        height, width = records.image_size_of(record)
        if not height and record.get("img_shape") is not None:
            found = f"{shown(record['img_shape'])}; 1920 x 1080 pixels are assumed"
            self.findings.add("error", where, "img_shape", found)
        elif not height:
            found = "missing, so 1920 x 1080 pixels are assumed"
            self.findings.add(
                "warning", where, "img_shape", found, f"{EXPECTED['img_shape']}, or --image-size WIDTHxHEIGHT"
            )
        elif found := image_problem(coordinates_MTVC, (height, width)):
            self.findings.add("warning", where, "img_shape", found)

    def _frames(self, coordinates_MTVC: np.ndarray, where: str) -> None:
        """Clips without motion, and those that are mostly empty: their frames may be numbered otherwise than was thought."""
        frames = coordinates_MTVC.shape[1]
        if frames == 1:
            found = "a single frame, which holds no motion (are these the frames of longer clips?)"
            self.findings.add("warning", where, "keypoint", found, "")
            return
        empty = frames - int(coordinates_MTVC.any(axis=(0, 2, 3)).sum())
        if 2 * empty > frames:
            self.findings.add("warning", where, "keypoint", f"no person in {empty:,} of {frames:,} frames", "")

    def finish(self, names: Sequence[str] = (), splits: Mapping[str, Sequence[str]] | None = None) -> Findings:
        """Add the problems of all records together; `names` are those of the classes."""
        self._check_labels(names)
        self._check_names()
        for found, expected in unit_problems(self.shape, self.largest, self.third) if self.shape else ():
            self.findings.add("warning", _ALL, "keypoint", found, expected)
        for key, count in self.unknown.items():
            self.findings.add(
                "note", f"{count:,} of {self.findings.clips:,} records", key, "a key that is not used here", ""
            )
        if not self.findings.clips:
            self.findings.add("error", _ALL, "record", "no records found", "records")
        if splits is not None:
            check_splits(self.findings, self.names, splits)
        return self.findings

    def _check_labels(self, names: Sequence[str]) -> None:
        """Labels that leave gaps, count from 1, are all alike, or have no name."""
        for found, expected in label_problems({label for labels in self.labels.values() for label in labels}):
            self.findings.add("warning", _ALL, "label", found, expected)
        for name, labels in self.labels.items() if names else ():
            for label in labels:
                if label >= len(names):
                    expected = f"0 to {len(names) - 1}, for {len(names)} classes"
                    self.findings.add("error", name, "label", str(label), expected)

    def _check_names(self) -> None:
        """Names that occur more than once; under several labels, as in BABEL, that may be intended."""
        for name, labels in self.labels.items():
            for label, count in Counter(labels).items():
                if count > 1:
                    found = f"{count} records of this name with label {label}"
                    self.findings.add("warning", name, "frame_dir", found, "one")
            if len(set(labels)) > 1:
                listed = ", ".join(map(str, sorted(set(labels))))
                self.findings.add("note", name, "label", f"one name under the labels {listed}", "")
