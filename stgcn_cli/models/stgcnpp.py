"""ST-GCN++: a learned graph in every block and six temporal branches side by side (Duan et al. 2022).

Shapes: N clips, C channels, T frames, V joints, M persons, K partitions, B = N*M bodies. Features are (B, C, V, T) with the
channels last in memory, as in `stgcn`. Module names, order and shapes are those of PYSKL, whose head is linear here and there
(`cls_head.fc_cls` there), and whose temporal kernels are (3, 1). Weights begin with torch's defaults, as there.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgcn_cli.models.backbone import Network, SharedBackbone
from stgcn_cli.models.blocks import Residual, chain, convolve_frames, folded, in_autocast, projection
from stgcn_cli.models.deduplicate import batch_norm
from stgcn_cli.models.graph_conv import AggregateAndMix
from stgcn_cli.models.keys import Keys

# Of the convolutions over 3 frames; two more branches: a maximum of 3 frames, and the frame itself.
_DILATIONS = (1, 2, 3, 4)
_BRANCHES = len(_DILATIONS) + 2


class Backbone(SharedBackbone):
    """Clips (N, C, T, V, M) to the mean features of each body, (N*M, 256)."""

    def __init__(self, a: Tensor, channels: int, dropout: float, stages: Sequence[tuple[int, int]]) -> None:
        super().__init__(a, channels, dropout, stages)
        self.register_buffer("A", a, persistent=False)  # each block learns a graph of its own
        self.gcn = chain(Block, channels, stages, a, dropout)

    def blocks(self, x: Tensor, copies: int) -> Tensor:
        """x (B, C, V, T) with channels last in memory -> (B, 256, V, T / 4)."""
        for block in self.gcn:
            x = block(x, copies)
        return x

    def plain_blocks(self, x: Tensor) -> Tensor:
        """x (B, C, T, V) -> (B, 256, T / 4, V)."""
        for block in self.gcn:
            x = block.plain(x)
        return x


class Projection(nn.Module):
    """A 1x1 convolution with a stride over frames, and BatchNorm, under PYSKL's names."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 1, (stride, 1))
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C_in, T, V) -> (B, C_out, T / stride, V)."""
        return self.bn(self.conv(x))


class Block(Residual):
    """Graph convolution, then the temporal branches; residual; ReLU."""

    def __init__(self, c_in: int, c_out: int, stride: int, a: Tensor, dropout: float, residual: bool) -> None:
        super().__init__()
        self.gcn = GraphConvolution(c_in, c_out, a)
        self.tcn = TemporalBranches(c_out, stride, dropout if residual else 0.0)
        self.set_residual(c_in, c_out, stride, residual, Projection)

    def forward(self, x: Tensor, copies: int) -> Tensor:
        """x (B, C_in, V, T) -> (B, C_out, V, T / stride)."""
        return self.completed(self.tcn(self.gcn(x, copies), copies), x, copies)

    def plain(self, x: Tensor) -> Tensor:
        """The published order: x (B, C_in, T, V) -> (B, C_out, T / stride, V)."""
        return self.completed_plainly(self.tcn.plain(self.gcn.plain(x)), x)


class GraphConvolution(nn.Module):
    """ReLU of BatchNorm of the sum over k of conv_k(x A[k]), plus x: (B, C_in, V, T) to (B, C_out, V, T)."""

    def __init__(self, c_in: int, c_out: int, a: Tensor) -> None:
        super().__init__()
        self.A = nn.Parameter(a.clone())
        self.bn = nn.BatchNorm2d(c_out)
        self.conv = nn.Conv2d(c_in, c_out * len(a), 1)
        self.down = projection(c_in, c_out) if c_in != c_out else None

    def forward(self, x: Tensor, copies: int) -> Tensor:
        """x and result in channels-last memory; in evaluation BatchNorm is folded into the convolution."""
        weight = self.conv.weight.view(len(self.A), -1, x.shape[1])
        bias = self.A.sum(1).T @ self.conv.bias.view(len(self.A), -1)  # (V, C_out): what joint w receives of each bias
        inputs = in_autocast(x.permute(0, 2, 3, 1), self.A, *folded(self.bn, weight, bias))
        y = AggregateAndMix.apply(*inputs, [None] * len(self.A)).permute(0, 3, 1, 2)
        if self.training:
            y = batch_norm(self.bn, y, copies)
        y = y.add_(x if self.down is None else convolve_frames(self.down[0], self.down[1], x, copies))
        return y.relu_()

    def plain(self, x: Tensor) -> Tensor:
        """The published order, one partition after the other: x (B, C_in, T, V) -> (B, C_out, T, V)."""
        parts = self.conv(x).chunk(len(self.A), 1)
        y = sum(part @ graph for part, graph in zip(parts, self.A, strict=True))
        return F.relu(self.bn(y) + (x if self.down is None else self.down(x)))


class FramesConvolution(nn.Module):
    """A dilated convolution over 3 frames, under PYSKL's name."""

    def __init__(self, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, (3, 1), (stride, 1), (dilation, 0), (dilation, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, V, T) -> (B, C, V, T / stride)."""
        conv = self.conv
        weight, (stride, _), (dilation, _) = conv.weight.transpose(2, 3), conv.stride, conv.dilation
        return F.conv2d(x, weight, conv.bias, (1, stride), (0, dilation), (1, dilation))


class TemporalBranches(nn.Module):
    """Six branches side by side, concatenated, mixed by a 1x1 convolution: (B, C, V, T) to (B, C, V, T / stride)."""

    def __init__(self, channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        width = channels // _BRANCHES
        widths = [channels - width * (_BRANCHES - 1)] + [width] * (_BRANCHES - 1)
        self.stride = stride
        last: list[nn.Module] = [FramesConvolution(c, stride, d) for c, d in zip(widths, _DILATIONS, strict=False)]
        last.append(nn.MaxPool2d((3, 1), (stride, 1), (1, 0)))
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, c, 1), nn.BatchNorm2d(c), nn.ReLU(), each)
            for c, each in zip(widths, last, strict=False)
        )
        self.branches.append(nn.Conv2d(channels, widths[-1], 1, (stride, 1)))
        self.transform = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 1))
        self.bn = nn.BatchNorm2d(channels)
        self.drop = nn.Dropout(dropout, inplace=True)

    def forward(self, x: Tensor, copies: int) -> Tensor:
        """x and result in channels-last memory. The 1x1 convolutions of five branches are one product."""
        *branches, plain = self.branches
        convs, norms = [branch[0] for branch in branches], JoinedNorm([branch[1] for branch in branches])  # type: ignore[index]
        y = _mixed(x, torch.cat([conv.weight for conv in convs]), torch.cat([conv.bias for conv in convs]))
        y = norms(y, copies).relu_()
        parts = y.split([conv.out_channels for conv in convs], 1)
        ends = [branch[3](part) for branch, part in zip(branches[:-1], parts, strict=False)]  # type: ignore[index]
        ends.append(F.max_pool2d(parts[-1], (1, 3), (1, self.stride), (0, 1)))
        ends.append(_mixed(x[..., :: self.stride], plain.weight, plain.bias))
        norm, relu, conv = self.transform
        y = relu(batch_norm(norm, torch.cat(ends, 1), copies) if self.training else norm(torch.cat(ends, 1)))
        return self.drop(convolve_frames(conv, self.bn, y, copies))

    def plain(self, x: Tensor) -> Tensor:
        """The published order: x (B, C, T, V) -> (B, C, T / stride, V)."""
        *dilated, pooled, plain = self.branches
        ends = [branch[3].conv(branch[:3](x)) for branch in dilated]  # type: ignore[index]
        return self.drop(self.bn(self.transform(torch.cat([*ends, pooled(x), plain(x)], 1))))


def _mixed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 1x1 convolution of x (B, C_in, V, T), whose channels are last in memory."""
    return F.conv2d(x.contiguous(memory_format=torch.channels_last), weight, bias)


class JoinedNorm:
    """BatchNorms of channels side by side, of one momentum and eps, with parameters and buffers concatenated; built for each use."""

    def __init__(self, norms: Sequence[nn.BatchNorm2d]) -> None:
        self.norms = norms
        self.weight, self.bias = torch.cat([n.weight for n in norms]), torch.cat([n.bias for n in norms])
        self.running_mean = torch.cat([n.running_mean for n in norms])
        self.running_var = torch.cat([n.running_var for n in norms])
        self.num_batches_tracked = norms[0].num_batches_tracked.clone()
        self.momentum, self.eps, self.training = norms[0].momentum, norms[0].eps, norms[0].training

    def __call__(self, x: Tensor, copies: int) -> Tensor:
        """Normalise x (B, C, V, T); in training mode update the buffers, the last body counted `copies` times."""
        if self.training and copies > 1:
            y = batch_norm(self, x, copies)
        else:
            statistics = self.running_mean, self.running_var
            y = F.batch_norm(x, *statistics, self.weight, self.bias, self.training, self.momentum, self.eps)
        if self.training:
            self._update()
        return y

    @torch.no_grad()
    def _update(self) -> None:
        sizes = [norm.num_features for norm in self.norms]
        for norm, mean, var in zip(
            self.norms, self.running_mean.split(sizes), self.running_var.split(sizes), strict=True
        ):
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(var)
            norm.num_batches_tracked.add_(1)


class STGCNPP(Network):
    """See `Network`."""

    keys = Keys(
        blocks="backbone.gcn.0.tcn.branches.",
        by_layout=r"backbone\.(data_bn\..*|gcn\.\d+\.gcn\.A)",
        first=r"backbone\.gcn\.0\.gcn\.(conv|down\.0)\.weight",
        graph="",
    )
    partition, backbone_type = "pyskl", Backbone
