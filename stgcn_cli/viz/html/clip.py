"""Pages of one clip, with a prediction beside it, and of one skeleton layout.

Shapes: M persons, T frames, V joints, D coordinates.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.viz import layout as layouts
from stgcn_cli.viz.html.page import Cell, Column, Section, Table, drawing, page
from stgcn_cli.viz.layout import Importance
from stgcn_cli.viz.skeleton import ELEVATION, Motion, bone_sides, colour_legend, person_colours, thinned

if TYPE_CHECKING:
    from stgcn_cli.evaluation.windows import (
        Timelines,
        Track,
    )  # and with it torch, which a page without them does not need

PAGE_FRAMES, REPORT_FRAMES = 1500, 150  # at most, in a page of one clip and in a report of many
_FULL, _UNSEEN = 32_000, -32_768  # whole numbers keep the page small


@dataclass(frozen=True)
class ClipPrediction:
    """The name of a model, its most likely classes for a clip with probabilities, and warnings about the clip."""

    model: str
    likeliest: Sequence[tuple[str, float]]
    warnings: Sequence[str] = ()


def as_clip(motion: Motion, most: int) -> dict[str, Any]:
    """What the player needs to play the motion, at most `most` frames of it. Colours are by person and side."""
    shown = thinned(motion, most)
    persons, frames, joints, coordinates = shown.points.shape
    layout = shown.layout
    return {
        "name": motion.name,
        "shape": [frames, persons, joints, coordinates],
        "points": _packed(shown.points),
        "bones": [list(bone) for bone in shown.bones],
        "sides": bone_sides(layout) if layout else [],
        "joints": list(layout.joints) if layout else [],
        "colours": [person_colours(person) for person in range(persons)],
        "rate": shown.rate,
        "step": shown.step,
        "azimuth": shown.azimuth,
        "elevation": ELEVATION,
    }


def _packed(points: np.ndarray) -> str:
    """(M, T, V, D) as base64 of little-endian int16 (T, M, V, D), centred, the largest half-extent 32000."""
    if not points.size or not np.isfinite(points).any():
        return ""
    low, high = np.nanmin(points, axis=(0, 1, 2)), np.nanmax(points, axis=(0, 1, 2))
    half = float((high - low).max()) / 2 or 1.0
    scaled = (points - (low + high) / 2) * (_FULL / half)
    whole = np.where(np.isfinite(scaled), scaled.round(), _UNSEEN).astype("<i2")
    return base64.b64encode(whole.transpose(1, 0, 2, 3).tobytes()).decode()


def clip_page(
    motion: Motion,
    about: Sequence[tuple[str, object]],
    prediction: ClipPrediction | None = None,
    timelines: "Timelines | None" = None,
) -> str:
    """The page of one clip. `about` are names and values to list; the `timelines` of its persons stand under the player."""
    tracks, classes = (timelines.tracks, timelines.classes) if timelines else ([], [])
    rows = [[Cell(name), Cell.of_share(share)] for name, share in prediction.likeliest] if prediction else []
    values = {
        "about": [*about, *_facts(motion)],
        "prediction": prediction,
        "likeliest": Table([Column("Most likely class"), Column("Probability", True)], rows),
        "turns": motion.points.shape[-1] == 3,
        "strips": [(f"person {each.person}", bars(each, classes)) for each in tracks],
        "segments": Table(
            [Column("Person"), Column("Frames"), Column("Class"), Column("Probability", True)],
            [
                [
                    Cell(f"person {each.person}"),
                    Cell(f"{segment.start + 1} to {segment.end}", segment.start),
                    Cell(classes[segment.label]),
                    Cell.of_share(segment.score),
                ]
                for each in tracks
                for segment in each.segments
            ],
            sortable=True,
        ),
        "colours": colour_legend(len(motion.points)),
    }
    data = {"clips": {"clip": as_clip(motion, PAGE_FRAMES)}, "matrices": {}}
    return page("clip.html", motion.name, "", [Section("clip", "", "clip", values)], data)


def bars(track: "Track", classes: Sequence[str]) -> list[tuple[float, float, str, str]]:
    """x and width in thousandths, colour and text of each segment of a person's timeline."""
    scale = 1000 / max(1, track.frames)
    return [
        (round(scale * each.start, 2), round(scale * (each.end - each.start), 2), f"hsl({137 * each.label % 360} 55% 55%)",
         f"{classes[each.label]}, frames {each.start + 1} to {each.end}, {100 * each.score:.0f} %")
        for each in track.segments
    ]  # fmt: skip


def _facts(motion: Motion) -> list[tuple[str, object]]:
    persons, frames, joints, coordinates = motion.points.shape
    skeleton = motion.layout.name if motion.layout else "unknown: no bones are drawn"
    facts = [("frames", frames), ("length", f"{frames / motion.rate:.2f} s at {motion.rate:g} frames a second")]
    facts += [("persons", persons), ("joints", f"{joints} in {coordinates}-D"), ("skeleton", skeleton)]
    if frames > PAGE_FRAMES:
        facts.append(("shown", f"every {-(-frames // PAGE_FRAMES)}th frame"))
    return facts + ([("up axis", motion.up)] if motion.up else [])


def layout_page(layout: Layout, over: Importance | None = None) -> str:
    """The page of a skeleton layout: the drawing, and its joints and bones as a table."""
    columns = [Column("Joint", True), Column("Name"), Column("Bones towards the centre")]
    columns += [Column("Learned: itself", True), Column("Learned: its bones", True)] if over else []
    rows = []
    for joint, name in enumerate(layout.joints):
        bones = [index for index, bone in enumerate(layout.bones) if bone[0] == joint]
        towards = ", ".join(layout.joints[layout.bones[index][1]] for index in bones)
        cells = [Cell(joint, joint), Cell(name), Cell(towards or ("centre" if joint == layout.centre else ""))]
        rows.append(cells + ([_factor(over.joints[[joint]]), _factor(over.bones[bones])] if over else []))
    lead = f"{len(layout.joints)} joints, {len(layout.bones)} bones, centre {layout.joints[layout.centre]}."
    sections = [
        Section("drawing", "", "layout", {"drawing": drawing(lambda: layouts.draw(layout, over))}),
        Section("joints", "Joints and bones", "joints", {"content": Table(columns, rows, sortable=True)}),
    ]
    return page("clip.html", layout.name, lead, sections, {"clips": {}, "matrices": {}})


def _factor(values: np.ndarray) -> Cell:
    finite = values[np.isfinite(values)]
    return Cell(", ".join(f"{value:.3f}" for value in finite), float(finite.mean()) if len(finite) else None)
