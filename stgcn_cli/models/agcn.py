"""AGCN: adaptive graph convolution, the joint or bone stream of 2s-AGCN (Shi et al. 2019).

Shapes: N clips, C channels, T frames, V joints, M persons, K = 3 partitions, B = N*M bodies, E channels of an embedding.
To the published graph A come a trained one (PA) and, for each body, one that its own features give: the softmax over v of
the products of two embeddings of joints v and w. Memory layout as in `stgcn`: (B, C, V, T) with the channels last.
Module names, order and shapes are those of MMAction2 0.24.1, and so are the fresh weights: torch's defaults.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgcn_cli.models.backbone import Network, SharedBackbone
from stgcn_cli.models.blocks import Residual, chain, convolve_frames, folded, in_autocast, projection
from stgcn_cli.models.deduplicate import batch_norm
from stgcn_cli.models.graph_conv import AdaptiveAggregateAndMix, mix
from stgcn_cli.models.keys import Keys
from stgcn_cli.models.stgcn import TEMPORAL_KERNEL

_REDUCTION = 4  # output channels for each channel of an embedding
_FAINT = 1e-6  # weight of the trained graph before training


def initialise_as_authors(model: nn.Module) -> None:
    """Draw fresh weights as the network's authors do, and BABEL's program after them: each graph branch begins faint."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and ".gcn.conv_d." in name:
            c_out, c_in = module.weight.shape[:2]
            nn.init.normal_(module.weight, 0, math.sqrt(2 / (c_out * c_in * len(model.backbone.A))))
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d) and name != "cls_head.fc":
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            nn.init.zeros_(module.bias)
        elif name.endswith(".gcn.bn"):
            nn.init.constant_(module.weight, _FAINT)
    head = model.cls_head.fc
    nn.init.normal_(head.weight, 0, math.sqrt(2 / head.out_channels))
    nn.init.uniform_(head.bias, -1 / math.sqrt(head.in_channels), 1 / math.sqrt(head.in_channels))


class Backbone(SharedBackbone):
    """Clips (N, C, T, V, M) to the mean features of each body, (N*M, 256)."""

    def __init__(self, a: Tensor, channels: int, dropout: float, stages: Sequence[tuple[int, int]]) -> None:
        super().__init__(a, channels, dropout, stages)
        self.agcn_networks = chain(Block, channels, stages, a, dropout)

    def blocks(self, x: Tensor, copies: int) -> Tensor:
        """x (B, C, V, T) with channels last in memory -> (B, 256, V, T / 4)."""
        for block in self.agcn_networks:
            x = block(x, self.A, copies)
        return x

    def plain_blocks(self, x: Tensor) -> Tensor:
        """x (B, C, T, V) -> (B, 256, T / 4, V)."""
        for block in self.agcn_networks:
            x = block.plain(x, self.A)
        return x


