"""The graph convolution as two kinds of matrix products, with a backward that keeps nothing but its input.

Shapes: B bodies, V joints, T frames, C channels, K partitions.
"""

import torch
from torch import Tensor


class AggregateAndMix(torch.autograd.Function):
    """y[b, w, t] = bias[w] + sum over k of weight[k] @ (sum over v of a[k, v, w] x[b, v, t]).

    x (B, V, T, C_in), a (K, V, V), weight (K, C_out, C_in), bias (V, C_out) -> y (B, V, T, C_out).
    """

    @staticmethod
    def forward(ctx, x: Tensor, a: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, a, weight)
        b, v, t, c = x.shape
        y = bias[:, None].expand(b, v, t, -1).contiguous()
        for a_k, weight_k in zip(a, weight, strict=True):
            z = torch.bmm(a_k.T.expand(b, v, v), x.reshape(b, v, t * c))
            y.view(-1, y.shape[-1]).addmm_(z.view(-1, c), weight_k.T)
        return y

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, a, weight = ctx.saved_tensors
        b, v, t, c = x.shape
        x = x.reshape(b, v, t * c)
        dy = dy.contiguous()
        rows = dy.view(-1, dy.shape[-1])
        dx, da, dweight = torch.zeros_like(x), torch.empty_like(a), torch.empty_like(weight)
        for k in range(len(a)):
            z = torch.bmm(a[k].T.expand(b, v, v), x)
            torch.mm(rows.T, z.view(-1, c), out=dweight[k])
            torch.mm(rows, weight[k], out=z.view(-1, c))
            da[k] = torch.bmm(x, z.transpose(1, 2)).sum(0)
            dx.baddbmm_(a[k].expand(b, v, v), z)
        return dx.view(b, v, t, c), da, dweight, dy.sum((0, 2))
