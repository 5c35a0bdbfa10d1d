"""Every problem of records and splits: `validate` lists them all, `convert`, `train` and `predict` one line for each kind.

Errors stop training or make its figures wrong; warnings are odd but possible; notes need no answer.
"""

import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from stgcn_cli.config.skeletons import Shape, some, words
from stgcn_cli.data import records
from stgcn_cli.data.axes import persons_exceed_frames
from stgcn_cli.io.text import one_line, shown, shown_name

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")

EXPECTED = {  # what each key of a record has to be; see docs/own-data.md
    "record": "a dict",
    "frame_dir": "the name of the clip, a text",
    "label": "a whole number from 0",
    "total_frames": "a whole number from 1, at most the frames in keypoint",
    "keypoint": "an array of finite numbers, persons x frames x joints x values",
    "keypoint_score": "an array of finite numbers, persons x frames x joints",
    "img_shape": "(height, width) in pixels",
    "split": "a list of frame_dirs, each with a record",
}


@dataclass(frozen=True)
class Finding:
    """One problem. `where` is a record or a split."""

    level: Level
    where: str
    key: str
    found: str
    expected: str

    def line(self) -> str:
        """For people."""
        key = "" if self.where.startswith(f"{self.key} ") else f"{self.key}: "  # "split xsub_val" says it already
        return f"{self.level:8}{self.where}: {key}{self.found}" + (
            f"; expected {self.expected}" if self.expected else ""
        )


@dataclass
class Findings:
    """All of a file."""

    source: str
    clips: int = 0
    found: list[Finding] = field(default_factory=list)

    def add(self, level: Level, where: str, key: str, found: str, expected: str | None = None) -> None:
        """Note a problem; what was expected is the key's, when it is not said."""
        expected = EXPECTED.get(key, "") if expected is None else expected
        self.found.append(Finding(level, one_line(where), shown_name(key), one_line(found), expected))

    def count(self, level: Level) -> int:
        """How many there are of a level."""
        return sum(finding.level == level for finding in self.found)

    def summary(self) -> str:
        """One line: how many of each."""
        counts = [(self.count(level), level) for level in LEVELS]
        said = ", ".join(f"{count:,} {level}{'' if count == 1 else 's'}" for count, level in counts if count)
        return f"{self.clips:,} records: {said or 'nothing wrong'}"

    def shortened(self, most: int) -> list[str]:
        """Lines for people, the gravest first; of one level and key at most so many."""
        lines: list[str] = []
        for level in LEVELS:
            same: Counter[str] = Counter()
            for finding in (finding for finding in self.found if finding.level == level):
                same[finding.key] += 1
                if same[finding.key] <= most:
                    lines.append(finding.line())
            lines += [f"{level:8}and {n - most:,} more of {key}" for key, n in same.items() if n > most]
        return lines

    def kinds(self, least: Level = "warning") -> list[str]:
        """One line for each kind of problem down to this level, with how many records have it."""
        kinds: dict[tuple[int, str, str], list[Finding]] = {}
        for finding in self.found:
            if LEVELS.index(finding.level) <= LEVELS.index(least):
                kind = LEVELS.index(finding.level), finding.key, _VALUES.sub("#", finding.found)
                kinds.setdefault(kind, []).append(finding)
        lines = []
        for _, same in sorted(kinds.items(), key=lambda kind: kind[0][0]):
            first = same[0]
            where = (
                first.where if len(same) == 1 else f"{len(same):,} of {self.clips:,} clips, for instance {first.where}"
            )
            wanted = f"; expected {first.expected}" if first.expected else ""
            lines.append(f"{where}: {first.key}: {first.found}{wanted}.")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        counts = {f"{level}s": self.count(level) for level in LEVELS}
        ordered: Sequence[Finding] = sorted(self.found, key=lambda finding: LEVELS.index(finding.level))
        return {"file": self.source, "clips": self.clips, **counts, "found": [asdict(finding) for finding in ordered]}


_VALUES = re.compile(r"\d[\d.,]*(?:e[+-]?\d+)?|'[^']*'|as .*")  # what differs between problems of one kind
_ALL = "all records"
_RELATIVE = 2.0  # pixels beyond this are not fractions of an image
_PIXELS = 20.0  # coordinates beyond this are not metres
_BEYOND, _OUTSIDE = 1.1, 0.05  # of an image: joints a little outside are common; share of joints that is not
_KNOWN = {*EXPECTED, "original_shape", "subject"} - {"record", "split"}


