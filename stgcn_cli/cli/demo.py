"""`stgcn demo`: the whole pipeline on synthetic clips."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from stgcn_cli.cli import console, options
from stgcn_cli.errors import UsageError

if TYPE_CHECKING:
    from stgcn_cli.diagnostics.demo import DemoResult


def demo(
    folder: Annotated[Path, Option("--out", help="Output folder.")] = Path("stgcn-demo"),
    epochs: Annotated[int | None, Option(help="Epochs to train; fewer are faster and less accurate.", min=1)] = None,
    seed: Annotated[int, Option(help="Seed of the clips, the initial weights and the order.", min=0)] = 0,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Prepare, train and evaluate on synthetic clips.

    Example: stgcn demo
    """
    if folder.is_file():
        raise UsageError(f"{folder} is a file; --out names a folder.", "For example: stgcn demo --out stgcn-demo")
    from stgcn_cli.diagnostics import demo as demonstration

    _render(demonstration.show(folder, epochs, seed, device, console.reporter()), folder)


def _render(shown: "DemoResult", folder: Path) -> None:
    rows: list[list[object]] = [
        ["clips", shown.clips],
        ["trained on", f"{shown.train_clips} clips of {shown.train_subjects} subjects"],
    ]
    rows += [["evaluated on", f"{shown.val_clips} clips of {shown.val_subjects} other subjects"]]
    rows += [[f"{name} on these", f"{100 * value:.1f} %"] for name, value in shown.metrics.items()]
    rows += [["run folder", shown.run], ["scores", shown.result], ["time", f"{shown.seconds:.0f} s"]]
    console.table("Demo on synthetic clips", ["", ""], rows)
    for line in (
        "The installation works. Next:",
        f"  open {shown.run / 'report.html'} in a browser",
        f"  open {shown.confusion}",
        f"  stgcn eval {shown.run / 'best.pth'} --data {folder} --out scores.csv",
        "  stgcn presets                          the published experiments",
        "  stgcn prepare ntu60 --source ZIP       your copy of NTU RGB+D, then",
        "  stgcn train --preset ntu60-xsub-3d",
    ):
        console.note(line)
