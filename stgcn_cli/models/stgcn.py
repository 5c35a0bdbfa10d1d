"""ST-GCN: spatial-temporal graph convolution over skeletons (Yan et al. 2018).

Shapes: N clips, C channels, T frames, V joints, M persons, K partitions, B = N*M bodies.
Inside the network features are (B, C, T, V) with the channels last in memory, so that every 1x1 convolution is one
matrix product and nothing is ever copied into another order. Module names are those of the published weights.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgcn_cli.models.aggregate import AggregateAndMix
from stgcn_cli.models.graph import adjacency
from stgcn_cli.skeleton import LAYOUTS

BLOCKS = [(64, 1), (64, 1), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1)]
TEMPORAL_KERNEL = 9  # frames


class STGCN(nn.Module):
    """Skeleton clips (N, C, T, V, M), of any strides and float type, to logits (N, num_classes).

    `layout` is a name in `skeleton.LAYOUTS`, `partition` one in `graph.PARTITIONS`. The state dict has the names, order
    and shapes of MMAction2 0.24.1.
    """

    def __init__(
        self, layout: str, num_classes: int, channels: int = 3, partition: str = "spatial", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.backbone = Backbone(adjacency(LAYOUTS[layout], partition), channels, dropout)
        self.cls_head = Head(BLOCKS[-1][0], num_classes)

    def forward(self, x_NCTVM: Tensor) -> Tensor:
        persons = x_NCTVM.shape[-1]
        features = self.backbone(x_NCTVM).mean((2, 3))
        return self.cls_head(features.unflatten(0, (-1, persons)).mean(1))


class Head(nn.Module):
    """Features (N, C) to logits (N, num_classes)."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(self.fc.weight, 0, 0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.fc.weight.flatten(1), self.fc.bias)


class Backbone(nn.Module):
    """Clips (N, C, T, V, M) to features (B, 256, T/4, V)."""

    def __init__(self, a: "numpy.ndarray", channels: int, dropout: float) -> None:  # noqa: F821
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
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x_NCTVM: Tensor) -> Tensor:
        n, c, t, v, m = x_NCTVM.shape
        x = x_NCTVM.permute(0, 4, 2, 3, 1).to(self.A.dtype).reshape(n * m * t, v * c)
        x = self.data_bn(x).view(n * m, t, v, c).transpose(1, 2).contiguous().permute(0, 3, 1, 2)
        for block, importance in zip(self.st_gcn_networks, self.edge_importance, strict=True):
            x = block(x, self.A * importance)
        return x


class GraphConvolution(nn.Module):
    """Sum over partitions of A[k] times a 1x1 convolution: (B, C_in, V, T) to (B, C_out, V, T)."""

    def __init__(self, c_in: int, c_out: int, partitions: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out * partitions, 1)

    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        weight = self.conv.weight.view(len(a), -1, x.shape[1])
        bias = a.sum(1).T @ self.conv.bias.view(len(a), -1)  # (V, C_out): what A[k] hands joint w of the bias of k
        dtype = compute_dtype(x)
        y = AggregateAndMix.apply(x.permute(0, 2, 3, 1).to(dtype), a.to(dtype), weight.to(dtype), bias.to(dtype))
        return y.permute(0, 3, 1, 2)


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
        if residual:
            same = c_in == c_out and stride == 1
            self.residual = nn.Identity() if same else nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, (stride, 1)), nn.BatchNorm2d(c_out)
            )

    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        norm, relu, conv, norm2, dropout = self.tcn
        y = dropout(norm2(convolve(conv, relu(norm(self.gcn(x, a))))))
        if self.residual is not None:
            if isinstance(self.residual, nn.Identity):
                y = y.add_(x)
            else:
                y = y.add_(self.residual[1](convolve(self.residual[0], x)))
        return F.relu_(y)


def convolve(conv, x):
    return F.conv2d(x, conv.weight.transpose(2, 3), conv.bias, conv.stride[::-1], conv.padding[::-1])


def compute_dtype(x):
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
