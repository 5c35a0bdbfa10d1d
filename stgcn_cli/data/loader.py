"""Clips out of the flat store: one gather of rows a batch; sampling, normalising, augmenting and streams on the device.

Shapes: N clips, K samples of a clip, C channels, T frames, V joints, M persons, R rows of the store.
"""

import dataclasses
import weakref
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from stgcn_cli.config import presets
from stgcn_cli.config.schema import DataConfig, Preset
from stgcn_cli.config.skeletons import TURNED, Layout
from stgcn_cli.data import sampling, streams
from stgcn_cli.data.augment import AugmentConfig, Sides, augmented
from stgcn_cli.data.draws import Draws, sent
from stgcn_cli.data.prenormalize import BodyFrames, Boxes, normalised
from stgcn_cli.data.records import REFERENCE_SIZE
from stgcn_cli.data.splits import Split

_CPU = torch.device("cpu")
_DEVICE_SHARE = 0.5  # of the free device memory the frames may take
_PINS = True  # False in tests without a GPU
Moved = TypeVar("Moved")
# Frames that lie on a device already, by the address of the stored ones: several splits of a store share them.
_PLACED: "weakref.WeakValueDictionary[tuple, Tensor]" = weakref.WeakValueDictionary()


class Absent(NamedTuple):
    """The persons of a batch that are not there. The host knows how many from the store, and never asks the device."""

    where: Tensor  # (N, M) bool, on the device
    number: int
    content: Hashable  # equal where missing persons hold the same values


