"""The graph convolution as two kinds of matrix products, with a backward that keeps nothing but its input.

Shapes: B bodies, V joints, T frames, C channels, K partitions, R joints that receive something in a partition.
Aggregated per partition, the sum over joints meets C_in channels instead of K*C_out, and no tensor is K times as large
as a feature map: at batch 16 that, with the recomputation, takes a third off a training step's peak memory. Joints that
receive nothing in a partition are left out of it: in the third of the published NTU graph 8 of 25 receive something.
"""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

_FEW = 0.8  # of the joints; where more receive something, picking them out costs more than it saves


def receivers(a: Tensor) -> list[Tensor | None]:
    """For each partition of a (K, V, V) the joints (R,) with an entry in their column; None selects all.

    On a GPU all are selected, since the host would have to wait for the result.
    """
    if a.device.type != "cpu":
        return [None] * len(a)
    some = [column.nonzero()[:, 0] for column in a.ne(0).any(1)]
    return [joints if len(joints) <= _FEW * a.shape[1] else None for joints in some]


class AggregateAndMix(torch.autograd.Function):
    """y[b, w, t] = bias[w] + sum over k of weight[k] @ (sum over v of a[k, v, w] x[b, v, t]).

    x (B, V, T, C_in), a (K, V, V), weight (K, C_out, C_in), bias (V, C_out), all of one dtype -> y (B, V, T, C_out).
    `receiving` is the result of `receivers(a)`; columns that are left out have zero gradients, and so has their importance.
    """

    @staticmethod
    def forward(ctx, x: Tensor, a: Tensor, weight: Tensor, bias: Tensor, receiving: list[Tensor | None]) -> Tensor:
        """Keeps the inputs, not the aggregated features."""
        ctx.save_for_backward(x, a, weight)
        ctx.receiving = receiving
        if in_one_product(x):
            return _forward_in_one(x, a, weight, bias)
        bodies, joints, frames, channels = x.shape
        x = x.reshape(bodies, joints, frames * channels)
        y = bias[:, None].repeat(bodies, 1, frames, 1)
        for a_k, weight_k, some in zip(a, weight, receiving, strict=True):
            z = _sum_over_joints(x, a_k, some).view(-1, channels)
            if some is None:
                y.view(-1, y.shape[-1]).addmm_(z, weight_k.T)
            elif len(some):
                y.index_add_(1, some, torch.mm(z, weight_k.T).view(bodies, len(some), frames, -1))
        return y

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        """Gradients of the four tensors from dy (B, V, T, C_out)."""
        x, a, weight = ctx.saved_tensors
        if in_one_product(x):
            return *_backward_in_one(x, a, weight, dy), None
        shape, x = x.shape, x.reshape(*x.shape[:2], -1)
        dx, da, dweight = torch.zeros_like(x), torch.zeros_like(a), torch.empty_like(weight)
        for k, (a_k, some) in enumerate(zip(a, ctx.receiving, strict=True)):
            z = _sum_over_joints(x, a_k, some)  # again: cheaper than keeping it
            rows = dy if some is None else dy.index_select(1, some)
            dz, dweight[k] = _mix_gradients(rows, z.view(len(z), -1, *shape[2:]), weight[k])
            dz = dz.reshape(z.shape)
            da_k = torch.bmm(x, dz.transpose(1, 2)).sum(0)
            da[k] = da_k if some is None else da[k].index_copy(1, some, da_k)
            dx.baddbmm_(_columns(a_k, some).expand(len(x), -1, -1), dz)
        return dx.view(shape), da, dweight, dy.sum((0, 2)), None


def in_one_product(x: Tensor) -> bool:
    """Whether the sums over joints of all partitions are one product: it moves fewer bytes, and needs K times the memory."""
    return x.device.type != "cpu"


def _sums_over_joints(x: Tensor, a: Tensor) -> Tensor:
    """x (B, V, T, C), a (K, V, V) -> (B, K, V*T, C)."""
    rows = a.transpose(1, 2).reshape(-1, a.shape[1])
    z = torch.bmm(rows.expand(len(x), -1, -1), x.reshape(*x.shape[:2], -1))
    return z.view(len(x), len(a), -1, x.shape[-1])


