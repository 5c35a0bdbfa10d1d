"""The convolution over frames; on CPUs without AVX-512 with a weight gradient of its own.

Shapes: B bodies, V joints, T frames, C channels, S taps of the kernel.
With AVX2 oneDNN's weight gradient reaches a third to a half of the rate of its forward pass for a kernel of 9 taps. One body's
windows, copied out (17 MB, which stay in the cache), and one matrix product are about twice as fast: a fifth of a training step.
With AVX-512 oneDNN reaches nine tenths of it (190 to 210 GFLOP/s of 220), and that product six tenths. oneDNN has none for float64.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

# oneDNN is the faster one for bfloat16 where the processor has it.
_OWN = (torch.float64,) if torch.backends.cpu.get_cpu_capability() == "AVX512" else (torch.float32, torch.float64)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """x (B, C_in, V, T) with channels last in memory, weight (C_out, C_in, 1, S) -> (B, C_out, V, T_out)."""
    own = x.device.type == "cpu" and weight.shape[3] > 1 and x.dtype in _OWN and not torch.is_autocast_enabled("cpu")
    if own and weight.requires_grad and torch.is_grad_enabled():
        return ConvolveFrames.apply(x, weight, bias, stride, padding)
    return F.conv2d(x, weight, bias, (1, stride), (0, padding))


class ConvolveFrames(torch.autograd.Function):
    """`convolve`, with the gradients of weight and bias as matrix products, body by body."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        """Keeps the input and the weight."""
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, bias, (1, stride), (0, padding))

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None, None]:
        """Gradients from dy (B, C_out, V, T_out)."""
        x, weight = ctx.saved_tensors
        dx = None
        if ctx.needs_input_grad[0]:
            dx = torch.ops.aten.convolution_backward(
                dy, x, weight, None, [1, ctx.stride], [0, ctx.padding], [1, 1], False, [0, 0], 1, [True, False, False]
            )[0]
        dy_BVTC = dy.permute(0, 2, 3, 1)
        dweight = weight_gradient(x.permute(0, 2, 3, 1), dy_BVTC, weight.shape[3], ctx.stride, ctx.padding)
        dbias = dy_BVTC.sum((0, 1, 2)) if ctx.needs_input_grad[2] else None
        return dx, dweight, dbias, None, None


def weight_gradient(x: Tensor, dy: Tensor, taps: int, stride: int, padding: int) -> Tensor:
    """(C_out, C_in, 1, S) from x (B, V, T, C_in) and dy (B, V, T_out, C_out)."""
    (bodies, joints, frames, c_in), (_, _, frames_out, c_out) = x.shape, dy.shape
    padded = x.new_zeros(joints, frames + 2 * padding, c_in)
    windows = padded.as_strided((joints, frames_out, taps * c_in), (padded.stride(0), stride * c_in, 1))
    rows = x.new_empty(joints, frames_out, taps * c_in)
    total = x.new_zeros(taps * c_in, c_out)
    for body in range(bodies):
        padded[:, padding : padding + frames] = x[body]
        rows.copy_(windows)
        total.addmm_(rows.view(-1, taps * c_in).T, dy[body].reshape(-1, c_out))
    return total.view(taps, c_in, c_out).permute(2, 1, 0).unsqueeze(2)