@dataclass(frozen=True, kw_only=True)
class Clips:
    """The clips of a split as the network sees them. `frames` may lie on the device or in memory-mapped files."""

    frames: Tensor  # (R, V, C), row 0 zeros
    starts: Tensor  # (N, M) row of each person's first frame, 0 = no person
    lengths: Tensor  # (N,) frames that count
    labels: Tensor  # (N,)
    clip_len: int | None  # T; None: as long as stored, so all of a batch must be of one length
    data: DataConfig
    strengths: AugmentConfig
    sides: Sides
    missing: np.ndarray  # (N, M) bool on the host: persons that are not there
    lengths_on_host: np.ndarray  # as `lengths`
    parents: Tensor  # (V,) where the bone of each joint comes from
    image_sizes: Tensor | None = None  # (N, 2) height, width: normalise pixels by them
    boxes: Boxes | None = None  # or by these
    body: BodyFrames | None = None  # or place the persons as it says
    fixed: Tensor | None = None  # (distinct lengths, K, T) frames of an evaluation
    fixed_row: Tensor | None = None  # (N,) the row there of each clip
    samples: int = 1  # K of an evaluation
    device: torch.device = _CPU
    dtype: torch.dtype = torch.float32

    @classmethod
    def of(
        cls, split: Split, preset: Preset, device: torch.device, dtype: torch.dtype = torch.float32, samples: int = 1
    ) -> "Clips":
        """The clips of `split` as the preset wants them; frames go to the device where they fit.

        `samples` of each clip are shown in an evaluation.
        """
        data, layout = preset.data, presets.layout_of(preset)
        store, index = split.store, split.indices
        starts, lengths = _persons(store.starts[index], data.num_person), store.lengths[index]
        body = None
        if data.normalize == "body":
            joint = None if data.layout in TURNED else layout.centre
            body = BodyFrames.of(store.frames, store.starts[index], lengths, joint)
        if body is not None:
            starts, lengths = _persons(body.starts.numpy(), data.num_person), body.lengths.numpy()
        same = int(lengths[0]) if (lengths == lengths[0]).all() else None  # known here, so that a batch need not check
        table, rows = None, None
        if data.sampling != "loop" and data.clip_len:
            has_ratio = data.sampling == "uniform"
            table, rows = map(torch.from_numpy, sampling.uniform_fixed(lengths, data.clip_len, samples, has_ratio))
        sizes = _image_sizes(store.image_sizes[index], data)
        clips = cls(
            frames=torch.from_numpy(store.frames), starts=torch.from_numpy(starts), lengths=torch.from_numpy(lengths),
            labels=torch.from_numpy(store.labels[index]), clip_len=data.clip_len or same, data=data,
            strengths=preset.augment if isinstance(preset, Preset) else AugmentConfig(),
            missing=starts == 0, lengths_on_host=lengths, sides=_on(device, Sides(_other_sides(layout), -0.5 if data.normalize == "image" else 0.0)),
            parents=torch.tensor(streams.parents(layout), device=device),
            image_sizes=torch.from_numpy(sizes) if data.normalize == "image" else None,
            boxes=_boxes(split, data, sizes), body=body, fixed=table, fixed_row=rows,
            samples=samples if table is not None else 1, device=device, dtype=dtype,
        )  # fmt: skip
        if device.type == "cuda" and store.frames.nbytes < _DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
            return clips.moved(device)
        return clips

    def moved(self, device: torch.device) -> "Clips":
        """The same clips with everything on `device`, so that a batch needs no transfer; frames lie there once a process."""
        key = (self.frames.data_ptr(), self.frames.shape, str(device))
        frames = _PLACED.get(key)
        if frames is None:
            frames = _PLACED[key] = self.frames.to(device)
        return replace(_on(device, replace(self, frames=frames)), device=device)

    @property
    def gives_probabilities(self) -> bool:
        """Whether the scores of a clip are averaged probabilities, not logits."""
        return self.fixed is not None

    @property
    def is_random(self) -> bool:
        """Whether a batch of training depends on draws."""
        return self.data.sampling != "loop" or bool(self.data.augment)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, index: Tensor, draws: Draws | None = None, placed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (N * K, C, T, V, M) and labels (N,) of the clips `index`, counted on through repeated passes, on the device.

        With `draws` it is a batch of training: K = 1, sampled and augmented at random. A missing person is zeros before
        normalisation. `placed` is `index` where the store lies, if it is there already.
        """
        length = self.clip_len or int(self.lengths_on_host[int(index[0]) % len(self)])
        index = self.placed(index) if placed is None else placed
        index = index % len(self)
        labels = sent(self.labels[index], self.device)
        time = self._times(index, length, draws)
        x = self._network_input(index.repeat_interleave(len(time) // len(index)), time, draws)
        return x.permute(0, 4, 2, 3, 1).float().to(self.dtype), labels

    def stored(self, index: Tensor) -> Tensor:
        """(N, M, T, V, C) float32 as stored, of the clips `index`, all of one length."""
        starts = self.starts[index][..., None]
        rows = torch.where(starts > 0, starts + torch.arange(int(self.lengths[index[0]])), 0)
        return self.frames[rows].float()

    def placed(self, index: Tensor) -> Tensor:
        """`index` where the store lies; from the host through pinned memory, without a wait."""
        if index.device == self.starts.device:
            return index
        return sent(index, self.starts.device)

    def absent(self, index: Tensor, placed: Tensor | None = None) -> Absent | None:
        """The missing persons of the batch `index`, given on the host (and `placed`, where that has been done).

        None on the processor, where networks recognise them by their values.
        """
        if self.device.type == "cpu":
            return None
        count = self.count_absent(index) * self.samples
        where = self.starts[(self.placed(index) if placed is None else placed) % len(self)] == 0
        return Absent(sent(where, self.device).repeat_interleave(self.samples, 0), count, self.data)

    def count_absent(self, index: Tensor) -> int:
        """Missing persons of the clips `index`, given on the host."""
        return int(self.missing[index.numpy() % len(self)].sum())

    def _times(self, index: Tensor, length: int, draws: Draws | None) -> Tensor:
        """(N * K, T) frames of the clips that are shown."""
        lengths = self.lengths[index]
        if draws is None and self.fixed is not None and self.fixed_row is not None:
            return self.fixed[self.fixed_row[index]].flatten(0, 1)
        if draws is not None and self.data.sampling != "loop":
            return sampling.uniform(lengths, length, draws)
        return torch.arange(length, device=lengths.device) % lengths[:, None]  # repeated

    def _network_input(self, index: Tensor, time: Tensor, draws: Draws | None) -> Tensor:
        """(N, M, T, V, C): the frames `time` (N, T) of the clips `index` (N,), as the stream shows them."""
        last = time + 1 == self.lengths[index, None]
        moves, has_score = streams.moves(self.data.stream), self.data.channels == "xys"
        # where the stream needs the following frames, they stand behind the others, so that all change alike
        x = self._frames(index, torch.cat([time, time + ~last], 1) if moves else time)
        if draws is not None and self.data.augment:
            draws = Draws(sent(draws.keys, x.device))  # of frames on the host
            changed = augmented(x, self.data.augment, self.strengths, draws, self.sides, has_score)
            x = torch.where(sent(self.starts[index] > 0, x.device)[..., None, None, None], changed, x)
        x, after = x.chunk(2, 2) if moves else (x, x)
        return streams.stream_of(self.data.stream, x, after, sent(last, x.device)[:, None], self.parents, has_score)

    def _frames(self, index: Tensor, time: Tensor) -> Tensor:
        """(N, M, T, V, C), normalised: the frames `time` (N, T) of the clips `index` (N,)."""
        starts = self.starts[index][..., None]
        if self.body is not None:
            time = self.body.kept[self.body.first[index, None] + time]
        rows = torch.where(starts > 0, starts + time[:, None], 0)  # (N, M, T)
        is_far = self.device.type == "cuda" and not self.frames.is_cuda
        x = sent(rows_in_pinned_memory(self.frames, rows) if is_far else self.frames[rows], self.device)
        if self.body is not None:
            return self.body.apply(x, index)
        x = x.float()  # before any arithmetic: float16 pixels would be rounded once more
        if self.image_sizes is not None:
            return normalised(x, sent(self.image_sizes[index], self.device))
        if self.boxes is not None:
            return torch.where(sent(starts > 0, x.device)[..., None, None], self.boxes.apply(x, index), 0)
        return x


def rows_in_pinned_memory(frames: Tensor, rows: Tensor) -> Tensor:
    """`frames[rows]` of frames that do not fit on the GPU, from where they are copied while the host goes on."""
    gathered = torch.empty((rows.numel(), *frames.shape[1:]), dtype=frames.dtype, pin_memory=_PINS)
    torch.index_select(frames, 0, rows.flatten(), out=gathered)
    return gathered.unflatten(0, rows.shape)


def _on(device: torch.device, value: Moved) -> Moved:
    """A dataclass with all of its tensors on `device`."""
    fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}  # type: ignore[arg-type]
    moved = {name: field.to(device) for name, field in fields.items() if isinstance(field, Tensor)}
    inner = {name: _on(device, fields[name]) for name in ("boxes", "body", "sides") if fields.get(name) is not None}
    return replace(value, **moved, **inner)  # type: ignore[type-var]


def _other_sides(layout: Layout) -> Tensor:
    """(V,) the joint on the other side of the body; a joint in the middle is its own."""
    other = torch.arange(len(layout.joints))
    for left, right in layout.pairs:
        other[left], other[right] = right, left
    return other


def _boxes(split: Split, data: DataConfig, sizes: np.ndarray) -> Boxes | None:
    if data.normalize == "half-image":
        return Boxes.of_images(sizes)
    if data.normalize == "box":
        store = split.store
        return Boxes.of_clips(store.frames, store.starts[split.indices], store.lengths[split.indices], store.has_score)
    return None


def _persons(starts: np.ndarray, persons: int) -> np.ndarray:
    """(N, persons): the first persons of each clip, row 0 (zeros) where there are fewer."""
    return np.pad(starts[:, :persons], ((0, 0), (0, max(0, persons - starts.shape[1]))))


def _image_sizes(sizes: np.ndarray, data: DataConfig) -> np.ndarray:
    """(N, 2) height, width to normalise by; the reference's for a record without a size."""
    reference = np.broadcast_to(np.array(REFERENCE_SIZE), sizes.shape)
    return reference.copy() if data.image_size == "reference" else np.where(sizes > 0, sizes, reference)
