"""`stgcn prepare`: raw data sets -> annotation pickles."""

import importlib
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from stgcn_cli.cli import console, options
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.files import is_stream
from stgcn_cli.io.text import nearest

if TYPE_CHECKING:
    from stgcn_cli.data.prepare.options import PrepareOptions, PrepareSummary
    from stgcn_cli.io.reporter import Reporter

    Find = Callable[[str, Path], list[Path]]  # the raw files in a data folder
    Make = Callable[[PrepareOptions, Reporter], PrepareSummary]

_DATASETS = {  # the module of stgcn_cli.data.prepare that makes each
    "ntu60": "ntu",
    "ntu120": "ntu",
    "ntu60-2d": "hrnet",
    "ntu120-2d": "hrnet",
    "babel60": "babel",
    "babel120": "babel",
    "kinetics-skeleton": "kinetics",
}
_LISTED = 10  # set-aside files shown; the report has them all


def prepare(
    dataset: Annotated[
        str,
        Argument(
            help="ntu60, ntu120, ntu60-2d, ntu120-2d, babel60, babel120 or kinetics-skeleton.",
            autocompletion=options.one_of(*_DATASETS),
        ),
    ],
    source: Annotated[
        list[Path] | None,
        Option(
            "--source", "-s", help="Zip, tar, folder or pickle to read; repeatable. Default: found in the data folder."
        ),
    ] = None,
    out: Annotated[
        Path | None, Option(help="File to write (a folder for --format list). Default: <data>/<dataset>.pkl")
    ] = None,
    data: Annotated[Path, Option(envvar="STGCN_DATA", help="Data folder.")] = Path("data"),
    workers: Annotated[int | None, Option(help="Number of processes. Default: one per CPU core.", min=1)] = None,
    splits: Annotated[str | None, Option(help="Benchmarks or splits, for example xsub,xview. Default: all.")] = None,
    format: Annotated[
        Literal["single", "list"],
        Option(help="single: one file with all splits; list: a folder of train.pkl and val.pkl."),
    ] = "single",
    max_bad: Annotated[float, Option(help="Share of bad files or records that is an error.", min=0, max=1)] = 0.5,
    raw: Annotated[
        bool, Option("--raw", help="NTU: raw coordinates, for the presets of PYSKL's recipes; <data>/<dataset>-raw.pkl")
    ] = False,
    download: Annotated[bool, Option("--download", help="Download missing published 2-D annotations.")] = False,
    base_url: options.BaseUrl = None,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the annotation pickle of a published data set.

    Example: stgcn prepare ntu60
    """
    console.set_results_aside(out)
    find, make = _functions_of(dataset)
    if raw and _DATASETS[dataset] != "ntu":
        raise UsageError(f"--raw is for ntu60 and ntu120, not for {dataset}.")
    target = f"{dataset}-raw" if raw else dataset
    from stgcn_cli.data.prepare.options import PrepareOptions

    place = out or data / (f"{target}.pkl" if format == "single" else target)
    summary = make(
        PrepareOptions(
            dataset=dataset,
            sources=source or (_download(dataset, data, base_url) if download or base_url else find(dataset, data)),
            out=place,
            raw=raw,
            format=format,
            splits=None if splits is None else [name.strip() for name in splits.split(",") if name.strip()],
            workers=workers
            or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1),
            max_bad=max_bad,
            force=force,
        ),
        console.reporter(),
    )
    if as_json:
        console.print_json(summary.as_dict())
    else:
        _show(summary)
    for warning in summary.warnings:
        console.warn(warning)
    if not (as_json or is_stream(place)):
        _note_next(summary, target, place)


def _functions_of(dataset: str) -> "tuple[Find, Make]":
    if dataset not in _DATASETS:
        known = list(_DATASETS)
        raise UsageError(f"Unknown data set {dataset!r}.{nearest(dataset, known)}", f"Known: {', '.join(known)}.")
    name = _DATASETS[dataset]
    module = importlib.import_module(f"stgcn_cli.data.prepare.{name}")
    return getattr(module, f"find_{name}"), getattr(module, f"prepare_{name}")


def _download(dataset: str, data: Path, base_url: str | None) -> list[Path]:
    """The files in the data folder, else the published ones, in the cache. Raises UsageError where none are published."""
    from stgcn_cli.config.catalog import find_annotations
    from stgcn_cli.config.published_files import annotations_of, fetch_item
    from stgcn_cli.io.own_files import cache_folder

    find, _ = _functions_of(dataset)
    try:
        return find(dataset, data)
    except DataError as error:
        if _DATASETS[dataset] != "hrnet":
            raise UsageError(f"{dataset} cannot be downloaded: access must be requested.", error.hint) from error
    items = map(annotations_of, find_annotations(dataset))
    return [fetch_item(item, cache_folder(), base_url, console.reporter()) for item in items]


def _note_next(summary: "PrepareSummary", dataset: str, place: Path) -> None:
    """Name the command that trains on what was written, where a preset is for these splits of the data set."""
    from stgcn_cli.config import presets

    for name in presets.names():
        recipe = presets.load(name).data
        if recipe.dataset == dataset and all(summary.split_sizes.get(split) for split in (recipe.train, recipe.val)):
            console.note(f"Next: stgcn train --preset {name} --data {shlex.quote(str(place))}")
            return


def _show(summary: "PrepareSummary") -> None:
    counts = [*summary.counts, ("frames", summary.frames, None), ("set aside", len(summary.set_aside), None)]
    width = max(len(f"{here:,}") for _, here, _ in counts)  # paths are below the counts, on the left
    rows = [[name, f"{here:{width},}", "" if official is None else f"{official:,}"] for name, here, official in counts]
    rows += [["written", path, ""] for path in summary.outputs]
    rows += [["report", summary.report, ""]] if summary.report else []
    rows += [["time", f"{summary.seconds:.1f} s", ""]]
    console.table(f"Prepared {summary.dataset}", ["", "here", "official"], rows)
    if summary.set_aside:
        listed = [list(pair) for pair in summary.set_aside[:_LISTED]]
        if more := len(summary.set_aside) - len(listed):
            listed.append([f"and {more:,} more", f"see {summary.report or '--json'}"])
        console.gap()
        console.table("Set aside", ["where", "reason"], listed)