def _forward_in_one(x: Tensor, a: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """As `AggregateAndMix.forward`."""
    bodies, _, frames, _ = x.shape
    z = _sums_over_joints(x, a)
    y = bias[:, None].repeat(bodies, 1, frames, 1).view(bodies, -1, weight.shape[1])
    for k, weight_k in enumerate(weight):
        y.baddbmm_(z[:, k], weight_k.T.expand(bodies, -1, -1))
    return y.view(*x.shape[:3], -1)


def _backward_in_one(x: Tensor, a: Tensor, weight: Tensor, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, a, weight, bias, as `AggregateAndMix.backward`; the sums over joints are written over by their gradients."""
    bodies, joints = x.shape[:2]
    z, dy_rows = _sums_over_joints(x, a), dy.reshape(bodies, -1, dy.shape[-1])
    dweight = torch.empty_like(weight)
    for k, weight_k in enumerate(weight):
        torch.sum(torch.bmm(dy_rows.transpose(1, 2), z[:, k]), 0, out=dweight[k])
        torch.bmm(dy_rows, weight_k.expand(bodies, -1, -1), out=z[:, k])
    dz = z.view(bodies, len(a) * joints, -1)
    da = torch.bmm(x.reshape(bodies, joints, -1), dz.transpose(1, 2)).sum(0)
    dx = torch.bmm(a.transpose(0, 1).reshape(joints, -1).expand(bodies, -1, -1), dz)
    return dx.view(x.shape), da.view(joints, len(a), joints).transpose(0, 1), dweight, dy.sum((0, 2))


class AdaptiveAggregateAndMix(torch.autograd.Function):
    """y[b, w, t] = bias + sum over k of weight[k] @ (sum over v of g[b, k, v, w] x[b, v, t]): a graph for each body.

    x (B, V, T, C_in), g (B, K, V, V), weight (K, C_out, C_in), bias (C_out,), all of one dtype -> y (B, V, T, C_out).
    """

    @staticmethod
    def forward(ctx, x: Tensor, g: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Keeps the inputs, not the aggregated features."""
        ctx.save_for_backward(x, g, weight)
        shape, x = x.shape, x.reshape(*x.shape[:2], -1)
        mixed = (
            mix(torch.bmm(g_k.transpose(1, 2), x).view(shape), weight_k, bias if k == 0 else None)
            for k, (g_k, weight_k) in enumerate(zip(g.unbind(1), weight, strict=True))
        )
        return functools.reduce(Tensor.add_, mixed)

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradients of the four tensors from dy (B, V, T, C_out)."""
        x, g, weight = ctx.saved_tensors
        shape, x = x.shape, x.reshape(*x.shape[:2], -1)
        dx, dg, dweight = torch.zeros_like(x), torch.empty_like(g), torch.empty_like(weight)
        for k, g_k in enumerate(g.unbind(1)):
            z = torch.bmm(g_k.transpose(1, 2), x)  # again: cheaper than keeping it
            dz, dweight[k] = _mix_gradients(dy, z.view(shape), weight[k])
            dz = dz.reshape(x.shape)
            dg[:, k] = torch.bmm(x, dz.transpose(1, 2))
            dx.baddbmm_(g_k, dz)
        return dx.view(shape), dg, dweight, dy.sum((0, 1, 2))


def mix(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (B, V, T, C_in) @ weight.T + bias -> (B, V, T, C_out).

    On CPUs as oneDNN's 1x1 convolution, twice as fast as MKL's products of such narrow matrices on AMD processors. Called by
    its own name: for few bodies on one thread `conv2d` takes a slow one.
    """
    if (
        x.device.type != "cpu"
        or x.dtype not in (torch.float32, torch.bfloat16)
        or not torch.backends.mkldnn.is_available()
        or torch.compiler.is_compiling()
    ):
        return F.linear(x, weight, bias)
    x, weight = x.permute(0, 3, 1, 2), weight[:, :, None, None]
    if x.dtype == torch.float32:
        y = torch.mkldnn_convolution(x, weight, bias, (0, 0), (1, 1), (1, 1), 1)
    else:
        y = F.conv2d(x, weight, bias)
    return y.permute(0, 2, 3, 1)


def _columns(a_k: Tensor, some: Tensor | None) -> Tensor:
    return a_k if some is None else a_k.index_select(1, some)


def _sum_over_joints(x: Tensor, a_k: Tensor, some: Tensor | None) -> Tensor:
    """x (B, V, T*C), a_k (V, V) -> (B, R, T*C)."""
    return torch.bmm(_columns(a_k, some).T.expand(len(x), -1, -1), x)


def _mix_gradients(dy: Tensor, z: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Of y = z @ weight.T, dy (B, R, T, C_out) and z (B, R, T, C_in): the gradients of z and weight; z may be written over.

    On CPUs as those of a 1x1 convolution: a fifth shorter than MKL's two products, since oneDNN's own kernels are the faster
    ones for these shapes; it has none for float64.
    """
    if dy.device.type == "cpu" and dy.dtype != torch.float64 and dy.numel():
        dz, dweight, _ = torch.ops.aten.convolution_backward(
            dy.permute(0, 3, 1, 2), z.permute(0, 3, 1, 2), weight[:, :, None, None], None,
            [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, False],
        )  # fmt: skip
        return dz.permute(0, 2, 3, 1), dweight[:, :, 0, 0]
    dy_rows, z_rows = dy.reshape(-1, dy.shape[-1]), z.view(-1, z.shape[-1])
    dweight = torch.mm(dy_rows.T, z_rows)
    return torch.mm(dy_rows, weight, out=z_rows).view(z.shape), dweight
