"""Deduplication of identical bodies, such as absent persons: computed once.

Shapes: B bodies, V joints, T frames, C channels.
Four fifths of the NTU clips have one person; the other is the same constant (all zeros in 3-D) in each of them, so its
features are the same, too. One such body stands for all of them: exact in evaluation, and exact in training when it
counts as often in the statistics of BatchNorm, forward and backward. In evaluation its features are kept from one batch
to the next, until the weights change.
"""

import functools
from collections.abc import Hashable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from stgcn_cli.data.loader import Absent


_ATEN = torch.ops.aten


class Distinct(NamedTuple):
    """Which bodies of x (B, ...) to compute: indices `kept`, and the `place` of each body among them (B,).

    The last kept body stands for `copies` bodies that hold the same `content` in every frame and joint.
    """

    kept: Tensor
    place: Tensor
    copies: int
    content: Hashable


def distinct_bodies(x: Tensor, least: int = 2) -> Distinct | None:
    """The bodies of x (B, ..., C) without the copies; None where fewer than `least`, or all, of them are copies."""
    flat = x.flatten(1, -2)
    still = (flat == flat[:, :1]).all(2).all(1)
    constant = flat[still.int().argmax(), 0]
    empty = still & (flat[:, 0] == constant).all(1)
    copies = int(empty.sum())
    if copies < least or copies == len(x):
        return None
    kept = torch.cat([(~empty).nonzero()[:, 0], empty.nonzero()[:1, 0]])
    place = torch.where(empty, len(kept) - 1, (~empty).cumsum(0) - 1)
    return Distinct(kept, place, copies, tuple(constant.tolist()))


def known_bodies(absent: "Absent", least: int, multiple: int) -> Distinct | None:
    """As `distinct_bodies`, from the host's counts, without waiting for the device."""
    bodies = absent.where.numel()
    kept = computed_bodies(bodies, absent.number, least, multiple)
    if absent.number == bodies or absent.number < least or (kept == bodies and least > 1):
        return None
    where = absent.where.flatten()
    order = where.int().argsort(stable=True)
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(bodies, device=order.device))
    return Distinct(order[:kept], rank.clamp_(max=kept - 1), bodies - kept + 1, absent.content)


