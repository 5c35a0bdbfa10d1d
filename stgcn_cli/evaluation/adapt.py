"""Clips as a model expects them: joints counted, values fitted, raw skeletons pre-normalised.

Shapes: M persons, T frames, V joints, C values of a joint (coordinates, and the score where there is one).
"""

from dataclasses import dataclass

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.config.skeletons import NTU, words
from stgcn_cli.data.clips import Clip
from stgcn_cli.data.records import REFERENCE_SIZE, image_size_of, name_of
from stgcn_cli.errors import DataError

SCORES_TAKEN = "three values a joint, taken as x, y and score."  # what the input "has"
SCORES_MADE, SCORES_LEFT = "no scores; they count as 1.", "scores, which the model does not use."

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Adapted:
    """A clip that fits the preset; `change` is one of the constants above or empty; `persons` those in the input.

    `assumed` says that its pixels are divided by the size of other images; `unlike` that its 25 joints do not lie as Kinect's.
    """

    clip: Clip
    change: str
    persons: int
    assumed: Size | None = None
    unlike: bool = False


def adapted(clip: Clip, preset: Preset, size: Size | None = None, likely: Size = REFERENCE_SIZE) -> Adapted:
    """Return the clip as `preset` wants it, what was changed, and how many persons it had.

    `size` is that of images of clips that state none, as given by the user; `likely` the one to assume without it.
    Raises DataError for a different skeleton.
    """
    persons = int(clip.frames.any(axis=(1, 2, 3)).sum())
    fitted, change = _fitted(clip, preset)
    if preset.data.normalize not in ("image", "half-image"):
        unlike = preset.data.layout == NTU.name and clip.layout is None and not clip.is_kinect(None)
        fitted = fitted.pre_normalized() if clip.raw and preset.data.pre_normalize == "ntu" else fitted
        return Adapted(fitted, change, persons, unlike=unlike)
    fitted = fitted.with_size(size)
    by_record = preset.data.image_size == "record"  # else all are divided by one size, whatever their images
    if image_size_of(fitted.record) != (0, 0) or not by_record:
        return Adapted(fitted, change, persons)
    return Adapted(fitted.with_size(likely), change, persons, likely)


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
    joints, coordinates, _ = clip.shape
    found = words(clip.shape)
    wants = f"{len(layout.joints)} ({layout.name}) with {_VALUES[channels]}"
    wanted = len(channels.removesuffix("s"))
    name = name_of(clip.record, 0)
    place = str(clip.source) if name in clip.source.name else f"{clip.source}: {name}"
    mixed = f" The clip is {coordinates}-D, the model {wanted}-D." if coordinates != wanted else ""
    return DataError(
        f"{place} has {found}; the model ({preset.name}) expects {wants}.{mixed}", _hint(preset, joints, coordinates)
    )


_VALUES = {"xyz": "x, y, z", "xys": "x, y in pixels and a score", "xy": "x, y in pixels"}


def _hint(preset: Preset, joints: int, coordinates: int) -> str:
    """What to type: published weights for such a skeleton where there are some."""
    if other := next(presets.published_for(joints, coordinates), None):
        return f"For such skeletons there are published weights: stgcn predict {other.name} INPUT"
    layout = presets.layout_of(preset)
    if len(layout.joints) == joints:
        return f"Give clips with {_VALUES[preset.data.channels]}, or a model of {coordinates}-D skeletons."
    return f"Give the joints in this order: {', '.join(layout.joints)}."
