"""`.skeleton` texts (or raw 3-D annotations) -> annotation pickle: list, share out to processes, append in order, count.

The parent process lists and appends; workers read, normalise and pickle. Memory is flat: for all clips together only names
are held. (Annotations come in one pickle, which is held whole.)
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from stgcn_cli.data.ntu_annotations import OTHER_BODIES, are_pickles, list_records
from stgcn_cli.data.ntu_plan import Plan, choose, make_plan
from stgcn_cli.data.ntu_record import Outcome, make_records
from stgcn_cli.data.outputs import check_place, open_writer, place_splits
from stgcn_cli.data.pool import map_in_order
from stgcn_cli.data.prepare_summary import NtuSummary, Tally, report_path, write_report
from stgcn_cli.data.sources import Entry, list_texts
from stgcn_cli.errors import DataError, UsageError

_CHUNK_FILES, _CHUNK_BYTES = 8, 2 << 20  # one task for a worker: enough to hide the cost of sending it

Progress = Callable[[int, int], None]


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

    `out` is a file, or with format "mmaction0x" a folder; `splits` are benchmarks (None: all); `progress` hears (clips
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
    plan: Plan = tally.plan
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
