"""`stgcn presets`: which experiments there are, and what is in one."""

from typing import Annotated, Any

import typer

from stgcn_cli.cli import console, options
from stgcn_cli.cli.commands import Command, Group

presets = typer.Typer(
    cls=Group,
    help="List the presets, or show one.\n\nExample: stgcn presets show ntu60-xsub-3d",
    invoke_without_command=True,
)

_COLUMNS = ["preset", "network", "skeleton", "GPUs", "top-1", "mean class", "weights top-1", "weights mean class",
            "AGCN top-1", "AGCN mean class"]  # fmt: skip
_NAMES = ["preset", "data", "class counts", "published as"]


@presets.callback()
def list_presets(context: typer.Context, as_json: options.Json = False, quiet: options.Quiet = False) -> None:
    """List the presets, or show one.

    Example: stgcn presets show ntu60-xsub-3d
    """
    if context.invoked_subcommand:
        return
    from stgcn_cli.config import presets as library

    entries = [_describe(name) for name in library.names()]
    if as_json:
        console.print_json(entries)
        return
    console.table(
        "Presets (accuracies in %, as published)", _COLUMNS, [[_cell(e[c]) for c in _COLUMNS] for e in entries],
        optional=_COLUMNS[:5:-1],
    )  # fmt: skip
    console.gap()
    console.table("Names", _NAMES, [[_cell(e[c]) for c in _NAMES] for e in entries])
    links = [[e["preset"], link] for e in entries for link in e["links"]]
    console.gap()
    console.table("Published files", ["preset", "link"], links, whole=True)
    console.note(
        "top-1 and mean class: as published (babel*-agcn: in the paper). weights: what the released weights give, by "
        "their page's rounded figures, where that differs. class counts: by what the published run weighted its loss."
    )


@presets.command("show", cls=Command)
def show(
    name: Annotated[
        str, typer.Argument(help="A preset, a published name, or a TOML file.", autocompletion=options.presets)
    ],
    settings: options.Settings = None,
    quiet: options.Quiet = False,
) -> None:
    """Print a preset with all its keys.

    Example: stgcn presets show ntu60-xsub-3d
    """
    from stgcn_cli.config import presets as library

    console.say(library.to_toml(library.load(name, settings or [])).rstrip())


def _describe(name: str) -> dict[str, Any]:
    from stgcn_cli.config import catalog
    from stgcn_cli.config import presets as library

    preset, published = library.load(name), catalog.find(name)
    skeleton = "3d" if "z" in preset.data.channels else "2d"
    links = [f"{published.base}/{path}" for path in (published.weights, *published.logs)] if published else []
    released = (published.released if published else None) or (None, None)
    return {
        "preset": name,
        "network": preset.model.name,
        "description": preset.description,
        "skeleton": skeleton,
        "GPUs": published.gpus if published else None,
        "top-1": published.top1 if published else None,
        "mean class": published.mean_class if published else None,
        "AGCN top-1": published.agcn_top1 if published else None,
        "AGCN mean class": published.agcn_mean_class if published else None,
        "weights top-1": released[0],
        "weights mean class": released[1],
        "class counts": (published.class_counts if published else "") or None,
        "data": preset.data.dataset,
        "published as": published.name if published else None,
        "links": links,
    }


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
