"""Clips out of a store to look at: those an evaluation speaks of, found by their place or their name.

Shapes: M persons, T frames, V joints, D coordinates.
"""

from collections.abc import Sequence

import numpy as np

from stgcn_cli import presets
from stgcn_cli.config import Preset
from stgcn_cli.data.splits import Split
from stgcn_cli.poses import Motion, motion_of


def motion(split: Split, preset: Preset, names: Sequence[str], place: int) -> Motion | None:
    """The clip called names[place] with the persons the model sees; None when the split has no such clip.

    `names` are those of all clips when scores were made, so that most often the place alone is right.
    """
    found = _place(split, names, place)
    if found is None:
        return None
    store, clip = split.store, split.indices[found]
    starts = store.starts[clip, : preset.data.num_person]
    length = int(store.lengths[clip])
    rows = np.where(starts[:, None] > 0, starts[:, None] + np.arange(length), 0)
    keypoint = np.asarray(store.frames[rows], np.float32)
    score = keypoint[..., -1] if store.has_score else None
    layout = presets.layout_of(preset)
    if len(layout.joints) != keypoint.shape[2]:
        return None
    coordinates = keypoint[..., :-1] if store.has_score else keypoint
    return motion_of(names[place], coordinates, layout, score)


def _place(split: Split, names: Sequence[str], place: int) -> int | None:
    name = names[place]
    if place < len(split.indices) and split.names([place])[0] == name:
        return place
    return next((i for i, index in enumerate(split.indices) if split.store.names[index] == name), None)
