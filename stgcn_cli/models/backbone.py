"""Shared parts of the networks: input normalisation, graph, stages, head.

Shapes: N clips, C channels, T frames, V joints, M persons, B = N*M bodies. Features are (B, C, V, T) with the channels last in
memory: sums over joints and 1x1 convolutions are matrix products, temporal convolutions run along rows.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgcn_cli.config.skeletons import LAYOUTS, Layout
from stgcn_cli.models.deduplicate import Distinct, EmptyBody, distinct_bodies, known_bodies, rounded_up
from stgcn_cli.models.graph import adjacency
from stgcn_cli.models.keys import Keys

if TYPE_CHECKING:
    from stgcn_cli.data.loader import Absent

# Bodies: their number is a multiple of it (in evaluation: or a smaller power of two), since cuDNN looks for its quickest
# algorithm at every new size.
SIZES_ON_GPU, SIZES_IN_TRAINING = 32, 8
# Stages; those (from 1) that double the channels and halve the frames; first channels.
STAGES, WIDEN, WIDTH = 10, (5, 8), 64


def stages_of(stages: int = STAGES, widen: Sequence[int] = WIDEN) -> list[tuple[int, int]]:
    """(output channels, stride over frames) of each stage."""
    return [(WIDTH << sum(at <= stage for at in widen), 1 + (stage in widen)) for stage in range(1, stages + 1)]


class Head(nn.Module):
    """Features (N, C) to logits (N, num_classes), in the precision of its weights."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(self.fc.weight, 0, 0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits; never in reduced precision, where autocast would round them."""
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x, self.fc.weight.flatten(1), self.fc.bias)


def exporting() -> bool:
    """Whether torch.export or torch.jit.trace records the network, which then computes with plain operations only."""
    return torch.compiler.is_exporting() or torch.jit.is_tracing()


class Network(nn.Module):
    """A backbone and a head: skeleton clips (N, C, T, V, M), of any strides and float type, to logits (N, num_classes).

    `layout` is a skeleton or the name of a built-in one, `partition` one in `graph.PARTITIONS`.
    """

    keys: ClassVar[Keys]
    partition: ClassVar[str]  # by default
    backbone_type: ClassVar[type["SharedBackbone"]]

    def __init__(
        self,
        layout: Layout | str,
        num_classes: int,
        channels: int = 3,
        partition: str | None = None,
        dropout: float = 0.0,
        stages: int = STAGES,
        widen: Sequence[int] = WIDEN,
    ) -> None:
        super().__init__()
        skeleton = LAYOUTS[layout] if isinstance(layout, str) else layout
        graph = torch.tensor(adjacency(skeleton, partition or self.partition)).float()
        sizes = stages_of(stages, widen)
        self.backbone = self.backbone_type(graph, channels, dropout, sizes)
        self.cls_head = Head(sizes[-1][0], num_classes)

    def forward(self, x_NCTVM: Tensor, absent: "Absent | None" = None) -> Tensor:
        """Logits; in training mode BatchNorm's buffers are updated. `absent` names the persons that are not there."""
        return self.cls_head(self.features(x_NCTVM, absent))

    def features(self, x_NCTVM: Tensor, absent: "Absent | None" = None) -> Tensor:
        """Input of the head: the mean over the bodies of a clip, (N, 256)."""
        return self.backbone(x_NCTVM, absent).unflatten(0, (x_NCTVM.shape[0], x_NCTVM.shape[4])).mean(1)

    def plain(self, x_NCTVM: Tensor) -> Tensor:
        """Logits by plain operations: the published order, for exports and as reference of the fast path."""
        bodies = self.backbone.plain(x_NCTVM)
        return self.cls_head(bodies.unflatten(0, (x_NCTVM.shape[0], x_NCTVM.shape[4])).mean(1))


