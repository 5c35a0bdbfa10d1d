"""What `prepare` writes and sets aside: counted while it runs, then shown, printed as JSON, and written beside the output."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stgcn_cli.errors import DataError
from stgcn_cli.io.files import atomic_write
from stgcn_cli.io.text import to_json

Count = tuple[str, int, int | None]


@dataclass(kw_only=True)
class PrepareSummary:
    """Counts up to now. `members` has the name of each clip of each split, in order, once for each of its records.

    `official` is what is known of the whole data set, by the names of the counts and of the splits. `found_sizes` counts
    bad records too, for the splits it holds at the start. `persons` is None where subjects are not counted.
    """

    dataset: str
    official: Mapping[str, int]
    members: dict[str, list[str]]
    outputs: Sequence[str]
    report: str
    found_sizes: dict[str, int] = field(default_factory=dict)
    persons: set[int] | None = None
    notes: list[str] = field(default_factory=list)  # what else the user should know
    clips: int = 0
    frames: int = 0
    hidden_labels: int = 0
    missing_dropped: int = 0  # samples whose skeletons are officially missing or incomplete
    left_out: int = 0  # clips of setups after the data set's last
    bad: int = 0  # clips among what is set aside; the others are files of another kind
    set_aside: list[tuple[str, str]] = field(default_factory=list)  # (file or record, reason)
    empty_clips: list[str] = field(default_factory=list)  # no person in any frame; kept
    several_labels: dict[str, list[int]] = field(default_factory=dict)  # sorted; all records of the name are kept
    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)  # for `seconds`
    _labels: dict[str, int] = field(default_factory=dict)  # the first one of each name
    _classes: set[int] = field(default_factory=set)

    def keep(self, name: str, label: int | None, splits: Sequence[str], *, frames: int, empty: bool) -> None:
        """Count a record that is written, and enter it in its splits."""
        self.clips, self.frames = self.clips + 1, self.frames + frames
        if label is None:
            self.hidden_labels += 1
        else:
            self._classes.add(label)
            if (first := self._labels.setdefault(name, label)) != label:
                self.several_labels[name] = sorted({first, label, *self.several_labels.get(name, ())})
        if empty:
            self.empty_clips.append(name)
        self.enter(name, splits)

    def enter(self, name: str, splits: Sequence[str]) -> None:
        """Enter a record that is already counted in further splits."""
        for split in splits:
            self.members[split].append(name)
        self._count_found(splits)

    def drop(self, place: str, reason: str, splits: Sequence[str] = ()) -> None:
        """Count a clip that cannot be used."""
        self.set_aside.append((place, reason))
        self.bad += 1
        self._count_found(splits)

    def _count_found(self, splits: Sequence[str]) -> None:
        for split in splits:
            if split in self.found_sizes:
                self.found_sizes[split] += 1

    @property
    def classes(self) -> int:
        """Number of classes that occur."""
        return len(self._classes)

    @property
    def split_sizes(self) -> dict[str, int]:
        """Records of each split."""
        return {split: len(names) for split, names in self.members.items()}

    @property
    def counts(self) -> list[Count]:
        """(what, how many here, how many officially where that is known); rare cases only where they occur."""
        sizes = {"clips": self.clips, **self.split_sizes, "classes": self.classes}
        found = [(name, count, self.official.get(name)) for name, count in sizes.items()]
        if self.persons is not None:
            found.append(("persons", len(self.persons), self.official["persons"]))
            found.append(("missing skeletons, dropped", self.missing_dropped, self.official["missing_dropped"]))
        rare = {
            "other setups, left out": self.left_out,
            "clips under several labels, kept": len(self.several_labels),
            "clips whose label is hidden": self.hidden_labels,
        }
        return found + [(name, count, None) for name, count in rare.items() if count]

    @property
    def warnings(self) -> list[str]:
        """What the user should know before training on this."""
        found = list(self.notes)
        sizes = self.found_sizes or self.split_sizes
        if wrong := [name for name, size in sizes.items() if size != self.official.get(name, size)]:
            first = f"{wrong[0]} has {sizes[wrong[0]]:,} clips, officially {self.official[wrong[0]]:,}"
            found.append(f"The counts are not the official ones ({first}); expected only for a part of the data set.")
        if empty := [name for name, size in self.split_sizes.items() if size == 0]:
            found.append(f"No clips in {', '.join(empty)}.")
        if self.set_aside:
            found.append(f"{len(self.set_aside):,} files or records are not used. The reason of each: {self._reasons}")
        if self.empty_clips:
            more = f" and {len(self.empty_clips) - 3} more" if len(self.empty_clips) > 3 else ""
            found.append(f"No person in any frame of {', '.join(self.empty_clips[:3])}{more}; kept, as zeros.")
        return found

    @property
    def _reasons(self) -> str:
        return self.report or "--json"

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        names = ("dataset", "clips", "frames", "classes", "split_sizes", "official", "found_sizes", "set_aside",
                 "empty_clips", "notes", "outputs", "report", "seconds")  # fmt: skip
        if self.persons is None:
            own: dict[str, Any] = {"hidden_labels": self.hidden_labels, "several_labels": self.several_labels}
        else:
            own = {"persons": len(self.persons), "missing_dropped": self.missing_dropped, "left_out": self.left_out}
        return {name: getattr(self, name) for name in names} | own | {"warnings": self.warnings}

    def write_report(self) -> None:
        """Write the summary as JSON to `report`, with the seconds since it was begun."""
        self.seconds = round(time.monotonic() - self.began, 3)
        if not self.report:  # the output is a stream
            return
        with atomic_write(Path(self.report), "w") as stream:
            stream.write(to_json(self.as_dict(), indent=1))
            stream.write("\n")

    def check_bad(self, sources: Sequence[Path], max_bad: float, none: str = "there are no records") -> None:
        """Raise DataError when no clip is left or more than the share `max_bad` are bad; then only the report is written.

        `none`: the cause when there were no clips at all.
        """
        total = self.clips + self.bad
        if self.clips and self.bad <= max_bad * total:
            return
        self.outputs = []
        self.write_report()
        cause = f"{self.bad} of {total} {'records' if self.persons is None else 'files'} are bad" if total else none
        first = f" The first: {self.set_aside[0][0]}: {self.set_aside[0][1]}." if self.set_aside else ""
        raise DataError(
            f"Nothing was prepared from {', '.join(map(str, sources))}: {cause}.{first}",
            f"The reason of each: {self._reasons}",
        )


def report_path(dataset: str, out: Path, is_folder: bool) -> Path:
    """Beside an output file, inside an output folder."""
    return out / f"{dataset}.report.json" if is_folder else out.with_name(f"{out.stem}.report.json")
