"""A motion for the page's player: coordinates as whole numbers, so that the page stays small.

Shapes: M persons, T frames, V joints, D coordinates.
"""

import base64
from typing import Any

import numpy as np

from stgcn_cli import palette
from stgcn_cli.pages.markup import text
from stgcn_cli.poses import ELEVATION, Motion, bone_sides, thinned

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
        "colours": [palette.of_person(person) for person in range(persons)],
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
