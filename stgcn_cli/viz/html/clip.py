"""A clip to turn, scrub and play, with what a model says of it beside it; and a page of a skeleton layout."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.viz import layout as layout_drawing
from stgcn_cli.viz import skeleton
from stgcn_cli.viz import skeleton as palette
from stgcn_cli.viz.html import page as figures
from stgcn_cli.viz.html.page import Cell, Column, Section, facts, page, paragraph, table, text
from stgcn_cli.viz.layout import Importance
from stgcn_cli.viz.skeleton import ELEVATION, Motion, bone_sides, thinned

# A motion for the page's player: coordinates as whole numbers, so that the page stays small.
#
# Shapes: M persons, T frames, V joints, D coordinates.

PAGE_FRAMES, REPORT_FRAMES = 1500, 150  # at most, in a page of one clip and in a report of many
_FULL, _UNSEEN = 32_000, -32_768


def player(clip: str, plays: bool = False) -> str:
    """The place of the player for data["clips"][clip]; it begins by itself when it `plays`."""
    own = " data-plays" if plays else ""
    return (
        f'<div class="player" data-clip="{text(clip)}"{own}>'
        "<noscript>The clip is played by a script, which is switched off here.</noscript></div>"
    )


def as_clip(motion: Motion, most: int) -> dict[str, Any]:
    """What the player needs of the motion, at most `most` frames of it. Colours are named by person and side."""
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
        "colours": [skeleton.of_person(person) for person in range(persons)],
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


@dataclass(frozen=True)
class Prediction:
    """What a model said of the clip: its name, the likeliest classes with probabilities, and what was odd."""

    model: str
    likeliest: Sequence[tuple[str, float]]
    warnings: Sequence[str] = ()


def clip_page(motion: Motion, about: Sequence[tuple[str, object]], said: Prediction | None = None) -> str:
    """The page of one clip. `about` are facts to list."""
    beside = (_prediction(said) if said else "") + facts([*about, *_facts(motion)])
    hint = "Drag to turn, double-click to turn back. " if motion.points.shape[-1] == 3 else ""
    note = f'<p class="soft">{hint}Space plays and stops, arrows step. {palette.in_words(len(motion.points))}</p>'
    shown = f'<div class="beside"><div>{player("clip", plays=True)}{note}</div><div>{beside}</div></div>'
    data = {"clips": {"clip": as_clip(motion, PAGE_FRAMES)}, "matrices": {}}
    return page(motion.name, "", [Section("clip", "", shown)], data)


def _prediction(said: Prediction) -> str:
    rows = [[Cell(name), Cell(f"{100 * share:.1f} %", share, share)] for name, share in said.likeliest]
    odd = "".join(f'<p class="warning">{text(warning)}</p>' for warning in said.warnings)
    bars = table([Column("Likeliest class"), Column("Probability", True)], rows)
    return f"<h3>What {text(said.model)} says</h3>{bars}{odd}"


def _facts(motion: Motion) -> list[tuple[str, object]]:
    persons, frames, joints, coordinates = motion.points.shape
    skeleton = motion.layout.name if motion.layout else "not known: no bones are drawn"
    told = [("frames", frames), ("length", f"{frames / motion.rate:.2f} s at {motion.rate:g} frames a second")]
    told += [("persons", persons), ("joints", f"{joints} in {coordinates}-D"), ("skeleton", skeleton)]
    if frames > PAGE_FRAMES:
        told.append(("shown", f"every {-(-frames // PAGE_FRAMES)}th frame"))
    return told + ([("upwards", motion.up)] if motion.up else [])


def layout_page(layout: Layout, over: Importance | None = None) -> str:
    """The page of a skeleton layout: the drawing, and its joints and bones as a table."""
    drawing = figures.figure(lambda: layout_drawing.draw(layout, over))
    inward: dict[int, list[int]] = {}
    for place, (joint, _) in enumerate(layout.bones):
        inward.setdefault(joint, []).append(place)
    columns = [Column("Joint", True), Column("Name"), Column("Bones towards the centre")]
    columns += [Column("Learned: itself", True), Column("Learned: its bones", True)] if over else []
    rows = []
    for joint, name in enumerate(layout.joints):
        bones = inward.get(joint, [])
        towards = ", ".join(layout.joints[layout.bones[place][1]] for place in bones)
        cells = [Cell(joint, joint), Cell(name), Cell(towards or ("centre" if joint == layout.centre else ""))]
        rows.append(cells + ([_factor(over.joints[[joint]]), _factor(over.bones[bones])] if over else []))
    lead = paragraph(f"{len(layout.joints)} joints, {len(layout.bones)} bones, centre {layout.joints[layout.centre]}.")
    sections = [
        Section("drawing", "", drawing),
        Section("joints", "Joints and bones", table(columns, rows, sortable=True)),
    ]
    return page(layout.name, lead, sections, {"clips": {}, "matrices": {}})


def _factor(values: np.ndarray) -> Cell:
    finite = values[np.isfinite(values)]
    return Cell(", ".join(f"{value:.3f}" for value in finite), float(finite.mean()) if len(finite) else None)
