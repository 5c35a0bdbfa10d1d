"""What all data sets have in common in `stgcn prepare`: options, places, and the summary, which is also the report."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stgcn_cli.data.census import Census
from stgcn_cli.data.ntu.names import benchmark_name
from stgcn_cli.data.output import Add, open_writer, place_splits
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.files import atomic_write, is_stream
from stgcn_cli.io.outputs import OutputRule
from stgcn_cli.io.text import nearest, some, to_json


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
    census: Census = field(default_factory=Census)
    missing_dropped: int = 0  # samples whose skeletons are officially missing or incomplete
    left_out: int = 0  # clips of setups after the data set's last
    bad: int = 0  # clips among what is set aside; the others are files of another kind
    set_aside: list[tuple[str, str]] = field(default_factory=list)  # (file or record, reason)
    empty_clips: list[str] = field(default_factory=list)  # no person in any frame; kept
    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)  # for `seconds`

    def keep(self, name: str, label: int | None, splits: Sequence[str], *, frames: int, empty: bool) -> None:
        """Count a record that is written, and enter it in its splits."""
        self.census.count(name, -1 if label is None else label, frames=frames)
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
    def clips(self) -> int:
        """Records that are written."""
        return len(self.census.lengths)

    @property
    def frames(self) -> int:
        """Frames of all of them."""
        return sum(self.census.lengths)

    @property
    def split_sizes(self) -> dict[str, int]:
        """Records of each split."""
        return {split: len(names) for split, names in self.members.items()}

    @property
    def counts(self) -> list[tuple[str, int, int | None]]:
        """(what, how many here, how many officially where that is known); rare cases only where they occur."""
        sizes = {"clips": self.clips, **self.split_sizes, "classes": self.census.classes}
        found = [(name, count, self.official.get(name)) for name, count in sizes.items()]
        if self.persons is not None:
            found.append(("persons", len(self.persons), self.official["persons"]))
            found.append(("missing skeletons, dropped", self.missing_dropped, self.official["missing_dropped"]))
        rare = {
            "other setups, left out": self.left_out,
            "clips under several labels, kept": len(self.census.several_labels),
            "clips whose label is hidden": self.census.labels[-1],
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
            found.append(f"No person in any frame of {some(self.empty_clips, 3)}; kept, as zeros.")
        return found

    @property
    def _reasons(self) -> str:
        return self.report or "--json"

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        names = ("dataset", "clips", "frames", "split_sizes", "official", "found_sizes", "set_aside",
                 "empty_clips", "notes", "outputs", "report", "seconds")  # fmt: skip
        if self.persons is None:
            own: dict[str, Any] = {
                "hidden_labels": self.census.labels[-1],
                "several_labels": self.census.several_labels,
            }
        else:
            own = {"persons": len(self.persons), "missing_dropped": self.missing_dropped, "left_out": self.left_out}
        return (
            {name: getattr(self, name) for name in names}
            | {"classes": self.census.classes}
            | own
            | {"warnings": self.warnings}
        )

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


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """What to prepare from which sources, and where to. `format`: "single" or "list".

    `out` is a file with all splits, or for lists a folder; `splits`: benchmarks or splits (None: all); `max_bad`: the
    share of bad clips above which nothing is written. `workers`: processes, for NTU only; the bytes do not depend on it.
    """

    dataset: str
    sources: Sequence[Path]
    out: Path
    format: str = "single"
    splits: Sequence[str] | None = None
    workers: int = 1
    max_bad: float = 0.5
    raw: bool = False  # coordinates of the camera, bodies chosen as PYSKL does; for NTU only
    force: bool = False  # write over files that `prepare` did not make
    began: float = field(default_factory=time.monotonic)

    @property
    def _rule(self) -> OutputRule:
        return OutputRule(inputs=self.sources, command="prepare", force=self.force)

    @property
    def report_path(self) -> Path | None:
        """Where the report goes: none beside a stream."""
        if is_stream(self.out):
            return None
        name = f"{self.out.stem if self.format == 'single' else self.dataset}.report.json"
        return self.out.with_name(name) if self.format == "single" else self.out / name

    def check_place(self) -> None:
        """Raise UsageError when the output cannot go to `out`, before anything is read."""
        if self.format == "single" and self.out.is_dir():
            raise UsageError(f"{self.out} is a folder.", f"Give a file: --out {self.out / self.dataset}.pkl")
        self.paths(())
        self._rule.check(*filter(None, [self.report_path]))

    def paths(self, splits: Sequence[str]) -> Mapping[str, Path]:
        """The file of each split, or one file under the name "". Raises DataError and UsageError."""
        return place_splits(self.out, self.format, splits, self._rule)

    def summary(self, splits: Sequence[str], official: Mapping[str, int], **more: Any) -> PrepareSummary:
        """A summary with nothing counted yet. Raises as `paths` does."""
        return PrepareSummary(
            dataset=self.dataset,
            official=official,
            members={split: [] for split in splits},
            outputs=[str(path) for path in self.paths(splits).values()],
            report=str(self.report_path or ""),
            began=self.began,
            **more,
        )

    @contextlib.contextmanager
    def writer(self, summary: PrepareSummary, none: str = "there are no records") -> Iterator[Add]:
        """Take the records that the block counts in `summary`; then write the pickles and the report.

        Raises DataError when too many clips are bad or none is left (`none`: why); then only the report is written.
        """
        with open_writer(self.paths(list(summary.members)), summary.members) as add:
            yield add
            summary.check_bad(self.sources, self.max_bad, none)
        summary.write_report()


def choose_splits(dataset: str, available: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """Return the available splits, each once, whose name or benchmark is in `wanted` (None: all). Raises UsageError."""
    available = list(dict.fromkeys(available))
    if wanted is None:
        return available
    known = list(dict.fromkeys([*(split.rpartition("_")[0] or split for split in available), *available]))
    chosen = [benchmark_name(name) for name in wanted]
    for name in chosen:
        if name not in known:
            message = f"{dataset} has no split {name!r} here.{nearest(name, known)}"
            raise UsageError(message, f"It has {', '.join(known)}.")
    if not chosen:
        raise UsageError("--splits names no split.", f"{dataset} has {', '.join(known)}.")
    return [split for split in available if split in chosen or split.rpartition("_")[0] in chosen]
