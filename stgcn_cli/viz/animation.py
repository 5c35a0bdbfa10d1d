"""Clips as an animated GIF and as a contact sheet in PNG. All frames share one view, with equal scales of both axes.

Shapes: M persons, T frames, V joints.
"""

from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.io.files import atomic_write
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import shortened
from stgcn_cli.viz.plots import new_figure
from stgcn_cli.viz.skeleton import Motion, bone_sides, person_colours, picked, projected

GIF_FRAMES, SHEET_FRAMES = 120, 12
_WIDTH, _DPI = 320, 100  # pixels of a frame of the GIF
_TITLE = 0.5  # inches above the panels
_CENTISECOND = 0.01  # the unit of time in a GIF; browsers slow down frames shorter than two
_GREY = "#7a7f87"


def write_gif(
    motion: Motion, path: Path, caption: str = "", frames: int = GIF_FRAMES, reporter: Reporter = SILENT
) -> int:
    """Write `frames` frames of the motion (all where there are fewer) as an endless loop at its own speed.

    Returns the number of frames written. Raises RunError.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    shown, indices = picked(motion, frames)
    figure, axis = _figure(motion, 1, 1, _WIDTH / _DPI)
    figure.suptitle(_title(motion, caption), fontsize=9)
    canvas, persons = FigureCanvasAgg(figure), _Persons(axis, shown)
    count = figure.text(0.98, 0.02, "", ha="right", fontsize=7, color=_GREY)
    pictures = []
    with reporter.progress("draw", len(indices)) as advance:
        for number, index in enumerate(indices):
            persons.show(number)
            count.set_text(_when(motion, int(index)))
            canvas.draw()
            picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
            pictures.append(picture.quantize(64, dither=Image.Dither.NONE))
            advance()
    pause = max(2, round(1 / shown.rate / _CENTISECOND)) * 10
    with atomic_write(path) as stream:
        more: Any = {"append_images": pictures[1:], "duration": pause, "comment": b"stgcn view"}
        pictures[0].save(stream, "GIF", save_all=True, loop=0, **more)
    return len(pictures)


def write_sheet(motion: Motion, path: Path, caption: str = "", frames: int = SHEET_FRAMES) -> int:
    """Write a PNG of `frames` frames (all where there are fewer), six in a row.

    Returns the number of frames drawn. Raises RunError.
    """
    shown, indices = picked(motion, frames)
    columns = min(len(indices), 6)
    rows = -(-len(indices) // columns)
    figure, axes = _figure(motion, rows, columns, 1.7)
    figure.suptitle(_title(motion, caption), fontsize=10)
    panels = np.ravel(axes)
    for number, (axis, index) in enumerate(zip(panels, indices, strict=False)):
        _Persons(axis, shown).show(number)
        axis.text(0.97, 0.02, _when(motion, int(index)), transform=axis.transAxes, ha="right", fontsize=6.5,
                  color=_GREY)  # fmt: skip
    for axis in panels[len(indices) :]:
        axis.remove()
    with atomic_write(path) as stream:
        figure.savefig(stream, format="png", dpi=130, metadata={"Software": "stgcn view"})
    return len(indices)


class _Persons:
    """The lines and dots of all persons on one axis."""

    def __init__(self, axis: Any, motion: Motion) -> None:
        from matplotlib.collections import LineCollection

        self.seen = projected(motion.points, motion.azimuth)[..., :2]
        self.bones = np.array(motion.bones, int).reshape(-1, 2)
        sides = bone_sides(motion.layout) if motion.layout else []
        self.lines, self.dots = [], []
        for person in range(len(self.seen)):
            colours = person_colours(person)
            lines = LineCollection([], colors=[colours[side] for side in sides], linewidths=2.2, capstyle="round")
            self.lines.append(axis.add_collection(lines))
            self.dots.append(axis.plot([], [], "o", color=colours[""], markersize=2.4, zorder=3)[0])

    def show(self, frame: int) -> None:
        """Draw this frame; bones to an unseen joint are left out."""
        for points, lines, dots in zip(self.seen[:, frame], self.lines, self.dots, strict=True):
            lines.set_segments(list(points[self.bones]))  # a bone with NaN at one end is not drawn
            dots.set_data(*points.T)


def _figure(motion: Motion, rows: int, columns: int, inches: float) -> tuple[Any, Any]:
    """A figure of panels `inches` wide that show the whole clip with equal scales, and their axes."""
    (left, right), (low, high) = limits(motion)
    height = float(np.clip(inches * (high - low) / (right - left), inches / 2, inches * 1.7)) * rows + _TITLE
    figure = new_figure(inches * columns, height, _DPI, layout=None)
    axes = figure.subplots(rows, columns, gridspec_kw={
        "left": 0, "right": 1, "bottom": 0, "top": 1 - _TITLE / height, "wspace": 0.02, "hspace": 0.02})  # fmt: skip
    for axis in np.ravel(axes):
        axis.set(xlim=(left, right), ylim=(low, high), aspect="equal")
        axis.axis("off")
    return figure, axes


def limits(motion: Motion) -> tuple[tuple[float, float], tuple[float, float]]:
    """The part of the plane that holds the whole clip, with a margin: (left, right), (low, high)."""
    seen = projected(motion.points, motion.azimuth)[..., :2]
    if not np.isfinite(seen).any():
        return (-1.0, 1.0), (-1.0, 1.0)
    low, high = np.nanmin(seen, axis=(0, 1, 2)), np.nanmax(seen, axis=(0, 1, 2))
    margin = 0.06 * float((high - low).max()) or 1.0
    (left, bottom), (right, top) = (low - margin).tolist(), (high + margin).tolist()
    return (left, right), (bottom, top)


def _when(motion: Motion, index: int) -> str:
    """Number of a frame of the clip, from 1, and its time."""
    frame = index * motion.step
    return f"frame {frame + 1}  {frame / motion.rate:.2f} s"


def _title(motion: Motion, caption: str) -> str:
    empty = "" if len(motion.points) else " - no person in this clip"
    return shortened(motion.name, 44) + empty + (f"\n{caption}" if caption else "")
