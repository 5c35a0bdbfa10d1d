"""`.skeleton` texts (or raw 3-D annotations) -> annotation pickle: list, share out to processes, append in order, count.

The parent process lists and appends; workers read, normalise and pickle. Memory is flat: for all clips together only names
are held. (Annotations come in one pickle, which is held whole.)
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from stgcn_cli.data.archives import Entry, Listing, list_texts
from stgcn_cli.data.ntu.names import NTU, NtuDataset, missing_samples, parse_name, split_of
from stgcn_cli.data.output import check_place, open_writer, place_splits
from stgcn_cli.data.prepare.ntu_samples import OTHER_BODIES, Outcome, are_pickles, list_records, make_records
from stgcn_cli.data.summary import Count, PrepareSummary, report_path, write_report
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.text import nearest
from stgcn_cli.runtime.pool import map_in_order

# Which of the listed files are clips of a data set, and what becomes of the others. Pure.

_ALSO_KNOWN = {"xsetup": "xset", "cross-subject": "xsub", "cross-view": "xview", "cross-setup": "xset"}


@dataclass
class PreparePlan:
    """The clips to read, in order, and what is not read. (file, reason) for what is set aside."""

    clips: list[Entry] = field(default_factory=list)
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    bad: int = 0  # of those set aside, how many have an NTU name and count as bad
    missing_dropped: int = 0
    left_out: int = 0


def choose(dataset: str, benchmarks: Sequence[str] | None) -> NtuDataset:
    """The data set of that name with these benchmarks (None: all); raises UsageError with the nearest known name."""
    if dataset not in NTU:
        raise UsageError(f"There is no data set {dataset!r}.{nearest(dataset, list(NTU))}", f"Known: {', '.join(NTU)}.")
    kind = NTU[dataset]
    wanted = list(kind.benchmarks) if benchmarks is None else [_ALSO_KNOWN.get(name, name) for name in benchmarks]
    for name in wanted:
        if name not in kind.benchmarks:
            known = list(kind.benchmarks)
            raise UsageError(
                f"{dataset} has no benchmark {name!r}.{nearest(name, known)}", f"It has {', '.join(known)}."
            )
    if not wanted:
        raise UsageError("--splits names no benchmark.", f"{dataset} has {', '.join(kind.benchmarks)}.")
    return replace(kind, benchmarks={name: rule for name, rule in kind.benchmarks.items() if name in wanted})


def make_plan(kind: NtuDataset, listing: Listing) -> PreparePlan:
    """Every listed file in its place. Setups beyond the data set's last are counted and left out."""
    plan = PreparePlan(set_aside=[*listing.foreign, *listing.duplicates])
    for entry in listing.entries:
        name = parse_name(entry.name)
        if name is None:
            plan.set_aside.append((entry.place, "its name is not an NTU sample name like S001C002P003R002A013"))
        elif name.setup > kind.last_setup:
            plan.left_out += 1
        elif entry.name in missing_samples():
            plan.missing_dropped += 1
        elif not 1 <= name.action <= kind.classes:
            plan.set_aside.append((entry.place, f"action {name.action} is none of the {kind.classes} of {kind.name}"))
            plan.bad += 1
        else:
            plan.clips.append(entry)
    return plan


_CHUNK_FILES, _CHUNK_BYTES = 8, 2 << 20  # one task for a worker: enough to hide the cost of sending it

Progress = Callable[[int, int], None]


_OFFICIAL = ("clips", "classes", "persons", "missing_dropped")


@dataclass(frozen=True, kw_only=True)
class NtuSummary(PrepareSummary):
    """What is counted of NTU's samples besides."""

    persons: int  # that occur
    missing_dropped: int  # samples whose skeletons are officially missing or incomplete
    left_out: int  # clips of setups after the data set's last

    @property
    def counts(self) -> list[Count]:
        """Those of every data set, and NTU's own."""
        own: list[Count] = [
            ("persons", self.persons, self.official["persons"]),
            ("missing skeletons, dropped", self.missing_dropped, self.official["missing_dropped"]),
        ]
        own += [("other setups, left out", self.left_out, None)] if self.left_out else []
        return super().counts + own