@dataclass
class RecordChecker:
    """Collects what is wrong with records: `look_at` each, then `finish`."""

    told: Findings
    has_splits: bool
    labelled: bool = True  # whether the labels of records are looked at
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
        if said := persons_exceed_frames(record["keypoint"].shape):
            self.told.add("warning", where, "keypoint", said)
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
            if not self.labelled:
                return
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
        self._frames(coordinates, where)
        self.largest = max(self.largest, float(np.abs(coordinates[..., :2]).max()))
        if shape[1] > 2:
            low, high = float(coordinates[..., 2].min()), float(coordinates[..., 2].max())
            self.third = (min(self.third[0], low), max(self.third[1], high))
        if shape[1] == 2:
            self._image(coordinates, record, where)
        content = (zlib.crc32(frames.tobytes()), frames.nbytes)
        other = self.contents.setdefault(content, where)
        if other != where:
            self.told.add("warning", where, "keypoint", f"the same values as {other}", "a clip of its own")

    def _image(self, coordinates_MTVC: np.ndarray, record: dict[str, Any], where: str) -> None:
        """The size of the image that pixels are divided by: not told, not understood, or too small for the joints."""
        height, width = records.image_size_of(record)
        if not height and record.get("img_shape") is not None:
            said = f"{shown(record['img_shape'])}; 1920 x 1080 pixels are assumed"
            self.told.add("error", where, "img_shape", said)
        elif not height:
            self.told.add("warning", where, "img_shape", "not told; 1920 x 1080 pixels are assumed")
        elif said := image_problem(coordinates_MTVC, (height, width)):
            self.told.add("warning", where, "img_shape", said, "(height, width) in pixels")

    def _frames(self, coordinates_MTVC: np.ndarray, where: str) -> None:
        """Clips without motion, and those that are mostly empty: their frames may be numbered otherwise than was thought."""
        frames = coordinates_MTVC.shape[1]
        empty = frames - int(coordinates_MTVC.any(axis=(0, 2, 3)).sum())
        if frames == 1:
            said = "a single frame, which holds no motion (are these the frames of longer clips?)"
            self.told.add("warning", where, "keypoint", said, "")
        elif 2 * empty > frames:
            self.told.add("warning", where, "keypoint", f"nobody is in {empty:,} of {frames:,} frames", "")

    def finish(self, names: Sequence[str] = (), splits: Mapping[str, Sequence[str]] | None = None) -> Findings:
        """Add what is wrong with all records together; `names` are those of the classes."""
        self._check_labels(names)
        self._check_names()
        self._check_units()
        for key, count in self.unknown.items():
            self.told.add("note", f"{count:,} of {self.told.clips:,} records", key, "a key that is not used here", "")
        if not self.told.clips:
            self.told.add("error", _ALL, "record", "there is none", "records")
        if splits is not None:
            check_splits(self.told, self.names, splits)
        return self.told

    def _check_labels(self, names: Sequence[str]) -> None:
        """Labels that leave gaps, count from 1, are all alike, or have no name."""
        for found, expected in label_problems({label for labels in self.labels.values() for label in labels}):
            self.told.add("warning", _ALL, "label", found, expected)
        for name, labels in self.labels.items() if names else ():
            for label in labels:
                if label >= len(names):
                    expected = f"0 to {len(names) - 1}, for {len(names)} classes"
                    self.told.add("error", name, "label", str(label), expected)

    def _check_names(self) -> None:
        """Names that occur more than once; under several labels, as in BABEL, that may be intended."""
        for name, labels in self.labels.items():
            for label, count in Counter(labels).items():
                if count > 1:
                    found = f"{count} records of this name with label {label}"
                    self.told.add("warning", name, "frame_dir", found, "one")
            if len(set(labels)) > 1:
                listed = ", ".join(map(str, sorted(set(labels))))
                self.told.add("note", name, "label", f"one name under the labels {listed}", "")

    def _check_units(self) -> None:
        if self.shape is not None:
            for found, expected in unit_problems(self.shape, self.largest, self.third):
                self.told.add("warning", _ALL, "keypoint", found, expected)


def label_problems(labels: Collection[int]) -> Iterator[tuple[str, str | None]]:
    """What is odd about the labels that occur, and what was expected; -1 is hidden."""
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
    said = f"joints lie at x = {x:.0f}, y = {y:.0f}, outside of an image {width} wide and {height} high"
    if x <= _BEYOND * height and y <= _BEYOND * width:
        return f"{said}; is img_shape (width, height)?"
    return said if outside.mean() >= _OUTSIDE else ""


def unit_problems(shape: Shape, largest: float, third: tuple[float, float]) -> Iterator[tuple[str, str]]:
    """Coordinates that cannot be pixels, and a score in place of z: from the largest |x|, |y| and the range of a third value."""
    low, high = third
    if shape[1] == 2 and 0 < largest <= _RELATIVE:
        yield f"no coordinate is above {largest:.3g}: are these fractions of the image?", "pixels"
    pixels = largest > _PIXELS or shape[0] == 17
    if shape[1:] == (3, False) and low >= 0 and high <= 1 < largest and pixels:
        expected = "z; for a score: stgcn data convert FILE --score-last --out NEW.pkl"
        yield f"the third value is from {low:.3g} to {high:.3g}: is it a score?", expected


def check_splits(told: Findings, names: Collection[str], splits: Mapping[str, Sequence[str]]) -> None:
    """Note what is wrong between the splits of a file and its records, which are called `names`."""
    there = dict.fromkeys(names)
    empty = [split for split, listed in splits.items() if not any(name in there for name in listed)]
    grave: Level = "error" if len(empty) == len(splits) else "warning"  # of a part of NTU, a benchmark may be empty
    for split, listed in splits.items():
        for name in dict.fromkeys(listed):
            if name not in there:
                told.add("warning", f"split {split}", "split", f"{one_line(name)} has no record")
        for name in (name for name, count in Counter(listed).items() if count > 1):
            told.add("warning", f"split {split}", "split", f"{one_line(name)} stands there more than once", "")
    for split in empty:
        told.add(grave, f"split {split}", "split", "no clip is in it", "")
    named = {name for listed in splits.values() for name in listed}
    for name in there:
        if name not in named:
            told.add("warning", name, "split", "it is in no split", "one of " + ", ".join(map(one_line, splits)))
    _check_leaks(told, splits)


def _check_leaks(told: Findings, splits: Mapping[str, Sequence[str]]) -> None:
    """Clips of a benchmark that are trained on and validated or tested on, too."""
    for split, listed in splits.items():
        for part in ("val", "test"):
            other = split.removesuffix("train") + part
            if split.endswith("train") and other in splits:
                for name in sorted(set(listed) & set(splits[other])):
                    said = f"it is in {one_line(split)} and in {one_line(other)}: the figures would be too good"
                    told.add("error", name, "split", said, "one of them")
