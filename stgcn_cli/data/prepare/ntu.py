"""`.skeleton` texts (or raw 3-D annotations) -> annotation pickle: list, distribute to processes, append in order, count.

The parent process lists and appends; workers read, normalise and pickle. Memory is flat: for all clips together only names
are held. (Annotations come in one pickle, whose names and labels are held.)
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from stgcn_cli.data.archives import Entry, Listing, list_texts
from stgcn_cli.data.ntu.names import NTU, NtuDataset, missing_samples, parse_name, split_of
from stgcn_cli.data.prepare.ntu_samples import OTHER_BODIES, Outcome, are_pickles, list_records, make_records
from stgcn_cli.data.prepare.options import PrepareOptions, PrepareSummary, choose_splits
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.runtime.pool import map_in_order

_CHUNK_FILES, _CHUNK_BYTES = 8, 2 << 20  # one task for a worker: enough to hide the cost of sending it
_OFFICIAL = ("clips", "classes", "persons", "missing_dropped")


def find_ntu(dataset: str, data: Path) -> list[Path]:
    """The official archives in the data folder, else the folder they unpack to. Raises DataError saying how to get them."""
    archives, folder = [data / name for name in NTU[dataset].archives], data / "nturgb+d_skeletons"
    if all(path.is_file() for path in archives):
        return archives
    if folder.is_dir():
        return [folder]
    absent = " and ".join(path.name for path in archives if not path.is_file())
    raise DataError(
        f"{dataset} not found: expected {absent} in {data}, or a folder {folder}.",
        "Request it at https://rose1.ntu.edu.sg/dataset/actionRecognition/ (skeletons only) and put it there,"
        " or name what you have: --source ZIP_OR_FOLDER",
    )


def prepare_ntu(options: PrepareOptions, reporter: Reporter = SILENT) -> PrepareSummary:
    """Write the annotation pickle(s) of "ntu60" or "ntu120" from zips and folders of `.skeleton` texts, or from
    annotation pickles with raw 3-D joints, whose bodies were chosen by their authors.

    Files that cannot be used are set aside and listed, in the summary and in a report beside the output. Raises UsageError
    for invalid names and places, DataError when a source cannot be read, no clip is left, or more than the share
    `max_bad` of the files with an NTU name are bad.
    """
    kind = NTU[options.dataset]
    splits = choose_splits(kind.name, kind.splits, options.splits)
    options.check_place()
    official = {name: kind.official[name] for name in (*_OFFICIAL, *splits)}
    summary = options.summary(splits, official, persons=set())
    from_pickles = are_pickles(options.sources)
    if from_pickles and options.raw:
        raise UsageError("--raw reads .skeleton texts.", "Raw 3-D annotations are used as they are: --data FILE.pkl")
    clips = choose_clips(kind, list_records(options.sources) if from_pickles else list_texts(options.sources), summary)
    summary.notes += [OTHER_BODIES] if from_pickles else []
    none = "no file is named like an NTU sample (S001C002P003R002A013.skeleton)"
    if summary.left_out:
        none = f"all {summary.left_out} clips belong to setups after {kind.last_setup}, which {kind.name} leaves out"
    with options.writer(summary, none) as add, closing(_outcomes(clips, options, reporter)) as outcomes:
        for outcome in outcomes:
            if outcome.reason:
                summary.drop(outcome.entry.place, outcome.reason)
            else:
                add(outcome.record, _count(kind, outcome, summary))
    return summary


def choose_clips(kind: NtuDataset, listing: Listing, summary: PrepareSummary) -> list[Entry]:
    """The listed files that are clips of the data set, in order; all others are counted in the summary."""
    summary.set_aside += [*listing.foreign, *listing.duplicates]
    clips = []
    for entry in listing.entries:
        name = parse_name(entry.name)
        if name is None:
            summary.set_aside.append((entry.place, "its name is not an NTU sample name like S001C002P003R002A013"))
        elif name.setup > kind.last_setup:
            summary.left_out += 1
        elif entry.name in missing_samples():
            summary.missing_dropped += 1
        elif not 1 <= name.action <= kind.classes:
            summary.drop(entry.place, f"action {name.action} is none of the {kind.classes} of {kind.name}")
        else:
            clips.append(entry)
    return clips


def _count(kind: NtuDataset, outcome: Outcome, summary: PrepareSummary) -> list[str]:
    """Count a clip; return its splits."""
    name = parse_name(outcome.entry.name)
    assert name is not None and summary.persons is not None  # `choose_clips` takes no others
    own = [split_of(kind, benchmark, name) for benchmark in kind.benchmarks]
    splits = [split for split in own if split in summary.members]
    summary.keep(outcome.entry.name, name.action - 1, splits, frames=outcome.frames, empty=outcome.empty)
    summary.persons.add(name.person)
    return splits


def _outcomes(clips: Sequence[Entry], options: PrepareOptions, reporter: Reporter) -> Generator[Outcome, None, None]:
    if options.workers < 1:
        raise UsageError(f"Invalid number of workers: {options.workers}.", "Give --workers 1 or more.")
    chunks, advance = list(_chunks(clips)), None
    workers = map_in_order(partial(make_records, raw=options.raw), chunks, min(options.workers, len(chunks)))
    with ExitStack() as stack, closing(workers) as results:
        for outcomes in results:
            # The display has a thread, so it is opened after the processes are started: they are best forked from one.
            advance = advance or stack.enter_context(reporter.progress(f"prepare {options.dataset}", len(clips)))
            yield from outcomes
            advance(len(outcomes))


def _chunks(clips: Sequence[Entry]) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    for clip in clips:
        chunk.append(clip)
        if len(chunk) == _CHUNK_FILES or sum(entry.size for entry in chunk) > _CHUNK_BYTES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
