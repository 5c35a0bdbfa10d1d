"""ST-GCN: spatial-temporal graph convolution over skeletons (Yan et al. 2018).

Shapes: N clips, C channels, T frames, V joints, M persons, K partitions, B = N*M bodies.
Inside the network features are (B, C, V, T) with the channels last in memory: the sum over joints and the 1x1
convolutions are plain matrix products, a temporal convolution runs along rows, and nothing is copied into another order.
Module names, order and shapes are those of the published weights, whose temporal kernels are (9, 1).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgcn_cli.config.skeletons import LAYOUTS, Layout
from stgcn_cli.models.backbone import Head, Network, SharedBackbone, convolve_frames, scale_and_shift
from stgcn_cli.models.deduplicate import batch_norm
from stgcn_cli.models.graph import adjacency
from stgcn_cli.models.graph_conv import AggregateAndMix, receivers
from stgcn_cli.models.keys import Keys

BLOCKS = [(64, 1), (64, 1), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1)]
TEMPORAL_KERNEL = 9  # frames


class STGCN(Network):
    """Skeleton clips (N, C, T, V, M), of any strides and float type, to logits (N, num_classes).

    `layout` is a skeleton or the name of a built-in one, `partition` one in `graph.PARTITIONS`. The state dict is that of
    MMAction2 0.24.1, so that published weights load strictly.
    """

    keys = Keys(
        blocks="backbone.st_gcn_networks.",
        by_layout=r"backbone\.(A|data_bn\..*|edge_importance\..*)",
        first=r"backbone\.st_gcn_networks\.0\.gcn\.conv\.weight",
        importance="backbone.edge_importance.",
    )

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
        self.backbone = Backbone(torch.tensor(adjacency(skeleton, partition)).float(), channels, dropout)
        self.cls_head = Head(BLOCKS[-1][0], num_classes)


class Backbone(SharedBackbone):
    """Clips (N, C, T, V, M) to the mean features of each body, (N*M, 256)."""

    def __init__(self, a: Tensor, channels: int, dropout: float) -> None:
        super().__init__(a, channels, dropout)
        widths = [channels] + [width for width, _ in BLOCKS]
        self.st_gcn_networks = nn.ModuleList(
            Block(c_in, c_out, stride, len(a), dropout if i else 0.0, residual=i > 0)
            for i, (c_in, (c_out, stride)) in enumerate(zip(widths, BLOCKS, strict=False))
        )
        self.edge_importance = nn.ParameterList(nn.Parameter(torch.ones_like(self.A)) for _ in BLOCKS)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def blocks(self, x: Tensor, copies: int) -> Tensor:
        """x (B, C, V, T) with channels last in memory -> (B, 256, V, T / 4)."""
        receiving = receivers(self.A)
        for block, importance in zip(self.st_gcn_networks, self.edge_importance, strict=True):
            x = block(x, self.A * importance, receiving, copies)
        return x

    def plain_blocks(self, x: Tensor) -> Tensor:
        """x (B, C, T, V) -> (B, 256, T / 4, V)."""
        for block, importance in zip(self.st_gcn_networks, self.edge_importance, strict=True):
            x = block.plain(x, self.A * importance)
        return x


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
            y = y.add_(convolve_frames(self.residual[0], self.residual[1], x, copies))
        return relu(y)

    def plain(self, x: Tensor, a: Tensor) -> Tensor:
        """The published order: x (B, C_in, T, V), a (K, V, V) -> (B, C_out, T / stride, V)."""
        y = self.gcn.conv(x)
        y = torch.einsum("bkctv,kvw->bctw", y.unflatten(1, (a.shape[0], -1)), a)
        y = self.tcn(y.contiguous())
        return F.relu(y if self.residual is None else y + self.residual(x))


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