class SharedBackbone(nn.Module):
    """Cast the input, find copies of one body, normalise, run `blocks`, and take the mean.

    Clips (N, C, T, V, M) to the mean features of each body, (N*M, 256). `a` is the graph (K, V, V), `stages` as of `stages_of`.
    """

    def __init__(self, a: Tensor, channels: int, dropout: float, stages: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.register_buffer("A", a)
        self.data_bn = nn.BatchNorm1d(channels * a.shape[1])
        self.copies_are_equal = dropout == 0
        self.empty_body = EmptyBody()

    def normalise_each_person(self, persons: int) -> None:
        """Give the values of each of `persons` persons their own normalisation, as in 2s-AGCN's own code."""
        self.data_bn = nn.BatchNorm1d(persons * self.data_bn.num_features)

    def normalised(self, x_BTVC: Tensor) -> Tensor:
        """BatchNorm of every value of a frame, by joint and coordinate; those of persons are shared, or each has its own."""
        flat = x_BTVC.flatten(2)
        persons = self.data_bn.num_features // flat.shape[2]
        rows = flat.unflatten(0, (-1, persons)).transpose(1, 2).flatten(2)  # (N, T, M V C)
        y = self.data_bn(rows.flatten(0, 1)).view(rows.shape)
        return y.unflatten(2, (persons, -1)).transpose(1, 2).reshape(x_BTVC.shape)

    def blocks(self, x: Tensor, copies: int) -> Tensor:
        """x (B, C, V, T) with channels last in memory -> features (B, C_out, V, T_out)."""
        raise NotImplementedError

    def plain_blocks(self, x: Tensor) -> Tensor:
        """As `blocks`, by plain operations: x (B, C, T, V) -> features (B, C_out, T_out, V)."""
        raise NotImplementedError

    def plain(self, x_NCTVM: Tensor) -> Tensor:
        """Mean features (N*M, 256) by plain operations, which torch.export, ONNX and torch.jit.trace know."""
        x = x_NCTVM.to(self.A.dtype).permute(0, 4, 3, 1, 2)  # N M V C T
        bodies = (x.shape[0] * x.shape[1], *x.shape[2:])
        x = self.data_bn(x.reshape(-1, self.data_bn.num_features, bodies[3])).view(bodies)
        return self.plain_blocks(x.permute(0, 2, 3, 1).contiguous()).mean((2, 3), dtype=self.A.dtype)

    def forward(self, x_NCTVM: Tensor, absent: "Absent | None" = None) -> Tensor:
        """Mean features; the input is cast to the float type of the weights."""
        if exporting():
            return self.plain(x_NCTVM)
        x_BTVC = x_NCTVM.permute(0, 4, 2, 3, 1).to(self.A.dtype).flatten(0, 1)
        distinct = self.find_copies(x_BTVC, absent)
        if distinct is None:
            return self.features(x_BTVC)
        if self.training or torch.is_grad_enabled():
            return self.features(x_BTVC, distinct.kept, distinct.copies)[distinct.place]
        return self.evaluated(x_BTVC, distinct)

    def evaluated(self, x_BTVC: Tensor, distinct: Distinct) -> Tensor:
        """Mean features of all bodies; those of the empty one are computed in the first batch that has it."""
        key = self.empty_body.key(self, distinct.content, x_BTVC.shape[1:], x_BTVC.device.type)
        empty = self.empty_body.get(key)
        kept = distinct.kept if empty is None else distinct.kept[:-1]
        filled = rounded_up(kept, SIZES_ON_GPU if x_BTVC.is_cuda else 1)
        x = self.features(x_BTVC, filled)[: len(kept)]
        if empty is None:
            self.empty_body.keep(key, x[-1:])
        else:
            x = torch.cat([x, empty])
        return x[distinct.place]

    def features(self, x_BTVC: Tensor, kept: Tensor | None = None, copies: int = 1) -> Tensor:
        """Mean features (B, 256) of the bodies `kept`, the last of which counts `copies` times in BatchNorm."""
        x_BTVC = self.normalised(x_BTVC)
        if kept is not None:
            x_BTVC = x_BTVC[kept]
        x = x_BTVC.transpose(1, 2).contiguous().permute(0, 3, 1, 2)
        return self.blocks(x, copies).mean((2, 3), dtype=self.A.dtype)

    def train(self, mode: bool = True) -> "SharedBackbone":
        """Drop the cached empty body: writes to the `.data` of a weight cannot be detected."""
        self.empty_body = EmptyBody()
        return super().train(mode)

    def find_copies(self, x_BTVC: Tensor, absent: "Absent | None" = None) -> Distinct | None:
        """See `distinct_bodies`; None where copies differ (dropout, a normalisation for each person), or need a gradient each.

        Nor are they looked for by their values in training on a GPU, where the host would wait at every step.
        """
        if x_BTVC.requires_grad or (self.training and not self.copies_are_equal):
            return None
        if self.data_bn.num_features != x_BTVC.shape[2:].numel():  # it is different for each person
            return None
        is_learning = self.training or torch.is_grad_enabled()
        if absent is not None:
            return known_bodies(absent, 2 if is_learning else 1, SIZES_IN_TRAINING if is_learning else 1)
        if self.training and x_BTVC.is_cuda:
            return None
        return distinct_bodies(x_BTVC, least=2 if is_learning else 1)
