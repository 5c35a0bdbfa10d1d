"""What can be wrong with one record of an annotation pickle, by the rules of `records`."""

import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from stgcn_cli.config.skeletons import Shape, words
from stgcn_cli.data import records
from stgcn_cli.io.text import one_line, shown_name

# What is found wrong in a file: at which record, under which key, what is there, what was expected.

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

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        counts = {f"{level}s": self.count(level) for level in LEVELS}
        ordered: Sequence[Finding] = sorted(self.found, key=lambda finding: LEVELS.index(finding.level))
        return {"file": self.source, "clips": self.clips, **counts, "found": [asdict(finding) for finding in ordered]}


_KNOWN = {*EXPECTED, "original_shape", "subject"} - {"record", "split"}


@dataclass
class RecordChecker:
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


# What can be wrong between the splits of an annotation pickle and its records.


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
