"""Counting while records of any data set are taken over, set aside, and written."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from stgcn_cli.data.prepare_summary import Count, PrepareSummary, write_report
from stgcn_cli.errors import DataError


@dataclass(frozen=True, kw_only=True)
class RecordSummary(PrepareSummary):
    """What is counted of records besides."""

    hidden_labels: int
    several_labels: dict[str, list[int]]  # the clips that stand under more than one label; all are kept

    @property
    def counts(self) -> list[Count]:
        """Those of every data set, and labels where they are worth a word."""
        own: list[Count] = []
        if self.several_labels:
            own.append(("clips under several labels, kept", len(self.several_labels), None))
        if self.hidden_labels:
            own.append(("clips whose label is hidden", self.hidden_labels, None))
        return super().counts + own


@dataclass
class RecordTally:
    """Counts up to now. `members` holds the name of each clip of each split, in order, once for each of its records."""

    dataset: str
    official: dict[str, int]  # clips of a split, where known
    members: dict[str, list[str]]
    outputs: Sequence[Path]
    report: Path
    notes: list[str] = field(default_factory=list)
    clips: int = 0
    frames: int = 0
    hidden_labels: int = 0
    found_sizes: dict[str, int] = field(init=False)
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    empty_clips: list[str] = field(default_factory=list)
    labels: dict[str, set[int]] = field(default_factory=dict)  # of each clip by name

    def __post_init__(self) -> None:
        self.found_sizes = dict.fromkeys(self.members, 0)

    def keep(self, name: str, label: int | None, keypoint: np.ndarray, splits: Sequence[str]) -> None:
        """Count a record (M T V C) that is written, and enter it in its splits."""
        self.clips, self.frames = self.clips + 1, self.frames + keypoint.shape[1]
        if label is None:
            self.hidden_labels += 1
        else:
            self.labels.setdefault(name, set()).add(label)
        if not keypoint.any():
            self.empty_clips.append(name)
        self.enter(name, splits)

    def enter(self, name: str, splits: Sequence[str]) -> None:
        """A record that is written already stands in these splits, too."""
        for split in splits:
            self.members[split].append(name)
            self.found_sizes[split] += 1

    def drop(self, place: str, reason: str, splits: Sequence[str]) -> None:
        """Count a record that cannot be used."""
        self.set_aside.append((place, reason))
        for split in splits:
            self.found_sizes[split] += 1

    def summary(self) -> RecordSummary:
        """What has been counted."""
        return RecordSummary(
            dataset=self.dataset,
            clips=self.clips,
            frames=self.frames,
            classes=len(set().union(*self.labels.values())),
            split_sizes={split: len(names) for split, names in self.members.items()},
            official=self.official,
            found_sizes=self.found_sizes,
            hidden_labels=self.hidden_labels,
            several_labels={name: sorted(labels) for name, labels in self.labels.items() if len(labels) > 1},
            set_aside=self.set_aside,
            empty_clips=self.empty_clips,
            notes=self.notes,
            outputs=[str(path) for path in self.outputs],
            report=str(self.report),
        )

    def refuse_bad(self, sources: Sequence[Path], max_bad: float) -> None:
        """Raise DataError when no record is left or more than the share `max_bad` are bad; then the report is written."""
        bad = len(self.set_aside)
        if self.clips and bad <= max_bad * (self.clips + bad):
            return
        summary = self.summary()
        write_report(replace(summary, outputs=[]))
        places = ", ".join(str(source) for source in sources)
        cause = f"{bad} of {self.clips + bad} records are bad" if bad else "there are no records"
        first = f" The first: {self.set_aside[0][0]}: {self.set_aside[0][1]}." if bad else ""
        raise DataError(
            f"Nothing was prepared from {places}: {cause}.{first}", f"Every record and its reason: {summary.report}"
        )
