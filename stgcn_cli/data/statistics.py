"""What the clips of a split are like, in a few plain numbers: they travel in a checkpoint as what it was trained on.

Shapes: N clips, M persons, T frames, V joints, C coordinates, S sampled frames.
"""

from typing import Any

import numpy as np

from stgcn_cli.data.splits import Split
from stgcn_cli.data.store import Store

_CLIPS, _FRAMES = 2000, 8  # looked at, evenly spaced: the size of a body needs no more
_AT_A_TIME = 256  # clips, so that memory stays small
_SIZES = 8  # image sizes kept


def describe(split: Split) -> dict[str, Any]:
    """What the clips of `split` are like; plain numbers in lists only.

    clips         how many
    frames        [min, 1 %, median, 99 %, max] of the stored lengths
    spread        [1 %, median, 99 %] of `spreads`, in the unit of the data; absent where no clip has a person
    image_spread  the same in heights of the image, where the records tell their image size
    persons       the most that any clip has
    image_sizes   up to 8 different [height, width] in pixels
    """
    store, index = split.store, split.indices
    lengths, sizes = store.lengths[index], store.image_sizes[index]
    chosen = index[np.linspace(0, len(index) - 1, min(len(index), _CLIPS)).astype(int)]
    spread, heights = spreads(store, chosen), store.image_sizes[chosen, 0]
    known = heights > 0
    found: dict[str, Any] = {
        "clips": len(index),
        "frames": [int(n) for n in np.percentile(lengths, [0, 1, 50, 99, 100], method="nearest")],
        "persons": int((store.starts[index] > 0).sum(axis=1).max()),
        "image_sizes": np.unique(sizes[sizes[:, 0] > 0], axis=0)[:_SIZES].tolist(),
    }
    return found | _of("spread", spread) | _of("image_spread", spread[known] / heights[known])


_LENGTHS = {"frames": 5, "spread": 3, "image_spread": 3}  # of the lists that `describe` gives


def parse_statistics(value: object) -> dict[str, Any]:
    """The parts of a checkpoint's `describe` that have the right form; the checkpoint may be of unknown origin."""
    found = value if isinstance(value, dict) else {}
    parts = {name: found[name] for name, length in _LENGTHS.items() if _are_numbers(found.get(name), length)}
    if _are_numbers([found.get("persons")], 1):
        parts["persons"] = found["persons"]
    sizes = found.get("image_sizes")
    if isinstance(sizes, list) and all(_are_numbers(size, 2) for size in sizes):
        parts["image_sizes"] = sizes
    return parts


def _are_numbers(value: object, length: int) -> bool:
    return isinstance(value, list) and len(value) == length and all(isinstance(n, int | float) for n in value)


def _of(name: str, spread: np.ndarray) -> dict[str, list[float]]:
    spread = spread[np.isfinite(spread)]
    return {name: [float(f"{n:.4g}") for n in np.percentile(spread, [1, 50, 99])]} if len(spread) else {}


def spreads(store: Store, clips: np.ndarray) -> np.ndarray:
    """(N,) the size of the bodies in each of `clips`: the root-mean-square distance of a body's joints in a frame from
    their mean, over eight evenly spaced frames, in the unit of the data; NaN for clips without a person.

    Joints at exactly zero stand for "not seen" and do not count; neither do scores.
    """
    parts = [_spreads(store, clips[i : i + _AT_A_TIME]) for i in range(0, len(clips), _AT_A_TIME)]
    return np.concatenate([np.empty(0), *parts])


def _spreads(store: Store, clips: np.ndarray) -> np.ndarray:
    starts, lengths = store.starts[clips], store.lengths[clips]
    offsets = np.arange(_FRAMES) * (lengths[:, None] - 1) // (_FRAMES - 1)  # (N, S)
    rows = np.where(starts[..., None] > 0, starts[..., None] + offsets[:, None], 0)  # (N, M, S)
    x_NMSVC = store.frames[rows].astype(np.float64)[..., : store.frames.shape[2] - store.has_score]
    seen = x_NMSVC.any(-1, keepdims=True)
    centre = x_NMSVC.sum(-2, keepdims=True) / np.maximum(seen.sum(-2, keepdims=True), 1)
    squares = (((x_NMSVC - centre) * seen) ** 2).sum((1, 2, 3, 4))
    count = seen.sum((1, 2, 3, 4))
    return np.where(count > 0, np.sqrt(squares / np.maximum(count, 1)), np.nan)
