"""ST-GCN: spatial-temporal graph convolution over skeletons (Yan et al. 2018).

Shapes: N clips, C channels, T frames, V joints, M persons, K partitions, B = N*M bodies.
Inside the network features are (B, C, V, T) with the channels last in memory: the sum over joints and the 1x1
convolutions are plain matrix products, a temporal convolution runs along rows, and nothing is copied into another order.
Module names, order and shapes are those of the published weights, whose temporal kernels are (9, 1).
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgcn_cli.config.skeletons import LAYOUTS, Layout
from stgcn_cli.models.deduplicate import Distinct, EmptyBody, batch_norm, distinct_bodies, rounded_up
from stgcn_cli.models.graph import adjacency
from stgcn_cli.models.graph_conv import AggregateAndMix, receivers
from stgcn_cli.models.temporal_conv import convolve

BLOCKS = [(64, 1), (64, 1), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1)]
TEMPORAL_KERNEL = 9  # frames
# Bodies: in evaluation their number is a multiple of it, since cuDNN looks for its quickest algorithm at every new size.
SIZES_ON_GPU = 32


class STGCN(nn.Module):
    """Skeleton clips (N, C, T, V, M), of any strides and float type, to logits (N, num_classes).

    `layout` is a skeleton or the name of a built-in one, `partition` one in `graph.PARTITIONS`. The state dict is that of
    MMAction2 0.24.1, so that published weights load strictly.
    """

    def __init__(
        self,
        layout: Layout | str,
        num_classes: int,
        channels: int = 3,
        partition: str = "spatial",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        skeleton = LAYOUTS[layout] if isinstance(layout, str) else layout
        self.backbone = Backbone(adjacency(skeleton, partition), channels, dropout)
        self.cls_head = Head(BLOCKS[-1][0], num_classes)

    def forward(self, x_NCTVM: Tensor) -> Tensor:
        """Logits; in training mode BatchNorm's buffers are updated."""
        bodies = self.backbone(x_NCTVM)
        return self.cls_head(bodies.unflatten(0, (len(x_NCTVM), -1)).mean(1))


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


class Backbone(nn.Module):
    """Clips (N, C, T, V, M) to the mean features of each body, (N*M, 256)."""

    def __init__(self, a: np.ndarray, channels: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("A", torch.tensor(a, dtype=torch.float32))
        partitions, joints, _ = self.A.shape
        self.data_bn = nn.BatchNorm1d(channels * joints)
        widths = [channels] + [width for width, _ in BLOCKS]
        self.st_gcn_networks = nn.ModuleList(
            Block(c_in, c_out, stride, partitions, dropout if i else 0.0, residual=i > 0)
            for i, (c_in, (c_out, stride)) in enumerate(zip(widths, BLOCKS, strict=False))
        )
        self.edge_importance = nn.ParameterList(nn.Parameter(torch.ones_like(self.A)) for _ in BLOCKS)
        self.copies_are_equal = dropout == 0
        self.empty_body = EmptyBody()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x_NCTVM: Tensor) -> Tensor:
        """Mean features; the input is cast to the float type of the weights."""
        x_BTVC = x_NCTVM.permute(0, 4, 2, 3, 1).to(self.A.dtype).flatten(0, 1)
        distinct = self.find_copies(x_BTVC)
        if distinct is None:
            return self.features(x_BTVC)
        if self.training or torch.is_grad_enabled():
            return self.features(x_BTVC, distinct.kept, distinct.copies)[distinct.place]
        return self.evaluated(x_BTVC, distinct)

    def evaluated(self, x_BTVC: Tensor, distinct: Distinct) -> Tensor:
        """Mean features of all bodies; those of the empty one are computed in the first batch that has it."""
        key = self.empty_body.key(self, distinct.constant, x_BTVC.shape[1:])
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
        x_BTVC = self.data_bn(x_BTVC.flatten(0, 1).flatten(1)).view(x_BTVC.shape)
        if kept is not None:
            x_BTVC = x_BTVC[kept]
        x = x_BTVC.transpose(1, 2).contiguous().permute(0, 3, 1, 2)
        receiving = receivers(self.A)
        for block, importance in zip(self.st_gcn_networks, self.edge_importance, strict=True):
            x = block(x, self.A * importance, receiving, copies)
        return x.mean((2, 3), dtype=self.A.dtype)

    def train(self, mode: bool = True) -> "Backbone":
        """Forgets the empty body: what is written to the `.data` of a weight leaves no other trace."""
        self.empty_body = EmptyBody()
        return super().train(mode)

    def find_copies(self, x_BTVC: Tensor) -> Distinct | None:
        """See `distinct_bodies`; None where copies differ (dropout), where one gradient each is asked for.

        Nor are they counted in training on a GPU, where the host would wait for the answer at every step.
        """
        if self.training and (x_BTVC.is_cuda or not self.copies_are_equal):
            return None
        if x_BTVC.requires_grad:
            return None
        return distinct_bodies(x_BTVC, least=2 if self.training or torch.is_grad_enabled() else 1)