def computed_bodies(bodies: int, absent: int, least: int, multiple: int) -> int:
    """Number of bodies to compute: present ones and one absent one, rounded up to `multiple` so that few sizes occur in training."""
    if absent < least or absent == bodies:
        return bodies
    return min(bodies, -(-(bodies - absent + 1) // multiple) * multiple)


def rounded_up(kept: Tensor, multiple: int) -> Tensor:
    """Indices (B,) padded with the first one to a multiple of `multiple`, or to a power of two below it."""
    count = len(kept)
    size = 1 << (count - 1).bit_length() if 0 < count < multiple else -(-count // multiple) * multiple
    return torch.cat([kept, kept[:1].expand(size - count)]) if size > count else kept


class EmptyBody:
    """The features (1, C) of a body that is the same in every clip, kept while all they depend on stays as it was."""

    def __init__(self) -> None:
        self.kept: tuple[tuple, Tensor] | None = None

    def key(self, network: nn.Module, content: Hashable, shape: torch.Size, device: str) -> tuple:
        """Everything the features depend on: weights, buffers, content and shape of the body, and the precision."""
        reduced = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        state = ((t.data_ptr(), 0 if t.is_inference() else t._version) for t in network.state_dict().values())
        return (*state, content, *shape, reduced)

    def get(self, key: tuple) -> Tensor | None:
        """The features, if they were kept for this key."""
        return self.kept[1] if self.kept and self.kept[0] == key else None

    def keep(self, key: tuple, features: Tensor) -> None:
        """Forgets those of any other key."""
        self.kept = key, features.clone()


def batch_norm(norm: nn.BatchNorm2d, x: Tensor, copies: int) -> Tensor:
    """`norm` in training mode on x (B, C, V, T), with the last body counted `copies` times."""
    if copies == 1:
        return norm(x)
    if torch.compiler.is_compiling():
        return _norm_of_plain_operations(norm, x, copies)
    if x.is_cuda:
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)
        running = norm.running_mean, norm.running_var
        return CountedNormOnGPU.apply(x, norm.weight, norm.bias, *running, norm.eps, norm.momentum, copies)
    mean, var, count = _statistics(norm, x.detach(), copies)
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(var * (count / (count - 1)), norm.momentum)
    return CountedNorm.apply(x, norm.weight, norm.bias, mean, var, norm.eps, count, copies)


def _norm_of_plain_operations(norm: nn.BatchNorm2d, x: Tensor, copies: int) -> Tensor:
    """As `CountedNorm`, for torch.compile, which makes few passes of it and derives the gradients."""
    values = x.float() if x.dtype == torch.bfloat16 else x
    times = torch.ones_like(values[:, :1, :1, :1])
    times[-1:] = copies
    count = (len(x) - 1 + copies) * x[0, 0].numel()
    mean = (times * values).sum((0, 2, 3)) / count
    apart = values - mean[:, None, None]
    var = (times * apart**2).sum((0, 2, 3)) / count
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(var * (count / (count - 1)), norm.momentum)
    scale = norm.weight * torch.rsqrt(var + norm.eps)
    return (apart * scale[:, None, None] + norm.bias[:, None, None]).to(x.dtype)


def _statistics(norm: nn.BatchNorm2d, x: Tensor, copies: int) -> tuple[Tensor, Tensor, int]:
    # Mean and biased variance (C,) over both groups, from those of each (Chan et al. 1983), and the number of values.
    # The buffers only select float32 statistics for bfloat16 features; with momentum 0 they are unchanged.
    per_body = x[0, 0].numel()
    one_each, last = (len(x) - 1) * per_body, copies * per_body
    mean_1, var_1 = torch.batch_norm_update_stats(x[:-1], norm.running_mean, norm.running_var, 0.0)
    mean_2, var_2 = torch.batch_norm_update_stats(x[-1:], norm.running_mean, norm.running_var, 0.0)
    share, apart = last / (one_each + last), mean_2 - mean_1
    return mean_1 + share * apart, torch.lerp(var_1, var_2, share) + share * (1 - share) * apart**2, one_each + last


class CountedNorm(torch.autograd.Function):
    """BatchNorm of x (B, C, V, T) with given statistics, whose last body's gradient is that of all its copies."""

    @staticmethod
    def forward(ctx, x, weight, bias, mean, var, eps, count, copies):
        """`mean` and `var` (C,) are taken as they are; `count` values went into them."""
        ctx.save_for_backward(x, weight, mean, var)
        ctx.eps, ctx.count, ctx.copies = eps, count, copies
        return torch.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)[0]

    @staticmethod
    def backward(ctx, dy):
        """dy of the last body is summed over its copies already, and so is dx."""
        x, weight, mean, var = ctx.saved_tensors
        dx, dweight, dbias = torch.ops.aten.native_batch_norm_backward(
            dy, x, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
        )
        # What is left is the gradient through mean and variance: linear in x, per channel, the same for each copy.
        scale = torch.rsqrt(var + ctx.eps)
        slope = -weight * scale**2 * dweight / ctx.count
        offset = -weight * scale * dbias / ctx.count - slope * mean
        for part, part_x, times in ((dx[:-1], x[:-1], 1), (dx[-1:], x[-1:], ctx.copies)):
            slope_x, offset_x = ((times * s).to(dx.dtype)[:, None, None] for s in (slope, offset))
            part.addcmul_(part_x, slope_x).add_(offset_x)
        return dx, dweight, dbias, None, None, None, None, None


@functools.lru_cache(maxsize=1024)
def _counts(first: int, last: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Values in both groups, float (2,), and their sum, int32 (1,), on the device; kept, since few combinations occur."""
    both = torch.full((2,), float(last), device=device)
    both[0] = float(first)
    return both, torch.full((1,), first + last, dtype=torch.int32, device=device)


class CountedNormOnGPU(torch.autograd.Function):
    """As `CountedNorm`, by the kernels of synchronised BatchNorm: the last body is a second process with values of its own.

    x is read and written as often as by BatchNorm without counts; what is added concerns the last body and (C,) values.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, eps, momentum, copies):
        """x (B, C, V, T) with channels last in memory; the running statistics are updated."""
        per_body = x.shape[2] * x.shape[3]
        (mean_1, scale_1), (mean_2, scale_2) = (_ATEN.batch_norm_stats(part, eps) for part in (x[:-1], x[-1:]))
        each, ctx.total = _counts((len(x) - 1) * per_body, copies * per_body, x.device)
        means, scales = torch.stack([mean_1, mean_2, scale_1, scale_2]).split(2)
        mean, scale = _ATEN.batch_norm_gather_stats_with_counts(
            x, means, scales, running_mean, running_var, momentum, eps, each
        )
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.copies = copies
        return _ATEN.batch_norm_elemt(x, weight, bias, mean, scale, eps)

    @staticmethod
    def backward(ctx, dy):
        """dy of the last body is summed over its copies already, and so is dx."""
        x, weight, mean, scale = ctx.saved_tensors
        dy = dy.contiguous(memory_format=torch.channels_last)
        *sums, dweight, dbias = _ATEN.batch_norm_backward_reduce(dy, x, mean, scale, weight, True, True, True)
        dx = _ATEN.batch_norm_backward_elemt(dy, x, mean, scale, weight, *sums, ctx.total)
        # through mean and variance the last body has the gradient of each of its copies
        sums = torch._foreach_mul(sums, float(ctx.copies))
        dx[-1:] = _ATEN.batch_norm_backward_elemt(dy[-1:], x[-1:], mean, scale, weight, *sums, ctx.total)
        return dx, dweight, dbias, None, None, None, None, None
