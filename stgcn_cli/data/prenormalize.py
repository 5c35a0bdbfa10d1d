"""What raw coordinates go through before a network sees them, as PYSKL does it: found once for each clip, applied to batches.

Shapes: N clips, M persons, T frames, V joints, R kept frames of all clips, one after the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stgcn_cli.data.augment import rotated
from stgcn_cli.data.draws import sent
from stgcn_cli.data.ntu.normalize import turn_onto

_NOTHING = 1e-8  # a coordinate beyond it makes a frame count
_SPINE, _SHOULDERS = (0, 1), (4, 8)  # from joint to joint: towards +z, then towards +x
_NTU_JOINTS = 25
SCORE = 0.01  # a joint with a lower one is unknown
_SMALLEST_BOX = 10  # pixels; smaller ones stay as they are


@dataclass(frozen=True, kw_only=True)
class BodyFrames:
    """Clips in the frame of their first person: which frames count, and how each clip is moved and turned.

    A clip's frames are `kept[first[n] : first[n] + lengths[n]]`. The centre is subtracted in the precision of the stored
    frames; two turns in float64 follow, the spine upwards and the shoulders along x.
    """

    starts: Tensor  # (N, M), with the person first that is seen longer
    lengths: Tensor  # (N,)
    first: Tensor  # (N,)
    kept: Tensor  # (R,) frames of the stored clips
    centre: Tensor  # (N, 3), of the type of the stored frames
    turns: Tensor  # (N, 2, 3, 3) float64

    @classmethod
    def of(
        cls, frames: np.ndarray, starts: np.ndarray, lengths: np.ndarray, centre_joint: int | None = None
    ) -> "BodyFrames":
        """Of stored frames (rows, V, 3), the first row (N, M) of each person, and frames (N,) of each clip.

        With a `centre_joint` clips are only moved to it; without, they are moved and turned by the joints of a Kinect.
        """
        starts, kept = starts.copy(), []
        centre = np.zeros((len(starts), 3), frames.dtype)
        turns = np.tile(np.eye(3), (len(starts), 2, 1, 1))
        for index, (rows, length) in enumerate(zip(starts, lengths, strict=True)):
            shown = [_shown(frames, row, length) for row in rows[:2]]
            if len(shown) == 2 and shown[1].sum() > shown[0].sum():
                starts[index, :2] = rows[[1, 0]]
                shown.reverse()
            if not shown[0].any():  # an empty clip stays as it is
                kept.append(np.arange(length))
                continue
            kept.append(np.flatnonzero(shown[0]))
            body = frames[starts[index, 0] + kept[-1][0]]
            if centre_joint is None:
                centre[index], turns[index] = _placement(body)
            else:
                centre[index] = body[centre_joint]
        counts = np.array([len(each) for each in kept])
        return cls(
            starts=torch.from_numpy(starts), lengths=torch.from_numpy(counts),
            first=torch.from_numpy(np.cumsum(counts) - counts), kept=torch.from_numpy(np.concatenate(kept)),
            centre=torch.from_numpy(centre), turns=torch.from_numpy(turns),
        )  # fmt: skip

    def apply(self, x: Tensor, index: Tensor) -> Tensor:
        """x (N, M, T, V, 3), as stored, of the clips `index` -> float64."""
        centre, turns = (sent(each[index], x.device) for each in (self.centre, self.turns))
        seen = (x != 0).any(-1, keepdim=True)
        y = torch.where(seen, x - centre[:, None, None, None], 0).double()
        for turn in turns.unbind(1):
            y = rotated(y, turn)
        return y


def _shown(frames: np.ndarray, row: int, length: int) -> np.ndarray:
    """(T,) whether the person whose first row this is can be seen."""
    if not row:
        return np.zeros(length, bool)
    return (np.abs(frames[row : row + length]) > _NOTHING).any((1, 2))


def _placement(body: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre (3,) and turns (2, 3, 3) by the first frame (V, 3) of the first person."""
    centre = body[1 if len(body) == _NTU_JOINTS else -1]
    body = np.where((body != 0).any(-1, keepdims=True), body - centre, 0).astype(body.dtype)
    upright = turn_onto(body[_SPINE[1]] - body[_SPINE[0]], 2)
    body = body @ upright.T
    return centre, np.stack([upright, turn_onto(body[_SHOULDERS[1]] - body[_SHOULDERS[0]], 0)])


@dataclass(frozen=True)
class Boxes:
    """Pixels of each clip relative to a box: (x - centre) / half, so that its edges are -1 and 1."""

    centre: Tensor  # (N, 2) x, y
    half: Tensor  # (N, 2)

    @classmethod
    def of_images(cls, sizes: np.ndarray) -> "Boxes":
        """The whole image of each clip; sizes (N, 2) are heights and widths."""
        half = torch.from_numpy(sizes[:, ::-1] / 2).float()
        return cls(half, half)

    @classmethod
    def of_clips(cls, frames: np.ndarray, starts: np.ndarray, lengths: np.ndarray, has_score: bool) -> "Boxes":
        """The box around everything that is seen in a clip; a tiny one is left alone."""
        edges = np.array(list(_edges(frames, starts, lengths, has_score)), np.float32).reshape(-1, 2, 2)
        low, high = edges[:, 0], edges[:, 1]
        wide = ((high - low) > _SMALLEST_BOX).all(1, keepdims=True)
        centre, half = np.where(wide, (low + high) / 2, 0), np.where(wide, (high - low) / 2, 1)
        return cls(torch.from_numpy(centre), torch.from_numpy(half.astype(np.float32)))

    def apply(self, x: Tensor, index: Tensor, threshold: float = SCORE) -> Tensor:
        """x (N, M, T, V, C) float32 of the clips `index`; a joint whose score is not above the threshold is at 0."""
        centre, half = (sent(each[index], x.device)[:, None, None, None] for each in (self.centre, self.half))
        place = (x[..., :2] - centre) / half
        if x.shape[-1] == 2:
            return place
        return torch.cat([torch.where(x[..., 2:] > threshold, place, 0), x[..., 2:]], -1)


def _edges(frames: np.ndarray, starts: np.ndarray, lengths: np.ndarray, has_score: bool) -> Iterator[np.ndarray]:
    """(2, 2) for each clip: the lowest and the highest x and y."""
    for rows, length in zip(starts, lengths, strict=True):
        seen = np.concatenate([frames[row : row + length] for row in rows if row] or [frames[:1]]).astype(np.float32)
        points = seen[seen[..., 2] > SCORE] if has_score else seen.reshape(-1, seen.shape[-1])
        yield np.stack([points[:, :2].min(0), points[:, :2].max(0)]) if len(points) else np.zeros((2, 2))


def normalised(x: Tensor, sizes: Tensor) -> Tensor:
    """Pixels relative to the image: (x - width/2) / width, (y - height/2) / height, score - 0.5 where there is one."""
    height, width = sizes[:, 0].float(), sizes[:, 1].float()
    one = torch.ones_like(width)
    scale = torch.stack([width, height, one], dim=-1)[:, None, None, None, : x.shape[-1]]
    return (x - scale / 2) / scale
