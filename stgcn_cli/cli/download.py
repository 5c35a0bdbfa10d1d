"""`stgcn download`: published weights, training logs and annotations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from stgcn_cli.cli import console, options
from stgcn_cli.config import catalog
from stgcn_cli.errors import CheckpointError, UsageError
from stgcn_cli.io.files import cache_folder

if TYPE_CHECKING:
    from stgcn_cli.config.published_files import Item


def download_command(
    names: Annotated[
        list[str] | None,
        Argument(
            help="Presets, published names, or annotation files.",
            autocompletion=options.presets,
        ),
    ] = None,
    everything: Annotated[bool, Option("--all", help="Every published system.")] = False,
    listed: Annotated[bool, Option("--list", "-l", help="What there is, and what of it is in the cache.")] = False,
    logs: Annotated[bool, Option("--logs", help="The training logs too.")] = False,
    annotations: Annotated[bool, Option("--annotations", help="The 2-D annotations too (gigabytes).")] = False,
    verify: Annotated[bool, Option("--verify", help="Check what is in the cache; fetch nothing.")] = False,
    cache_dir: Annotated[
        Path | None, Option("--cache-dir", help="Default: $STGCN_CACHE, else where your system keeps caches.")
    ] = None,
    base_url: Annotated[
        str | None,
        Option(metavar="URL", help=f"A mirror of {catalog.BASE_URL} (for BABEL's AGCN: of {catalog.BABEL_URL})"),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fetch published weights.

    Example: stgcn download babel60-wfl
    """
    console.set_quiet(quiet)
    from stgcn_cli.config import published_files

    cache = cache_dir or cache_folder()
    if listed:
        _render_list(
            published_files.choose(names or [], everything, True, False) or published_files.everything(), cache, as_json
        )
    elif verify:
        _verify(
            published_files.choose(names or [], everything, logs, annotations) or published_files.everything(),
            cache,
            as_json,
        )
    else:
        items = published_files.choose(names or [], everything, logs, annotations)
        if not items:
            raise UsageError("What is to be downloaded?", "Name it, or see: stgcn download --list")
        _fetch(items, cache, base_url, as_json)


def _fetch(items: list["Item"], cache: Path, base_url: str | None, as_json: bool) -> None:
    from stgcn_cli.config import published_files

    fetched, failed = published_files.fetch_all(items, cache, base_url, console.reporter())
    entries = [_describe(item, cache) for item, _ in fetched]
    if as_json:
        console.print_json({"files": entries, "failed": [error.message for error in failed]})
    elif entries:
        rows = [[e["name"], e["kind"], _size(e["bytes"]), e["verdict"], e["path"]] for e in entries]
        console.table("Downloaded", ["name", "kind", "size", "check", "file"], rows)
    for error in failed[:-1]:
        console.warn(error.message)
    if failed:
        raise failed[-1]


def _verify(items: list["Item"], cache: Path, as_json: bool) -> None:
    entries = [_describe(item, cache) for item in items]
    there = [entry for entry in entries if entry["path"]]
    if as_json:
        console.print_json(there)
    else:
        rows = [[e["name"], e["kind"], "right" if e["right"] else "DAMAGED", e["verdict"], e["path"]] for e in there]
        console.table(f"In the cache {cache}", ["name", "kind", "", "check", "file"], rows)
    damaged = [entry for entry in there if not entry["right"]]
    if damaged:
        raise CheckpointError(
            f"{damaged[0]['path']} {damaged[0]['verdict']}." + _more(damaged),
            "Fetch it again: stgcn download " + " ".join(dict.fromkeys(entry["name"] for entry in damaged)),
        )


def _more(damaged: list[dict[str, Any]]) -> str:
    return f" {len(damaged)} files are damaged." if len(damaged) > 1 else ""


def _render_list(items: list["Item"], cache: Path, as_json: bool) -> None:
    entries = [_describe(item, cache) for item in items]
    if as_json:
        console.print_json({"cache": cache, "files": entries})
        return
    rows = [
        [e["name"], e["kind"], _percent(e["top1"]), _percent(e["mean_class"]), _size(e["bytes"]) if e["bytes"] else _about(e), "yes" if e["path"] else "no"]
        for e in entries
    ]  # fmt: skip
    console.table("Published files", ["name", "kind", "top-1", "mean class", "size", "in cache"], rows,
                  optional=["mean class", "top-1"])  # fmt: skip
    console.note(
        f"The cache is {cache}. Annotations are gigabytes; stgcn download NAME --annotations shows how far it is."
    )


def _describe(item: "Item", cache: Path) -> dict[str, Any]:
    from stgcn_cli.config import published_files

    path, entry = item.found(cache), catalog.find(item.name)
    right, words = published_files.verdict(item, cache)
    shown = entry if item.kind == "weights" else None
    return {
        "name": item.name,
        "kind": item.kind,
        "published_as": Path(item.paths[0]).name,
        "top1": shown.top1 if shown else None,
        "mean_class": shown.mean_class if shown else None,
        "bytes": path.stat().st_size if path else None,
        "about_megabytes": shown.megabytes if shown else None,
        "path": str(path) if path else None,
        "right": right if path else None,
        "verdict": words,
    }


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _about(entry: dict[str, Any]) -> str:
    return f"about {entry['about_megabytes']:g} MB" if entry["about_megabytes"] else "-"


def _size(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e6:,.1f} MB" if value >= 100_000 else f"{value / 1e3:,.1f} kB"
