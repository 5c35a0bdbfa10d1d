"""ST-GCN: spatial-temporal graph convolution over skeletons (Yan et al. 2018).

Shapes: N clips, C channels, T frames, V joints, M persons, K partitions, B = N*M bodies.
Inside the network features are (B, C, V, T) with the channels last in memory: the sum over joints and the 1x1
convolutions are plain matrix products, a temporal convolution runs along rows, and nothing is copied into another order.
Module names, order and shapes are those of the published weights, whose temporal kernels are (9, 1).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stgcn_cli.models.backbone import Network, SharedBackbone
from stgcn_cli.models.blocks import Residual, chain, convolve_frames, folded, in_autocast
from stgcn_cli.models.deduplicate import batch_norm
from stgcn_cli.models.graph_conv import AggregateAndMix, receivers
from stgcn_cli.models.keys import Keys

TEMPORAL_KERNEL = 9  # frames


class Backbone(SharedBackbone):
    """Clips (N, C, T, V, M) to the mean features of each body, (N*M, 256)."""

    def __init__(self, a: Tensor, channels: int, dropout: float, stages: Sequence[tuple[int, int]]) -> None:
        super().__init__(a, channels, dropout, stages)
        self.st_gcn_networks = chain(Block, channels, stages, a, dropout)
        self.edge_importance = nn.ParameterList(nn.Parameter(torch.ones_like(self.A)) for _ in stages)
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


class Block(Residual):
    """Graph convolution, then convolution over frames, each with BatchNorm; residual; ReLU."""

    def __init__(self, c_in: int, c_out: int, stride: int, a: Tensor, dropout: float, residual: bool) -> None:
        super().__init__()
        self.gcn = GraphConvolution(c_in, c_out, len(a))
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(c_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(c_out, c_out, (TEMPORAL_KERNEL, 1), (stride, 1), (TEMPORAL_KERNEL // 2, 0)),
            nn.BatchNorm2d(c_out),
            nn.Dropout(dropout if residual else 0.0, inplace=True),
        )
        self.set_residual(c_in, c_out, stride, residual)

    def forward(self, x: Tensor, a: Tensor, receiving: list[Tensor | None], copies: int) -> Tensor:
        """x (B, C_in, V, T), a (K, V, V) weighted by importance -> (B, C_out, V, T / stride). See `receivers`."""
        norm, relu, conv, conv_norm, dropout = self.tcn
        y = relu(self.gcn(x, a, receiving, norm, copies))
        return self.completed(dropout(convolve_frames(conv, conv_norm, y, copies)), x, copies)

    def plain(self, x: Tensor, a: Tensor) -> Tensor:
        """The published order: x (B, C_in, T, V), a (K, V, V) -> (B, C_out, T / stride, V)."""
        y = self.gcn.conv(x)
        y = torch.einsum("bkctv,kvw->bctw", y.unflatten(1, (a.shape[0], -1)), a)
        return self.completed_plainly(self.tcn(y.contiguous()), x)


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
        inputs = in_autocast(x.permute(0, 2, 3, 1), a, *folded(norm, weight, bias))
        y = AggregateAndMix.apply(*inputs, receiving).permute(0, 3, 1, 2)
        return batch_norm(norm, y, copies) if norm.training else y


class STGCN(Network):
    """See `Network`. The state dict is that of MMAction2 0.24.1, so that published weights load strictly."""

    keys = Keys(
        blocks="backbone.st_gcn_networks.",
        by_layout=r"backbone\.(A|data_bn\..*|edge_importance\..*)",
        first=r"backbone\.st_gcn_networks\.0\.gcn\.conv\.weight",
        importance="backbone.edge_importance.",
    )
    partition, backbone_type = "spatial", Backbone
