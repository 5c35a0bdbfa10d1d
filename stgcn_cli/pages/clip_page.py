"""A clip to turn, scrub and play, with what a model says of it beside it; and a page of a skeleton layout."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stgcn_cli import layout_drawing, palette
from stgcn_cli.layout_drawing import Importance
from stgcn_cli.pages import figures
from stgcn_cli.pages.markup import Cell, Column, facts, paragraph, table, text
from stgcn_cli.pages.page import Section, page
from stgcn_cli.pages.player import PAGE_FRAMES, as_clip, player
from stgcn_cli.poses import Motion
from stgcn_cli.skeleton import Layout


@dataclass(frozen=True)
class Said:
    """What a model said of the clip: its name, the likeliest classes with probabilities, and what was odd."""

    model: str
    likeliest: Sequence[tuple[str, float]]
    warnings: Sequence[str] = ()


def clip_page(motion: Motion, about: Sequence[tuple[str, object]], said: Said | None = None) -> str:
    """The page of one clip. `about` are facts to list."""
    beside = (_prediction(said) if said else "") + facts([*about, *_facts(motion)])
    hint = "Drag to turn, double-click to turn back. " if motion.points.shape[-1] == 3 else ""
    note = f'<p class="soft">{hint}Space plays and stops, arrows step. {palette.in_words(len(motion.points))}</p>'
    shown = f'<div class="beside"><div>{player("clip", plays=True)}{note}</div><div>{beside}</div></div>'
    data = {"clips": {"clip": as_clip(motion, PAGE_FRAMES)}, "matrices": {}}
    return page(motion.name, "", [Section("clip", "", shown)], data)


def _prediction(said: Said) -> str:
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
