"""Problems of records and splits as values: how grave, where, what was found and what was expected, and their wording."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from stgcn_cli.config.skeletons import Shape
from stgcn_cli.io.text import one_line, shown_name, some

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
        key = "" if self.where.startswith(f"{self.key} ") else f"{self.key}: "  # "split xsub_val" names it already
        expected = f"; expected {self.expected}" if self.expected else ""
        return f"{self.level:8}{self.where}: {key}{self.found}{expected}"


@dataclass
class Findings:
    """All problems of a file with so many clips."""

    source: str
    clips: int = 0
    found: list[Finding] = field(default_factory=list)

    def add(self, level: Level, where: str, key: str, found: str, expected: str | None = None) -> None:
        """Note a problem; `expected` is that of the key by default."""
        expected = EXPECTED.get(key, "") if expected is None else expected
        self.found.append(Finding(level, one_line(where), shown_name(key), one_line(found), expected))

    def count(self, level: Level) -> int:
        """The problems of a level."""
        return sum(finding.level == level for finding in self.found)

    def summary(self) -> str:
        """One line: the number of each level."""
        counts = [(self.count(level), level) for level in LEVELS]
        listed = ", ".join(f"{count:,} {level}{'' if count == 1 else 's'}" for count, level in counts if count)
        return f"{self.clips:,} records: {listed or 'no problems'}"

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

    def kinds(self, *shown: str) -> list[str]:
        """One line for each kind of error and warning, with how many records have it; not for those that begin with `shown`."""
        kinds: dict[tuple[int, str, str], list[Finding]] = {}
        for finding in self.found:
            if finding.level != "note" and not finding.found.startswith(shown):
                kind = LEVELS.index(finding.level), finding.key, _VALUES.sub("#", finding.found)
                kinds.setdefault(kind, []).append(finding)
        lines = []
        for _, same in sorted(kinds.items(), key=lambda kind: kind[0][0]):
            first, where = same[0], same[0].where
            if len(same) > 1:
                many = (
                    f"{len(same):,} times" if where.startswith("split ") else f"{len(same):,} of {self.clips:,} clips"
                )
                where = f"{many}, for instance {where}"
            wanted = f"; expected {first.expected}" if first.expected else ""
            key = "" if first.where.startswith(f"{first.key} ") else f"{first.key}: "
            lines.append(f"{where}: {key}{first.found}{wanted}.")
        return lines

    def packed(self) -> list[list[Any]]:
        """Each problem with the places that have it, for a file; `unpacked` reads it."""
        places: dict[tuple[str, ...], list[str]] = {}
        for each in self.found:
            places.setdefault((each.level, each.key, each.found, each.expected), []).append(each.where)
        return [[*problem, where] for problem, where in places.items()]

    @classmethod
    def unpacked(cls, source: str, clips: int, packed: list[list[Any]]) -> "Findings":
        """The problems of a file. Raises ValueError, TypeError for what is no list of problems."""
        findings = cls(source, clips)
        for level, key, found, expected, places in packed:
            if level not in LEVELS:
                raise ValueError("its findings have other levels")
            for where in places:
                findings.add(level, where, key, found, one_line(expected))
        return findings

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        counts = {f"{level}s": self.count(level) for level in LEVELS}
        ordered: Sequence[Finding] = sorted(self.found, key=lambda finding: LEVELS.index(finding.level))
        return {"file": self.source, "clips": self.clips, **counts, "found": [asdict(finding) for finding in ordered]}


_VALUES = re.compile(r"\d[\d.,]*(?:e[+-]?\d+)?|'[^']*'|as .*")  # what differs between problems of one kind


# What is odd about labels, image sizes, units and splits: pure functions behind the checks of records.

_RELATIVE, _PERCENT = 2.0, 101.0  # pixels beyond this are not fractions of an image, or percent
_PIXELS = 20.0  # coordinates beyond this are not metres
_BEYOND, _OUTSIDE = 1.1, 0.05  # of an image: joints a little outside are common; share of joints that is not


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


def is_beyond(xy: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether a joint (V, 2 or more) lies outside of an image of this height and width."""
    return bool(xy[:, 0].max() > _BEYOND * size[1] or xy[:, 1].max() > _BEYOND * size[0])


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
    if shape[1] == 2 and _RELATIVE < largest <= _PERCENT:
        yield f"no coordinate is above {largest:.3g}: are these percent of the image (divide by 100)?", "pixels"
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
