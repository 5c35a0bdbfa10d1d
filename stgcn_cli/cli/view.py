"""`stgcn view`: a clip or a skeleton layout to look at."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from stgcn_cli.cli import console, options
from stgcn_cli.errors import UsageError


def view(
    source: Annotated[
        str | None,
        Argument(metavar="INPUT", help="Any file of skeletons that `stgcn predict` reads, a zip or a folder of them."),
    ] = None,
    clip: Annotated[str | None, Option(metavar="NAME|INDEX", help="Which clip of many. Default: the first.")] = None,
    out: Annotated[
        Path | None, Option(help="A page to turn, scrub and play (.html), an animated .gif, a contact sheet (.png).")
    ] = None,
    checkpoint: Annotated[
        str | None,
        Option(
            "--checkpoint",
            "-c",
            help="Show what this model says of it: a file or a published name.",
            autocompletion=options.checkpoints,
        ),
    ] = None,
    layout: Annotated[
        str | None,
        Option(
            help="The skeleton: a name or a TOML file. Without INPUT it is drawn: .html, .png or .svg.",
            autocompletion=options.layouts,
        ),
    ] = None,
    edge_importance: Annotated[
        str | None,
        Option(
            metavar="CHECKPOINT",
            help="Lay what this model learned over the layout.",
            autocompletion=options.checkpoints,
        ),
    ] = None,
    block: Annotated[int | None, Option(help="Of this block alone, from 0. Default: the mean of all.", min=0)] = None,
    frames: Annotated[int | None, Option(help="Frames drawn in a .gif (120) or .png (12).", min=1)] = None,
    fps: Annotated[float, Option(help="Frames a second of the clip.", min=0.1, max=1000)] = 30.0,
    device: Annotated[str, Option(help="auto, cpu or cuda.", autocompletion=options.devices)] = "auto",
    open_it: Annotated[bool, Option("--open", help="Show it in the browser.")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only warnings and the file's name.")] = False,
) -> None:
    """Look at a clip or a skeleton.

    Example: stgcn view clip.skeleton --out clip.gif
    """
    console.set_quiet(quiet)
    _check_together(source, clip, checkpoint, layout, edge_importance, block)
    if source is None:
        from stgcn_cli.viz.view import view_layout

        made = view_layout(layout, out, edge_importance, block, console.reporter())
    else:
        from stgcn_cli.data.readers.inputs import expand
        from stgcn_cli.runs.resolve import require

        expand([source])  # missing files are refused before torch is imported
        if checkpoint:
            require(checkpoint)
        from stgcn_cli.viz import view as viewing

        wishes = viewing.ViewOptions(
            source=source,
            clip=clip,
            out=out,
            checkpoint=checkpoint,
            layout=layout,
            frames=frames,
            rate=fps,
            device=device,
        )
        made = viewing.view(wishes, console.reporter())
    console.say(str(made))
    if open_it:
        import webbrowser

        webbrowser.open(made.resolve().as_uri())


def _check_together(
    source: str | None,
    clip: str | None,
    checkpoint: str | None,
    layout: str | None,
    learned: str | None,
    block: int | None,
) -> None:
    if source is None and layout is None and learned is None:
        raise UsageError("What shall be shown?", "Type: stgcn view FILE, or: stgcn view --layout ntu")
    if source is not None and learned is not None:
        raise UsageError("--edge-importance is drawn over a layout, not over a clip.", "Leave INPUT out.")
    if source is None and (clip or checkpoint):
        raise UsageError("--clip and --checkpoint need an INPUT.", "Type: stgcn view FILE --checkpoint CHECKPOINT")
    if block is not None and learned is None:
        raise UsageError("--block needs --edge-importance CHECKPOINT.")
