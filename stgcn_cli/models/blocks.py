"""Parts of blocks: residuals, and convolutions with BatchNorm, which is folded into them in evaluation.

Shapes: B bodies, C channels, T frames, V joints, K partitions. Features are (B, C, V, T) with the channels last in memory.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgcn_cli.models.deduplicate import batch_norm
from stgcn_cli.models.temporal_conv import convolve


def chain(
    block: Callable[..., nn.Module], channels: int, stages: Sequence[tuple[int, int]], a: Tensor, dropout: float
) -> nn.ModuleList:
    """The blocks of all stages; the first has no residual."""
    widths = [channels] + [width for width, _ in stages]
    return nn.ModuleList(
        block(c_in, c_out, stride, a, dropout, residual=i > 0)
        for i, (c_in, (c_out, stride)) in enumerate(zip(widths, stages, strict=False))
    )


def projection(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    """A 1x1 convolution with a stride over frames, and BatchNorm."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, 1, (stride, 1)), nn.BatchNorm2d(c_out))


class Residual(nn.Module):
    """A block with `residual`: None, the identity, or a convolution and its BatchNorm."""

    residual: nn.Module | None

    def set_residual(
        self, c_in: int, c_out: int, stride: int, wanted: bool, projecting: Callable[..., nn.Module] = projection
    ) -> None:
        """The identity where shapes agree; to be called last, since the order of parameters is published."""
        keeps_shape = c_in == c_out and stride == 1
        self.residual = (nn.Identity() if keeps_shape else projecting(c_in, c_out, stride)) if wanted else None

    def completed(self, y: Tensor, x: Tensor, copies: int) -> Tensor:
        """ReLU of y (B, C_out, V, T_out) plus the residual of x (B, C_in, V, T); y is written over."""
        if isinstance(self.residual, nn.Identity):
            y = y.add_(x)
        elif self.residual is not None:
            conv, norm = self.residual.children()
            y = y.add_(convolve_frames(conv, norm, x, copies))  # type: ignore[arg-type]
        return y.relu_()

    def completed_plainly(self, y: Tensor, x: Tensor) -> Tensor:
        """The same in the published order: y (B, C_out, T_out, V), x (B, C_in, T, V)."""
        return F.relu(y if self.residual is None else y + self.residual(x))


def convolve_frames(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor, copies: int) -> Tensor:
    """`norm` of `conv` over x (B, C, V, T); `conv` is published for (B, C, T, V). In evaluation norm is folded in."""
    stride, padding = conv.stride[0], conv.padding[0]
    if not norm.training:
        scale, shift = scale_and_shift(norm)
        weight, bias = conv.weight * scale[:, None, None, None], conv.bias * scale + shift
        return convolve(x, weight.transpose(2, 3), bias, stride, padding)
    weight = conv.weight.transpose(2, 3)
    if torch.compiler.is_compiling():
        return batch_norm(norm, convolve(x, weight, conv.bias, stride, padding), copies)
    y = batch_norm(norm, convolve(x, weight, None, stride, padding), copies)
    # BatchNorm removes a bias again, which only changes its running mean (`.data`: autograd saves that buffer without using it)
    norm.running_mean.data.add_(conv.bias.data, alpha=norm.momentum)
    return WithoutBias.apply(y, conv.bias)


class WithoutBias(torch.autograd.Function):
    """Identity on y with a zero gradient for `bias`, so that weight decay and momentum still apply to it."""

    @staticmethod
    def forward(ctx, y: Tensor, bias: Tensor) -> Tensor:
        """Returns y itself."""
        ctx.mark_dirty(y)
        ctx.like = bias.detach()
        return y

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor, Tensor]:
        """A zero for each channel."""
        return dy, torch.zeros_like(ctx.like)


def folded(norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (K, C_out, C_in) and bias (..., C_out) of a convolution; in evaluation with `norm` folded in."""
    if norm.training:
        return weight, bias
    scale, shift = scale_and_shift(norm)
    return weight * scale[:, None], bias * scale + shift


def in_autocast(x: Tensor, *tensors: Tensor) -> Iterator[Tensor]:
    """x and others in the type that autocast wants, else in that of x."""
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    return (each.to(dtype) for each in (x, *tensors))


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What BatchNorm does in evaluation, per channel (C,): y = x * scale + shift."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale
