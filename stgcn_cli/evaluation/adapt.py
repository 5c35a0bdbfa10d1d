"""Clips as a model expects them: joints counted, values fitted, raw skeletons pre-normalised.

Shapes: M persons, T frames, V joints, C values of a joint (coordinates, and the score where there is one).
"""

from dataclasses import dataclass

import numpy as np

from stgcn_cli.config import catalog, presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data.records import Clip, name_of
from stgcn_cli.errors import DataError

SCORES_TAKEN, SCORES_MADE, SCORES_LEFT = "third value taken as score", "score taken as 1", "scores left out"


@dataclass(frozen=True)
class Adapted:
    """A clip that fits the preset; `change` is one of the constants above or empty; `persons` those in the input."""

    clip: Clip
    change: str
    persons: int


def adapted(clip: Clip, preset: Preset) -> Adapted:
    """Return the clip as `preset` wants it, what was changed, and how many persons it had.

    Raises DataError for a different skeleton.
    """
    persons = int(clip.frames.any(axis=(1, 2, 3)).sum())
    fitted, change = _fitted(clip, preset)
    if clip.raw and preset.data.pre_normalize == "ntu":
        fitted = fitted.pre_normalized()
    return Adapted(fitted, change, persons)


def _fitted(clip: Clip, preset: Preset) -> tuple[Clip, str]:
    """The clip with the values that the preset's channels name."""
    keypoint, channels = clip.record["keypoint"], preset.data.channels
    joints, coordinates, has_score = clip.shape
    if joints == len(presets.layout_of(preset).joints):
        wanted = len(channels.removesuffix("s"))
        if coordinates == wanted and has_score and channels != "xys":
            return clip.changed(keypoint_score=None), SCORES_LEFT
        if coordinates == wanted and (has_score or channels != "xys"):
            return clip, ""
        if coordinates == wanted:
            return clip.changed(keypoint_score=keypoint.any(axis=-1).astype(np.float32)), SCORES_MADE
        if channels == "xys" and coordinates == 3 and not has_score and _are_scores(keypoint[..., 2]):
            return clip.changed(keypoint=keypoint[..., :2], keypoint_score=keypoint[..., 2]), SCORES_TAKEN
    raise _another_skeleton(clip, preset)


def _are_scores(values: np.ndarray) -> bool:
    return bool(((values >= 0) & (values <= 1.01)).all() and values.any())


def _another_skeleton(clip: Clip, preset: Preset) -> DataError:
    layout, channels = presets.layout_of(preset), preset.data.channels
    joints, coordinates, has_score = clip.shape
    found = f"{joints} joints with {coordinates} coordinates{' and scores' if has_score else ''}"
    wants = f"{len(layout.joints)} ({layout.name}) with {', '.join(_VALUES[channels])}"
    name = name_of(clip.record, 0)
    place = str(clip.source) if name in clip.source.name else f"{clip.source}: {name}"
    return DataError(
        f"{place} has {found}; the model ({preset.name}) expects {wants}.", _hint(preset, joints, coordinates)
    )


_VALUES = {"xyz": ("x", "y", "z"), "xys": ("x", "y", "score"), "xy": ("x", "y")}


def _hint(preset: Preset, joints: int, coordinates: int) -> str:
    """What to type: published weights for such a skeleton where there are some."""
    for entry in catalog.PUBLISHED:
        other = presets.load(entry.preset)
        if len(presets.layout_of(other).joints) == joints and len(other.data.channels.removesuffix("s")) == coordinates:
            return f"For such skeletons there are published weights: stgcn predict {entry.preset} INPUT"
    names = ", ".join(presets.layout_of(preset).joints)
    return f"Give the joints in this order: {names}."
