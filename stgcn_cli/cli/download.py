"""`stgcn download`: published weights, training logs and annotations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from stgcn_cli.cli import console, options
from stgcn_cli.config import catalog
from stgcn_cli.errors import CheckpointError, UsageError
from stgcn_cli.io.own_files import cache_folder
from stgcn_cli.io.text import size

if TYPE_CHECKING:
    from stgcn_cli.config.published_files import Item


def download_command(
    names: Annotated[
        list[str] | None,
        Argument(help="Presets, published names, or annotation files.", autocompletion=options.presets),
    ] = None,
    everything: Annotated[bool, Option("--all", help="Every published system.")] = False,
    listed: Annotated[
        bool, Option("--list", "-l", help="List what is published, and what of it is in the cache.")
    ] = False,
    logs: Annotated[bool, Option("--logs", help="Also the training logs.")] = False,
    annotations: Annotated[bool, Option("--annotations", help="Also the 2-D annotations (gigabytes).")] = False,
    verify: Annotated[bool, Option("--verify", help="Verify the files in the cache; download nothing.")] = False,
    cache_dir: Annotated[
        Path | None,
        Option("--cache-dir", help="Cache folder. Default: $STGCN_CACHE, else the cache folder of your system."),
    ] = None,
    base_url: Annotated[
        str | None,
        Option(metavar="URL", help=f"A mirror of {catalog.BASE_URL} (for BABEL's AGCN: of {catalog.BABEL_URL})"),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Download published weights.

    Example: stgcn download babel60-wfl
    """
    from stgcn_cli.config import published_files

    cache = cache_dir or cache_folder()
    items = published_files.choose(names or [], everything, logs or listed, annotations and not listed)
    if listed:
        _render_list(items or published_files.everything(), cache, as_json)
    elif verify:
        _verify(items or published_files.everything(), cache, as_json)
    elif items:
        _fetch(items, cache, base_url, as_json)
    else:
        raise UsageError("Nothing to download.", "Give a name. List them: stgcn download --list")


def _fetch(items: list["Item"], cache: Path, base_url: str | None, as_json: bool) -> None:
    from stgcn_cli.config import published_files

    fetched, failed = published_files.fetch_all(items, cache, base_url, console.reporter())
    entries = [_describe(item, cache) for item, _ in fetched]
    if as_json:
        console.print_json({"files": entries, "failed": [error.message for error in failed]})
    elif entries:
        rows = [[e["name"], e["kind"], size(e["bytes"]), e["verdict"], e["path"]] for e in entries]
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
        rows = [[e["name"], e["kind"], "ok" if e["right"] else "DAMAGED", e["verdict"], e["path"]] for e in there]
        console.table(f"In the cache {cache}", ["name", "kind", "", "check", "file"], rows)
    damaged = [entry for entry in there if not entry["right"]]
    if damaged:
        more = f" {len(damaged)} files are damaged." if len(damaged) > 1 else ""
        raise CheckpointError(
            f"{damaged[0]['path']} {damaged[0]['verdict']}.{more}",
            "Fetch it again: stgcn download " + " ".join(dict.fromkeys(entry["name"] for entry in damaged)),
        )


def _render_list(items: list["Item"], cache: Path, as_json: bool) -> None:
    entries = [_describe(item, cache) for item in items]
    if as_json:
        console.print_json({"cache": cache, "files": entries})
        return
    rows = [
        [e["name"], e["kind"], *("-" if e[key] is None else f"{e[key]:.2f}" for key in ("top1", "mean_class")),
         size(e["bytes"]) if e["bytes"] else f"about {e['about_megabytes']:g} MB" if e["about_megabytes"] else "-",
         "yes" if e["path"] else "no"]
        for e in entries
    ]  # fmt: skip
    console.table("Published files", ["name", "kind", "top-1", "mean class", "size", "in cache"], rows,
                  optional=["mean class", "top-1"])  # fmt: skip
    console.note(
        f"The cache is {cache}. Annotations are gigabytes; stgcn download NAME --annotations shows the progress."
    )


def _describe(item: "Item", cache: Path) -> dict[str, Any]:
    from stgcn_cli.config import published_files

    path, shown = item.found(cache), catalog.find(item.name) if item.kind == "weights" else None
    right, words = published_files.verdict(item, cache)
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