@dataclass
class Tally:
    """Counts up to now. `members` holds the clips of each split, in order."""

    kind: NtuDataset
    plan: PreparePlan
    outputs: Sequence[Path]
    report: Path
    notes: list[str] = field(default_factory=list)
    members: dict[str, list[str]] = field(init=False)
    clips: int = 0
    frames: int = 0
    empty_clips: list[str] = field(default_factory=list)
    classes: set[int] = field(default_factory=set)
    persons: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.members = {split: [] for split in self.kind.splits}

    def take(self, outcome: Outcome) -> list[str]:
        """Count one outcome; returns the splits the clip belongs to, none for a bad file."""
        if outcome.reason:
            self.plan.set_aside.append((outcome.entry.place, outcome.reason))
            self.plan.bad += 1
            return []
        name = parse_name(outcome.entry.name)
        assert name is not None  # the plan holds no others
        splits = [split_of(self.kind, benchmark, name) for benchmark in self.kind.benchmarks]
        for split in splits:
            self.members[split].append(outcome.entry.name)
        self.clips, self.frames = self.clips + 1, self.frames + outcome.frames
        self.classes.add(name.action)
        self.persons.add(name.person)
        if outcome.empty:
            self.empty_clips.append(outcome.entry.name)
        return splits

    def summary(self) -> NtuSummary:
        """What has been counted."""
        return NtuSummary(
            dataset=self.kind.name,
            clips=self.clips,
            frames=self.frames,
            classes=len(self.classes),
            persons=len(self.persons),
            split_sizes={split: len(names) for split, names in self.members.items()},
            missing_dropped=self.plan.missing_dropped,
            official={name: self.kind.official[name] for name in (*_OFFICIAL, *self.members)},
            left_out=self.plan.left_out,
            set_aside=self.plan.set_aside,
            empty_clips=self.empty_clips,
            notes=self.notes,
            outputs=[str(path) for path in self.outputs],
            report=str(self.report),
        )


def prepare_ntu(
    dataset: str,
    sources: Sequence[Path],
    out: Path,
    *,
    format: str = "single",
    workers: int = 1,
    splits: Sequence[str] | None = None,
    max_bad: float = 0.5,
    progress: Progress | None = None,
) -> NtuSummary:
    """Write the annotation pickle(s) of `dataset` ("ntu60" or "ntu120") from zips and folders of `.skeleton` texts, or
    from annotation pickles with raw 3-D joints, whose bodies somebody else has chosen.

    `out` is a file, or with format "list" a folder; `splits` are benchmarks (None: all); `progress` hears (clips
    done, clips in all), never before the workers run. The bytes written do not depend on `workers`. Files that cannot be
    used are set aside and listed, in the summary and in a report beside the output. Raises UsageError for names and
    places that cannot work, and DataError when a source cannot be read, no clip is left, or more than the share
    `max_bad` of the files with an NTU name are bad: then the report is all that is written.
    """
    began = time.monotonic()
    kind = choose(dataset, splits)
    check_place(dataset, out, format, sources)
    paths = place_splits(out, format, kind.splits, sources)
    from_pickles = are_pickles(sources)
    plan = make_plan(kind, list_records(sources) if from_pickles else list_texts(sources))
    notes = [OTHER_BODIES] if from_pickles else []
    tally = Tally(kind, plan, list(paths.values()), report_path(dataset, out, format != "single"), notes)
    outcomes = _outcomes(plan.clips, workers, progress or (lambda done, total: None))
    with closing(outcomes), open_writer(paths, tally.members) as writer:
        for outcome in outcomes:
            splits_in = tally.take(outcome)
            if splits_in:
                writer.add(outcome.record, splits_in)
        _refuse_bad(tally, sources, max_bad)
    summary = replace(tally.summary(), seconds=round(time.monotonic() - began, 3))
    write_report(summary)
    return summary


def _outcomes(clips: Sequence[Entry], workers: int, progress: Progress) -> Generator[Outcome, None, None]:
    if workers < 1:
        raise UsageError(f"{workers} workers cannot do anything.", "Give --workers 1 or more.")
    chunks, done = list(_chunks(clips)), 0
    with closing(map_in_order(make_records, chunks, min(workers, len(chunks)))) as results:
        for outcomes in results:
            yield from outcomes
            done += len(outcomes)
            progress(done, len(clips))


def _chunks(clips: Sequence[Entry]) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    for clip in clips:
        chunk.append(clip)
        if len(chunk) == _CHUNK_FILES or sum(entry.size for entry in chunk) > _CHUNK_BYTES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _refuse_bad(tally: Tally, sources: Sequence[Path], max_bad: float) -> None:
    plan: PreparePlan = tally.plan
    named = tally.clips + plan.bad
    if tally.clips and plan.bad <= max_bad * named:
        return
    summary = tally.summary()
    write_report(replace(summary, outputs=[]))
    places = ", ".join(str(source) for source in sources)
    if named:
        cause = f"{plan.bad} of {named} files are bad"
    elif plan.left_out:
        cause = f"all {plan.left_out} clips belong to setups after {tally.kind.last_setup}, which {summary.dataset} leaves out"
    else:
        cause = "no file is named like an NTU sample (S001C002P003R002A013.skeleton)"
    first = f" The first: {plan.set_aside[0][0]}: {plan.set_aside[0][1]}." if plan.set_aside else ""
    raise DataError(
        f"Nothing was prepared from {places}: {cause}.{first}", f"Every file and its reason: {summary.report}"
    )
