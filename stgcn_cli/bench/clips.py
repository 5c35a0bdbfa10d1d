"""Clips to measure with: of a preset's shapes, drawn at random, with NTU's share of empty second persons.

Shapes: N clips, C channels, T frames, V joints, M persons.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stgcn_cli import presets
from stgcn_cli.batches import Clips
from stgcn_cli.config import Preset
from stgcn_cli.data.splits import Split
from stgcn_cli.data.store_memory import store_of

TWO_PERSONS = 0.2  # of the clips, as in NTU RGB+D
STORED_FRAMES = 100  # of a drawn clip whose preset names no length it is looped to


def split_of(preset: Preset, count: int, two_persons: float = TWO_PERSONS) -> Split:
    """`count` clips of random movement in memory; the first ceil(count * two_persons) have all the preset's persons."""
    data, joints = preset.data, len(presets.layout_of(preset).joints)
    frames = STORED_FRAMES if data.clip_len else 150  # as stored: BABEL's
    rng, several = np.random.default_rng(0), -(-int(round(count * two_persons * 1000)) // 1000)
    records = []
    for index in range(count):
        keypoint = rng.normal(size=(data.num_person, frames, joints, 3)).astype(np.float32)
        keypoint[1 if index >= several else data.num_person :] = 0
        records.append({"frame_dir": f"clip{index}", "label": 0, "total_frames": frames, "keypoint": keypoint})
    return Split("drawn", store_of(records, Path("drawn clips")), np.arange(count))


def batch_of(
    preset: Preset, count: int, device: torch.device, two_persons: float = TWO_PERSONS, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """x (N, C, T, V, M) and labels (N,) of `count` drawn clips, fetched as training does."""
    x, _ = Clips.of(split_of(preset, count, two_persons), preset.data, device, dtype).batch(torch.arange(count))
    labels = torch.arange(count, device=device) % preset.model.num_classes
    return x, labels
