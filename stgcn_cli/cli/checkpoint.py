"""`stgcn checkpoint`: what is inside a checkpoint, and the same for MMAction2."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from stgcn_cli.cli import console, options
from stgcn_cli.cli.commands import Command
from stgcn_cli.errors import CheckpointError

checkpoint = typer.Typer(
    help="Inspect a checkpoint, or convert it for other programs.\n\nExample: stgcn checkpoint inspect best.pth",
    no_args_is_help=True,
)

_MISSING = "See the run folder, or `stgcn train`."
_File = Annotated[
    Path, typer.Argument(help="A checkpoint of stgcn, MMAction2, PYSKL or the original ST-GCN code, or bare weights.")
]


@checkpoint.command("inspect", cls=Command)
def inspect(file: _File, as_json: options.Json = False, quiet: options.Quiet = False) -> None:
    """Show what a checkpoint contains.

    Example: stgcn checkpoint inspect best.pth
    """
    options.check_there(CheckpointError, [file], _MISSING)
    from stgcn_cli.runs import checkpoint as checkpoints
    from stgcn_cli.runs import inspect as inspection

    described = inspection.describe(checkpoints.read(file, hashed=True))
    if as_json:
        console.print_json(described)
    else:
        console.table(str(file), ["", ""], _rows(described))


@checkpoint.command("convert", cls=Command)
def convert(
    file: _File,
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    optimizer: Annotated[
        bool, typer.Option("--optimizer", help="Keep the optimizer state, to resume training.")
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Put the sha256 prefix into the name, as published names have it.")
    ] = False,
    form: Annotated[
        Literal["mmaction2", "2s-agcn"],
        typer.Option(help="mmaction2 (0.x), or 2s-agcn: the code of AGCN's authors, and BABEL's."),
    ] = "mmaction2",
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a checkpoint in the form of another program.

    Example: stgcn checkpoint convert best.pth mine.pth
    """
    options.check_there(CheckpointError, [file], _MISSING)
    from stgcn_cli.runs import checkpoint as checkpoints
    from stgcn_cli.runs import convert as conversion

    console.set_results_aside(out)
    read = checkpoints.read(file)
    written = conversion.convert(read, out, form=form, optimizer=optimizer, publish=publish, force=force)
    console.say(str(written))


def _rows(d: dict[str, Any]) -> list[list[object]]:
    skeleton, names = d["skeleton"], d["classes"]
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    layouts, ways = " or ".join(skeleton["layouts"]), " or ".join(skeleton["graph"])
    likely = " or ".join(d["likely_presets"])
    rows: list[list[object]] = [
        ["kind", d["kind"]],
        ["likely preset", f"{likely} ({d['identified_by']})" if likely else "-"],
        ["classes", f"{d['num_classes']}" + (f": {shown}" if names else "")],
        ["skeleton", f"{skeleton['joints']} joints" + (f" ({layouts}, {ways})" if layouts else "")],
        ["parameters", f"{d['parameters']:,} ({', '.join(d['dtypes'])})"],
        ["epoch", "-" if d["epoch"] is None else d["epoch"]],
        ["optimizer state", "yes" if d["optimizer"] else "no"],
        ["sha256", f"{d['sha256_prefix']}…"],
        ["size", f"{d['bytes'] / 1e6:,.1f} MB"],
    ]
    return rows + [[f"meta {key}", value] for key, value in _flat(d["meta"]) if key != "epoch"]


def _flat(meta: dict[str, Any]) -> list[tuple[str, object]]:
    """What stands in a group, each by itself: best.top1_acc."""
    groups = {key: value if isinstance(value, dict) else {"": value} for key, value in meta.items()}
    return [(f"{key}.{name}".rstrip("."), value) for key, group in groups.items() for name, value in group.items()]