class Block(nn.Module):
    """Graph convolution, then convolution over frames, each with BatchNorm; residual; ReLU."""

    def __init__(self, c_in: int, c_out: int, stride: int, partitions: int, dropout: float, residual: bool) -> None:
        super().__init__()
        self.gcn = GraphConvolution(c_in, c_out, partitions)
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(c_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(c_out, c_out, (TEMPORAL_KERNEL, 1), (stride, 1), (TEMPORAL_KERNEL // 2, 0)),
            nn.BatchNorm2d(c_out),
            nn.Dropout(dropout, inplace=True),
        )
        self.residual = None
        if residual and c_in == c_out and stride == 1:
            self.residual = nn.Identity()
        elif residual:
            self.residual = nn.Sequential(nn.Conv2d(c_in, c_out, 1, (stride, 1)), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor, a: Tensor, receiving: list[Tensor | None], copies: int) -> Tensor:
        """x (B, C_in, V, T), a (K, V, V) weighted by importance -> (B, C_out, V, T / stride). See `receivers`."""
        norm, relu, conv, conv_norm, dropout = self.tcn
        y = relu(self.gcn(x, a, receiving, norm, copies))
        y = dropout(convolve_frames(conv, conv_norm, y, copies))
        if isinstance(self.residual, nn.Identity):
            y = y.add_(x)
        elif self.residual is not None:
            y = y.add_(convolve_frames(*self.residual, x, copies))
        return relu(y)


class GraphConvolution(nn.Module):
    """Sum over partitions of A[k] times a 1x1 convolution, then `norm`: (B, C_in, V, T) to (B, C_out, V, T)."""

    def __init__(self, c_in: int, c_out: int, partitions: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out * partitions, 1)

    def forward(
        self, x: Tensor, a: Tensor, receiving: list[Tensor | None], norm: nn.BatchNorm2d, copies: int
    ) -> Tensor:
        """x and result in channels-last memory; in evaluation `norm` is folded into the convolution."""
        weight = self.conv.weight.view(len(a), -1, x.shape[1])
        bias = a.sum(1).T @ self.conv.bias.view(len(a), -1)  # (V, C_out): what joint w receives of every k's bias
        if not norm.training:
            scale, shift = scale_and_shift(norm)
            weight, bias = weight * scale[:, None], bias * scale + shift
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        y = AggregateAndMix.apply(*(each.to(dtype) for each in (x.permute(0, 2, 3, 1), a, weight, bias)), receiving)
        y = y.permute(0, 3, 1, 2)
        return batch_norm(norm, y, copies) if norm.training else y


def convolve_frames(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor, copies: int) -> Tensor:
    """`norm` of `conv` over x (B, C, V, T); `conv` is published for (B, C, T, V). In evaluation norm is folded in."""
    weight, bias = conv.weight, conv.bias
    if not norm.training:
        scale, shift = scale_and_shift(norm)
        weight, bias = weight * scale[:, None, None, None], bias * scale + shift
    y = convolve(x, weight.transpose(2, 3), bias, conv.stride[0], conv.padding[0])
    return batch_norm(norm, y, copies) if norm.training else y


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What BatchNorm does in evaluation, per channel (C,): y = x * scale + shift."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale
