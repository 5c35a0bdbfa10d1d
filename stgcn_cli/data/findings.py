"""Problems of records and splits as values: how grave, where, what was found and what was expected, and their wording."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from stgcn_cli.io.text import one_line, shown_name

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
        return f"{self.clips:,} records: {listed or 'nothing wrong'}"

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
            lines.append(f"{where}: {first.key}: {first.found}{wanted}.")
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
