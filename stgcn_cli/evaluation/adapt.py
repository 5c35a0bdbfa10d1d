"""An input as the model wants it: joints counted, values fitted, raw skeletons pre-normalised.

Shapes: M persons, T frames, V joints, C values of a joint (coordinates, and the score where there is one).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stgcn_cli.config import catalog, presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data.readers.inputs import Input, pre_normalized
from stgcn_cli.data.records import frames_of, name_of
from stgcn_cli.errors import DataError

SCORES_TAKEN, SCORES_MADE, SCORES_LEFT = "third value taken as score", "score taken as 1", "scores left out"


@dataclass(frozen=True)
class Adapted:
    """A record that fits the preset; `change` is one of the constants above or empty; `persons` those in the input."""

    record: dict[str, Any]
    change: str
    persons: int


def adapted(given: Input, preset: Preset) -> Adapted:
    """The input's record as `preset` wants it, what was changed, and how many persons it had.

    Raises DataError where the skeleton is another one.
    """
    record = given.record
    persons = int(frames_of(record).any(axis=(1, 2, 3)).sum())
    record, change = _fitted(given, preset)
    if given.raw and preset.data.pre_normalize == "ntu":
        record = pre_normalized(record)
    return Adapted(record, change, persons)


def _fitted(given: Input, preset: Preset) -> tuple[dict[str, Any], str]:
    """The record with the values the preset's channels name."""
    record, channels = given.record, preset.data.channels
    joints, coordinates = record["keypoint"].shape[2:]
    has_score = record.get("keypoint_score") is not None
    if joints == len(presets.layout_of(preset).joints):
        wanted = len(channels.removesuffix("s"))
        if coordinates == wanted and has_score and channels != "xys":
            return {key: value for key, value in record.items() if key != "keypoint_score"}, SCORES_LEFT
        if coordinates == wanted and (has_score or channels != "xys"):
            return record, ""
        if coordinates == wanted:
            return record | {"keypoint_score": record["keypoint"].any(axis=-1).astype(np.float32)}, SCORES_MADE
        if channels == "xys" and coordinates == 3 and not has_score and _are_scores(record["keypoint"][..., 2]):
            halves = {"keypoint": record["keypoint"][..., :2], "keypoint_score": record["keypoint"][..., 2]}
            return record | halves, SCORES_TAKEN
    raise _another_skeleton(given, preset, joints, coordinates, has_score)


def _are_scores(values: np.ndarray) -> bool:
    return bool(((values >= 0) & (values <= 1.01)).all() and values.any())


def _another_skeleton(given: Input, preset: Preset, joints: int, coordinates: int, has_score: bool) -> DataError:
    layout, channels = presets.layout_of(preset), preset.data.channels
    found = f"{joints} joints with {coordinates} coordinates{' and scores' if has_score else ''}"
    wants = f"{len(layout.joints)} ({layout.name}) with {', '.join(_VALUES[channels])}"
    place = f"{given.source}: " if name_of(given.record, 0) not in given.source.name else ""
    name = name_of(given.record, 0) if place else str(given.source)
    return DataError(
        f"{place}{name} has {found}; the model ({preset.name}) expects {wants}.", _hint(preset, joints, coordinates)
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
