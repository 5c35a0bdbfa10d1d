"""`stgcn prepare`: raw data sets -> annotation pickles."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from stgcn_cli.cli import console, options
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.text import nearest

if TYPE_CHECKING:
    from stgcn_cli.data.summary import PrepareSummary

_LISTED = 10  # set-aside files shown; the report has them all


def _offered(incomplete: str) -> list[str]:
    return options.one_of(*_DATASETS)(incomplete)


def prepare(
    dataset: Annotated[
        str, Argument(help="ntu60, ntu120, ntu60-2d, ntu120-2d, babel60 or babel120.", autocompletion=_offered)
    ],
    source: Annotated[
        list[Path] | None,
        Option("--source", "-s", help="Zip, tar, folder or pickle to read; repeatable. Default: the data folder's."),
    ] = None,
    out: Annotated[
        Path | None, Option(help="File to write (a folder for --format list). Default: <data>/<dataset>.pkl")
    ] = None,
    data: Annotated[Path, Option(envvar="STGCN_DATA", help="Data folder.")] = Path("data"),
    workers: Annotated[int | None, Option(help="Processes. Default: one for each CPU core.", min=1)] = None,
    splits: Annotated[str | None, Option(help="Benchmarks or splits, for instance xsub,xview. Default: all.")] = None,
    format: Annotated[
        str,
        Option(
            help="single: one file with all splits; list: a folder of train.pkl and val.pkl.",
            parser=options.file_format,
            metavar="single|list",
            autocompletion=options.one_of(*options.PICKLE_FORMATS),
        ),
    ] = "single",
    max_bad: Annotated[float, Option(help="Share of bad files or records that is an error.", min=0, max=1)] = 0.5,
    download: Annotated[bool, Option("--download", help="Fetch published 2-D annotations that are not there.")] = False,
    base_url: Annotated[str | None, Option("--base-url", help="A mirror to download from.")] = None,
    as_json: Annotated[bool, Option("--json", help="The summary for scripts.")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only warnings and results.")] = False,
) -> None:
    """Make the annotation file of a published data set.

    Example: stgcn prepare ntu60
    """
    console.set_quiet(quiet)
    if dataset not in _DATASETS:
        known = list(_DATASETS)
        raise UsageError(f"There is no data set {dataset!r}.{nearest(dataset, known)}", f"Known: {', '.join(known)}.")
    find, make = _DATASETS[dataset]
    target = out or data / (f"{dataset}.pkl" if format == "single" else dataset)
    wanted = None if splits is None else [name.strip() for name in splits.split(",") if name.strip()]
    if download or base_url:
        source = source or _download(dataset, data, base_url)
    job = _Job(dataset, source or find(dataset, data), target, format, workers or _cores(), wanted, max_bad)
    with ExitStack() as stack:
        summary = make(job, _progress(dataset, stack))
    _render(summary, as_json)


@dataclass(frozen=True)
class _Job:
    dataset: str
    sources: list[Path]
    out: Path
    format: str
    workers: int
    splits: list[str] | None
    max_bad: float


def _prepare_ntu(job: _Job, progress: Callable[[int, int], None]) -> "PrepareSummary":
    from stgcn_cli.data.prepare.ntu import prepare_ntu

    return prepare_ntu(
        job.dataset, job.sources, job.out, format=job.format, workers=job.workers,
        splits=job.splits, max_bad=job.max_bad, progress=progress,
    )  # fmt: skip


def _find_ntu(dataset: str, data: Path) -> list[Path]:
    """The official archives in the data folder, else the folder they unpack to; raises DataError saying how to get them."""
    from stgcn_cli.data.ntu.names import NTU

    archives, folder = [data / name for name in NTU[dataset].archives], data / "nturgb+d_skeletons"
    if all(path.is_file() for path in archives):
        return archives
    if folder.is_dir():
        return [folder]
    absent = " and ".join(path.name for path in archives if not path.is_file())
    hint = (
        "Request it at https://rose1.ntu.edu.sg/dataset/actionRecognition/ (skeletons only) and put it there,"
        " or name what you have: --source ZIP_OR_FOLDER"
    )
    raise DataError(f"{dataset} is made from {absent} in {data}, or from a folder {folder}; neither is there.", hint)


def _prepare_2d(job: _Job, progress: Callable[[int, int], None]) -> "PrepareSummary":
    from stgcn_cli.data.prepare.hrnet import prepare_2d

    return prepare_2d(
        job.dataset, job.sources, job.out, format=job.format, splits=job.splits, max_bad=job.max_bad, progress=progress
    )


def _find_2d(dataset: str, data: Path) -> list[Path]:
    from stgcn_cli.data.prepare.hrnet import find_2d

    return find_2d(dataset, data)


def _download(dataset: str, data: Path, base_url: str | None) -> list[Path]:
    """What the data folder has, else the published files, in the cache; raises UsageError where nothing is published."""
    from stgcn_cli.config.published_files import fetch_annotations
    from stgcn_cli.data.prepare.hrnet import published_names
    from stgcn_cli.io.files import cache_folder

    find, make = _DATASETS[dataset]
    try:
        return find(dataset, data)
    except DataError as error:
        if make is not _prepare_2d:
            raise UsageError(f"{dataset} cannot be downloaded: its owners want to be asked.", error.hint) from error
    return [fetch_annotations(name, cache_folder(), base_url, console.reporter()) for name in published_names(dataset)]


def _prepare_babel(job: _Job, progress: Callable[[int, int], None]) -> "PrepareSummary":
    from stgcn_cli.data.prepare.babel import prepare_babel

    return prepare_babel(
        job.dataset, job.sources, job.out, format=job.format, splits=job.splits, max_bad=job.max_bad,
        progress=progress, reporter=console.reporter(),
    )  # fmt: skip


def _find_babel(dataset: str, data: Path) -> list[Path]:
    from stgcn_cli.data.prepare.babel import find_release

    return find_release(dataset, data)


# One line a data set: where its raw files are looked for, and what makes the pickle.
_Find = Callable[[str, Path], list[Path]]
_Make = Callable[[_Job, Callable[[int, int], None]], "PrepareSummary"]
_DATASETS: dict[str, tuple[_Find, _Make]] = {
    "ntu60": (_find_ntu, _prepare_ntu),
    "ntu120": (_find_ntu, _prepare_ntu),
    "ntu60-2d": (_find_2d, _prepare_2d),
    "ntu120-2d": (_find_2d, _prepare_2d),
    "babel60": (_find_babel, _prepare_babel),
    "babel120": (_find_babel, _prepare_babel),
}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _progress(dataset: str, stack: ExitStack) -> Callable[[int, int], None]:
    """Opens the display at the first news: it has a thread, and processes are best started before there are any."""
    advance: Callable[[int], None] | None = None
    before = 0

    def hear(done: int, total: int) -> None:
        nonlocal advance, before
        if advance is None:
            advance = stack.enter_context(console.progress(f"prepare {dataset}", total))
        advance(done - before)
        before = done

    return hear


def _render(summary: "PrepareSummary", as_json: bool) -> None:
    if as_json:
        console.print_json(summary.as_dict())
    else:
        console.table(f"Prepared {summary.dataset}", ["", "here", "official"], _rows(summary))
        if summary.set_aside:
            console.gap()
            console.table("Set aside", ["where", "reason"], _set_aside(summary))
    for warning in summary.warnings:
        console.warn(warning)


def _set_aside(summary: "PrepareSummary") -> list[list[str]]:
    rows = [[place, reason] for place, reason in summary.set_aside[:_LISTED]]
    more = len(summary.set_aside) - len(rows)
    return [*rows, [f"and {more:,} more", f"see {summary.report}"]] if more else rows


def _rows(summary: "PrepareSummary") -> list[list[str]]:
    counts = [*summary.counts, ("frames", summary.frames, None), ("set aside", len(summary.set_aside), None)]
    width = max(len(f"{here:,}") for _, here, _ in counts)  # files stand below them, on the left
    rows = [[name, f"{here:{width},}", "" if official is None else f"{official:,}"] for name, here, official in counts]
    rows += [["written", path, ""] for path in summary.outputs]
    return [*rows, ["report", summary.report, ""], ["time", f"{summary.seconds:.1f} s", ""]]
