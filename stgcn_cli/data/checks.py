"""Every problem of records and splits: `validate` lists them all, `convert`, `train` and `predict` one line for each kind.

Errors stop training or make its figures wrong; warnings are odd but possible; notes need no answer.
"""

import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Shape, some, words
from stgcn_cli.data import records
from stgcn_cli.data.axes import persons_exceed_frames
from stgcn_cli.data.findings import EXPECTED, Findings, Level
from stgcn_cli.io.text import one_line, shown

_ALL = "all records"
_RELATIVE = 2.0  # pixels beyond this are not fractions of an image
_PIXELS = 20.0  # coordinates beyond this are not metres
_BEYOND, _OUTSIDE = 1.1, 0.05  # of an image: joints a little outside are common; share of joints that is not
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


def label_problems(labels: Collection[int]) -> Iterator[tuple[str, str | None]]:
    """Odd sets of labels, with the expected ones; -1 is hidden."""
    found = sorted(set(labels) - {-1})
    if len(found) == 1:
        yield f"all are {found[0]}", "several classes"
    missing = sorted(set(range(found[-1])) - set(found)) if found else []
    if missing[:1] == [0]:
        yield f"from {found[0]} to {found[-1]}, none is 0: are they counted from 1?", None
    elif missing:
        yield f"up to {found[-1]}, but none is {some(list(map(str, missing)))}", "every class"


def image_problem(coordinates: np.ndarray, size: tuple[int, int]) -> str:
    """Words about joints (..., 2) that lie outside of an image of this height and width, "" where few do."""
    height, width = size
    seen = coordinates[coordinates.any(axis=-1)].astype(np.float64)
    outside = (seen > (_BEYOND * width, _BEYOND * height)).any(axis=1)
    if not outside.any() or (outside.mean() < _OUTSIDE and height >= width):
        return ""
    x, y = seen.max(axis=0)
    found = f"joints lie at x = {x:.0f}, y = {y:.0f}, outside of an image {width} wide and {height} high"
    if x <= _BEYOND * height and y <= _BEYOND * width:
        return f"{found}; is img_shape (width, height)?"
    return found if outside.mean() >= _OUTSIDE else ""


def unit_problems(shape: Shape, largest: float, third: tuple[float, float]) -> Iterator[tuple[str, str]]:
    """Coordinates that cannot be pixels, and a score in place of z: from the largest |x|, |y| and the range of a third value."""
    low, high = third
    if shape[1] == 2 and 0 < largest <= _RELATIVE:
        yield f"no coordinate is above {largest:.3g}: are these fractions of the image?", "pixels"
    pixels = largest > _PIXELS or shape[0] == 17
    if shape[1:] == (3, False) and low >= 0 and high <= 1 < largest and pixels:
        expected = "z; for a score: stgcn data convert FILE --score-last --out NEW.pkl"
        yield f"the third value is from {low:.3g} to {high:.3g}: is it a score?", expected


def check_splits(findings: Findings, names: Collection[str], splits: Mapping[str, Sequence[str]]) -> None:
    """Note the problems between the splits of a file and its records, which are called `names`."""
    known = dict.fromkeys(names)
    empty = [split for split, listed in splits.items() if not any(name in known for name in listed)]
    grave: Level = "error" if len(empty) == len(splits) else "warning"  # of a part of NTU, a benchmark may be empty
    for split, listed in splits.items():
        for name, count in Counter(listed).items():
            if name not in known:
                findings.add("warning", f"split {split}", "split", f"{one_line(name)!r} has no record")
            if count > 1:
                findings.add("warning", f"split {split}", "split", f"{one_line(name)!r} is listed more than once", "")
    for split in empty:
        findings.add(grave, f"split {split}", "split", "no clip is in it", "")
    in_any = {name for listed in splits.values() for name in listed}
    expected = (
        "one of " + ", ".join(map(one_line, splits))
        if splits
        else "a split; of a list its file names it: own_train.pkl"
    )
    for name in known:
        if name not in in_any:
            findings.add("warning", name, "split", "it is in no split", expected)
    _check_leaks(findings, splits)


def _check_leaks(findings: Findings, splits: Mapping[str, Sequence[str]]) -> None:
    """Clips of a benchmark that are trained on and validated or tested on, too."""
    for split, listed in splits.items():
        for part in ("val", "test"):
            other = split.removesuffix("train") + part
            if split.endswith("train") and other in splits:
                for name in sorted(set(listed) & set(splits[other])):
                    found = f"it is in {one_line(split)} and in {one_line(other)}: the figures would be too good"
                    findings.add("error", name, "split", found, "one of them")