class Block(Residual):
    """Adaptive graph convolution, then convolution over frames with BatchNorm; residual; ReLU."""

    def __init__(self, c_in: int, c_out: int, stride: int, a: Tensor, dropout: float, residual: bool) -> None:
        super().__init__()
        self.gcn = AdaptiveGraphConvolution(c_in, c_out, a)
        self.tcn = nn.Sequential(
            nn.Conv2d(c_out, c_out, (TEMPORAL_KERNEL, 1), (stride, 1), (TEMPORAL_KERNEL // 2, 0)),
            nn.BatchNorm2d(c_out),
            nn.Dropout(dropout, inplace=True),
        )
        self.set_residual(c_in, c_out, stride, residual)

    def forward(self, x: Tensor, a: Tensor, copies: int) -> Tensor:
        """x (B, C_in, V, T), a (K, V, V) -> (B, C_out, V, T / stride)."""
        conv, norm, dropout = self.tcn
        return self.completed(dropout(convolve_frames(conv, norm, self.gcn(x, a, copies), copies)), x, copies)

    def plain(self, x: Tensor, a: Tensor) -> Tensor:
        """The published order: x (B, C_in, T, V), a (K, V, V) -> (B, C_out, T / stride, V)."""
        return self.completed_plainly(self.tcn(self.gcn.plain(x, a)), x)


class AdaptiveGraphConvolution(nn.Module):
    """ReLU of BatchNorm of the sum over k of conv_d[k](x G[k]), plus x: (B, C_in, V, T) to (B, C_out, V, T).

    G[k] = A[k] + PA[k] + softmax over v of a[v] b[w] / (E T), with a and b the embeddings of conv_a[k] and conv_b[k].
    """

    def __init__(self, c_in: int, c_out: int, a: Tensor) -> None:
        super().__init__()
        self.PA = nn.Parameter(torch.full_like(a, _FAINT))
        self.conv_a, self.conv_b, self.conv_d = (
            nn.ModuleList(nn.Conv2d(c_in, width, 1) for _ in a)
            for width in (c_out // _REDUCTION, c_out // _REDUCTION, c_out)
        )
        self.down = projection(c_in, c_out) if c_in != c_out else None
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor, a: Tensor, copies: int) -> Tensor:
        """x and result in channels-last memory; in evaluation BatchNorm is folded into the convolutions."""
        x_BVTC = x.permute(0, 2, 3, 1)
        graph = self.graph(x_BVTC, a)
        weight = torch.stack([conv.weight.flatten(1) for conv in self.conv_d])
        bias = torch.stack([conv.bias for conv in self.conv_d]).sum(0)
        inputs = in_autocast(x_BVTC, graph, *folded(self.bn, weight, bias))
        y = AdaptiveAggregateAndMix.apply(*inputs).permute(0, 3, 1, 2)
        if self.training:
            y = batch_norm(self.bn, y, copies)
        added = x if self.down is None else convolve_frames(self.down[0], self.down[1], x, copies)
        if not self.training and torch.is_grad_enabled():  # autograd forbids writing into a view returned by a Function
            return F.relu(y + added)
        return y.add_(added).relu_()

    def plain(self, x: Tensor, a: Tensor) -> Tensor:
        """The published order, one partition after the other: x (B, C_in, T, V), a (K, V, V) -> (B, C_out, T, V)."""
        bodies, channels, frames, joints = x.shape
        flat, y = x.reshape(bodies, channels * frames, joints), None
        for graph, conv_a, conv_b, conv_d in zip(a + self.PA, self.conv_a, self.conv_b, self.conv_d, strict=True):
            from_v, to_w = (conv(x).reshape(bodies, -1, joints) for conv in (conv_a, conv_b))
            own = torch.softmax(from_v.transpose(1, 2) @ to_w / (conv_a.out_channels * frames), 1)
            z = conv_d((flat @ (graph + own)).view(x.shape))
            y = z if y is None else y + z
        return F.relu(self.bn(y) + (x if self.down is None else self.down(x)))

    def graph(self, x_BVTC: Tensor, a: Tensor) -> Tensor:
        """The graph of each body, (B, K, V, V); G[b, k, v, w] weighs what joint w receives from joint v.

        One product for all six embeddings: those of a single one are too narrow to be quick.
        """
        convs = [*self.conv_a, *self.conv_b]
        weight = torch.cat([conv.weight.flatten(1) for conv in convs])
        bias = torch.cat([conv.bias for conv in convs])
        bodies, joints = x_BVTC.shape[:2]
        embedded = mix(x_BVTC, weight, bias).unflatten(3, (2, len(a), -1)).permute(3, 0, 4, 1, 2, 5)
        from_v, to_w = embedded.reshape(2, bodies * len(a), joints, -1)
        similar = torch.bmm(from_v, to_w.transpose(1, 2)).div_(from_v.shape[-1])
        return similar.view(bodies, len(a), joints, joints).softmax(2) + (a + self.PA)


class AGCN(Network):
    """See `Network`."""

    keys = Keys(
        blocks="backbone.agcn_networks.",
        by_layout=r"backbone\.(A|data_bn\..*|agcn_networks\.\d+\.gcn\.PA)",
        first=r"backbone\.agcn_networks\.0\.gcn\.(conv_[abd]\.\d|down\.0)\.weight",
    )
    partition, backbone_type = "agcn", Backbone
