"""`stgcn view`: draw a clip or a skeleton layout."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from stgcn_cli.cli import console, options


def view(
    source: Annotated[
        str | None,
        Argument(metavar="INPUT", help="Any file of skeletons that `stgcn predict` reads, a zip or a folder of them."),
    ] = None,
    clip: Annotated[str | None, Option(metavar="NAME|INDEX", help="The clip to draw. Default: the first.")] = None,
    out: Annotated[
        Path | None, Option(help="An interactive page (.html), an animated .gif, or a contact sheet (.png).")
    ] = None,
    checkpoint: Annotated[
        str | None,
        Option(
            "--checkpoint",
            "-c",
            help="Show the prediction of this model: a file or a published name.",
            autocompletion=options.checkpoints,
        ),
    ] = None,
    layout: Annotated[
        str | None,
        Option(
            help="The skeleton: a name or a TOML file. Without INPUT it is drawn: .html, .png, .svg or .pdf.",
            autocompletion=options.layouts,
        ),
    ] = None,
    axes: options.AxesOption = None,
    score_last: options.ScoreLastOption = None,
    image_size: options.ImageSizeOption = None,
    max_persons: options.MaxPersonsOption = None,
    source_format: options.FromOption = None,
    edge_importance: Annotated[
        str | None,
        Option(help="Draw the edge importance of this model over the layout.", autocompletion=options.checkpoints),
    ] = None,
    block: Annotated[
        int | None, Option(help="Block of --edge-importance, from 0. Default: the mean of all.", min=0)
    ] = None,
    frames: Annotated[int | None, Option(help="Frames drawn in a .gif (120) or .png (12).", min=1)] = None,
    fps: Annotated[float, Option(help="Frames per second of the clip.", min=0.1, max=1000)] = 30.0,
    window: options.Window = None,
    stride: options.Stride = None,
    device: options.Device = "auto",
    open_it: Annotated[bool, Option("--open", help="Open the page in the browser.")] = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw a clip or a skeleton layout.

    Example: stgcn view clip.skeleton --out clip.gif
    """
    console.set_results_aside(out)
    from stgcn_cli.viz.view import ViewOptions, view

    path = view(
        ViewOptions(
            source=source, clip=clip, out=out, checkpoint=checkpoint, layout=layout, edge_importance=edge_importance,
            block=block, frames=frames, rate=fps, device=device, window=window, stride=stride, force=force,
            read_as=options.reading(
                axes=axes, score_last=score_last, image_size=image_size, layout=layout, max_persons=max_persons,
                format=source_format,
            ),
        ),
        console.reporter(),
    )  # fmt: skip
    console.say(str(path))
    if open_it:
        console.open_in_browser(path)
