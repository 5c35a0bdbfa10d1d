"""Clips out of the flat store: one gather of rows a batch, padding and normalising on the device.

Shapes: N clips, C channels, T frames, V joints, M persons, R rows of the store.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from stgcn_cli.config import presets
from stgcn_cli.config.schema import DataConfig, Preset
from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.data import streams
from stgcn_cli.data.splits import Split

REFERENCE_SIZE = (1080, 1920)  # height, width the published 2-D models were normalised by
_CPU = torch.device("cpu")
_DEVICE_SHARE = 0.5  # of the free device memory the frames may take


@dataclass(frozen=True)
class Clips:
    """The clips of a split as the network sees them. `frames` may lie on the device or in memory-mapped files."""

    frames: Tensor  # (R, V, C), row 0 zeros
    starts: Tensor  # (N, M) row of each person's first frame, 0 = no person
    lengths: Tensor  # (N,) frames stored
    labels: Tensor  # (N,)
    clip_len: int | None  # T; None: as long as stored, so all of a batch must be of one length
    image_sizes: Tensor | None = None  # (N, 2) height, width: normalise pixels by them; None: leave as they are
    device: torch.device = _CPU
    dtype: torch.dtype = torch.float32
    stream: str = "joint"  # one of streams.STREAMS
    parents: Tensor | None = None  # (V,) on the device: where the bone of each joint comes from
    has_score: bool = False  # the third channel is the score of a keypoint

    @classmethod
    def of(
        cls, split: Split, preset: Preset | DataConfig, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> "Clips":
        """The clips of `split` as the preset wants them; frames go to the device where they fit."""
        data = preset.data if isinstance(preset, Preset) else preset
        layout = presets.layout_of(preset) if isinstance(preset, Preset) else LAYOUTS[data.layout]
        store, index = split.store, split.indices
        sizes = torch.from_numpy(_image_sizes(store.image_sizes[index], data)) if data.normalize == "image" else None
        lengths = store.lengths[index]
        same = int(lengths[0]) if (lengths == lengths[0]).all() else None  # known here, so that a batch need not check
        clips = cls(
            torch.from_numpy(store.frames),
            torch.from_numpy(_persons(store.starts[index], data.num_person)),
            torch.from_numpy(lengths),
            torch.from_numpy(store.labels[index]),
            data.clip_len or same, sizes, device, dtype,
            data.stream, torch.tensor(streams.parents(layout), device=device), data.channels == "xys",
        )  # fmt: skip
        if device.type == "cuda" and store.frames.nbytes < _DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
            return clips.moved(device)
        return clips

    def moved(self, device: torch.device) -> "Clips":
        """The same clips with everything on `device`, so that a batch needs no transfer."""
        sizes = None if self.image_sizes is None else self.image_sizes.to(device)
        tensors = {name: getattr(self, name).to(device) for name in ("frames", "starts", "lengths", "labels")}
        return replace(self, image_sizes=sizes, device=device, **tensors)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, C, T, V, M) and labels (N,) of the clips `index`, on the device.

        Frames shorter than T loop, longer ones are cut; a missing person is zeros, before normalisation.
        """
        index = index.to(self.starts.device)
        lengths = self.lengths[index]
        length = self.clip_len or int(lengths[0])
        time = torch.arange(length, device=lengths.device) % lengths[:, None]  # (N, T)
        return self._network_input(index, time).permute(0, 4, 2, 3, 1).to(self.dtype), self.labels[index].to(
            self.device
        )

    def _network_input(self, index: Tensor, time: Tensor) -> Tensor:
        """(N, M, T, V, C) float32: the frames `time` (N, T) of the clips `index` (N,), as the stream shows them."""
        x = self._frames(index, time)
        if self.stream == "joint":
            return x
        assert self.parents is not None
        last = time + 1 == self.lengths[index, None]
        after = self._frames(index, time + ~last) if streams.moves(self.stream) else x
        return streams.stream_of(self.stream, x, after, last[:, None].to(self.device), self.parents, self.has_score)

    def _frames(self, index: Tensor, time: Tensor) -> Tensor:
        """(N, M, T, V, C) float32, normalised: the frames `time` (N, T) of the clips `index` (N,)."""
        starts = self.starts[index][..., None]
        rows = torch.where(starts > 0, starts + time[:, None], 0)  # (N, M, T)
        # float32 before any arithmetic: float16 pixels would be rounded once more
        x = self.frames[rows.to(self.frames.device)].to(self.device, torch.float32)
        if self.image_sizes is not None:
            x = _normalised(x, self.image_sizes[index].to(self.device))
        return x


def _persons(starts: np.ndarray, persons: int) -> np.ndarray:
    """(N, persons): the first persons of each clip, row 0 (zeros) where there are fewer."""
    return np.pad(starts[:, :persons], ((0, 0), (0, max(0, persons - starts.shape[1]))))


def _image_sizes(sizes: np.ndarray, data: DataConfig) -> np.ndarray:
    """(N, 2) height, width to normalise by; the reference's for a record without a size."""
    reference = np.broadcast_to(np.array(REFERENCE_SIZE), sizes.shape)
    return reference.copy() if data.image_size == "reference" else np.where(sizes > 0, sizes, reference)


def _normalised(x: Tensor, sizes: Tensor) -> Tensor:
    """Pixels relative to the image: (x - width/2) / width, (y - height/2) / height, score - 0.5 where there is one."""
    height, width = sizes[:, 0].float(), sizes[:, 1].float()
    one = torch.ones_like(width)
    scale = torch.stack([width, height, one], dim=-1)[:, None, None, None, : x.shape[-1]]
    return (x - scale / 2) / scale


def epoch_order(clips: int, seed: int, epoch: int, passes: int = 1, shuffle: bool = True) -> Tensor:
    """The order of an epoch, a pure function: indices (clips * passes,), as the reference's distributed sampler draws."""
    if not shuffle:
        return torch.arange(clips * passes) % clips
    generator = torch.Generator().manual_seed(seed + epoch)
    return torch.randperm(clips * passes, generator=generator) % clips


def shard(order: Tensor, rank: int, world: int) -> Tensor:
    """This rank's part of a training order: padded by its own beginning to a multiple of `world`, then rank::world."""
    padding = -len(order) % world
    repeats = -(-padding // len(order))
    return torch.cat([order, order.repeat(repeats)[:padding]])[rank::world]
