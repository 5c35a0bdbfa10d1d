"""Clips to measure with: random movement in the shapes of a preset, with NTU's share of absent persons.

Shapes: N clips, C channels, T frames, V joints, M persons.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data.loader import REFERENCE_SIZE, Clips
from stgcn_cli.data.splits import Split
from stgcn_cli.data.store import store_of

TWO_PERSONS = 0.2  # of the clips, as in NTU RGB+D
LOOPED, STORED = 100, 150  # frames of a drawn clip if the preset loops it to a length, and if it does not


def split_of(preset: Preset, count: int, two_persons: float = TWO_PERSONS) -> Split:
    """`count` clips of random movement in memory; the first ones, this share of them, have all the preset's persons."""
    data, joints = preset.data, len(presets.layout_of(preset).joints)
    rng, several = np.random.default_rng(0), -int(-count * two_persons // 1)
    records = []
    for index in range(count):
        shape = (data.num_person, LOOPED if data.clip_len else STORED, joints)
        drawn = rng.normal(size=(*shape, len(data.channels))).astype(np.float32)
        if data.channels != "xyz":
            drawn[..., :2] = 500 + 100 * drawn[..., :2]  # pixels
        drawn[data.num_person if index < several else 1 :] = 0
        record = {"frame_dir": f"drawn{index}", "total_frames": shape[1], "img_shape": REFERENCE_SIZE}
        record["keypoint"] = drawn
        if data.channels == "xys":
            record |= {"keypoint": drawn[..., :2], "keypoint_score": drawn[..., 2]}
        records.append(record)
    return Split("drawn", store_of(records, Path("drawn clips")), np.arange(count))


def batch_of(
    preset: Preset, count: int, device: torch.device, two_persons: float = TWO_PERSONS
) -> tuple[Tensor, Tensor]:
    """x (N, C, T, V, M) and labels (N,) of `count` drawn clips, fetched as training does."""
    clips = Clips.of(split_of(preset, count, two_persons), preset, device)
    return clips.batch(torch.arange(count))[0], labels_of(preset, count, device)


def labels_of(preset: Preset, count: int, device: torch.device) -> Tensor:
    """Labels (N,): each class in turn."""
    return torch.arange(count, device=device) % preset.model.num_classes


def with_counts(preset: Preset) -> Preset:
    """Return the preset with equal class counts if it counts those of the data."""
    if isinstance(preset.loss.class_counts, str):
        return replace(preset, loss=replace(preset.loss, class_counts=(100,) * preset.model.num_classes))
    return preset
