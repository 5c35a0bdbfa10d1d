"""Which frames of a clip the network sees.

Shapes: N clips, K samples of a clip, T frames of a sample.
loop: the first T frames, repeated where the clip is shorter. uniform: one frame of each of T equal parts of the whole clip, drawn
drawn in each epoch of training and fixed in evaluation (Duan et al. 2022, as PYSKL does it).
"""

import numpy as np
import torch
from torch import Tensor

from stgcn_cli.data.draws import Draws

_SEED = 255  # of the reference's evaluation, set for each clip
_START, _SLOTS, _PLACE = 1, 2, 3  # purposes of draws


def uniform(lengths: Tensor, frames: int, draws: Draws) -> Tensor:
    """(N, T) for clips of `lengths` (N,), by the rules of `reference_frames` for training, all clips at once."""
    long, column = lengths[:, None], torch.arange(frames, device=lengths.device)
    start = (draws.uniform(_START, 1) * long).long()
    short = start + column
    # Some slots between the frames are skipped: as many as the clip has more frames.
    order = draws.uniform(_SLOTS, frames + 1).argsort(1).argsort(1)
    middle = column + (order < long - frames).cumsum(1)[:, :frames]
    edges = torch.arange(frames + 1, device=lengths.device) * long // frames
    begin, width = edges[:, :-1], edges.diff(dim=1)
    parts = begin + (draws.uniform(_PLACE, frames) * width).long()
    return torch.where(long < frames, short, torch.where(long < 2 * frames, middle, parts)) % long


def uniform_fixed(
    lengths: np.ndarray, frames: int, samples: int, has_ratio: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The frames of evaluation: a table (distinct lengths, K, T), and the row of each clip (N,).

    Without the draw of a ratio they are those of MMAction2 1.x.
    """
    distinct, rows = np.unique(lengths, return_inverse=True)
    draw, ratio = np.random.RandomState, (1.0, 1.0) if has_ratio else None
    table = [
        reference_frames(draw(_SEED), int(length), frames, samples, ratio=ratio).reshape(samples, frames)
        for length in distinct
    ]
    return np.stack(table), rows


def reference_frames(
    rng: np.random.RandomState,
    length: int,
    frames: int,
    samples: int = 1,
    *,
    training: bool = False,
    ratio: tuple[float, float] | None = (1.0, 1.0),
    wraps: bool = False,
) -> np.ndarray:
    """(K * T,) as PYSKL draws them from `rng` for a clip of `length` frames.

    `ratio` bounds the drawn part of the clip that is sampled; None: all of it without a draw, as MMAction2 1.x does.
    `wraps` is the variant that decodes frames: short clips start anywhere and repeat within the sampled part.
    """
    result = []
    for sample in range(samples):
        part, offset = length, 0
        if ratio is not None:
            share = rng.rand() * (ratio[1] - ratio[0]) + ratio[0]
            part = int(share * length)
            offset = rng.randint(length - part + 1)
        if part >= frames:
            picked = _parts(rng, part, frames)
        elif training or wraps:
            picked = rng.randint(0, part) + np.arange(frames)
        else:
            picked = (sample if part < samples else sample * part // samples) + np.arange(frames)
        result.append((picked % part if wraps else picked) + offset)
    return np.concatenate(result) % length


def _parts(rng: np.random.RandomState, length: int, frames: int) -> np.ndarray:
    if length < 2 * frames:
        skipped = np.zeros(frames + 1, dtype=np.int64)
        skipped[rng.choice(frames + 1, length - frames, replace=False)] = 1
        return np.arange(frames) + np.cumsum(skipped)[:frames]
    edges = np.arange(frames + 1) * length // frames
    return edges[:-1] + rng.randint(np.diff(edges))
