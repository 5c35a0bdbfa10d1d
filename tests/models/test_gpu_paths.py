"""What GPUs compute in another way gives the numbers of the processor's way: run here, in float64."""

import copy

import pytest
import torch
from torch import nn

from stgcn_cli.data.loader import Absent
from stgcn_cli.models import deduplicate, graph_conv
from stgcn_cli.models.deduplicate import CountedNormOnGPU, batch_norm, known_bodies
from stgcn_cli.models.graph_conv import AggregateAndMix, receivers
from stgcn_cli.models.stgcn import STGCN


def column(values):
    return values[:, None, None]


class Emulated:
    """The kernels of synchronised BatchNorm, which torch has for GPUs only, as its documentation states them."""

    @staticmethod
    def batch_norm_stats(x, eps):
        return x.mean((0, 2, 3)), (x.var((0, 2, 3), correction=0) + eps).rsqrt()

    @staticmethod
    def batch_norm_gather_stats_with_counts(x, means, scales, running_mean, running_var, momentum, eps, counts):
        counts = counts.double()
        shares, total = (counts / counts.sum())[:, None], counts.sum()
        mean = (shares * means).sum(0)
        var = (shares * (scales**-2 - eps + (means - mean) ** 2)).sum(0)
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(var * total / (total - 1), momentum)
        return mean, (var + eps).rsqrt()

    @staticmethod
    def batch_norm_elemt(x, weight, bias, mean, scale, eps):
        return (x - column(mean)) * column(scale * weight) + column(bias)

    @staticmethod
    def batch_norm_backward_reduce(dy, x, mean, scale, weight, *wanted):
        total, by_x = dy.sum((0, 2, 3)), (dy * (x - column(mean))).sum((0, 2, 3))
        return total, by_x, by_x * scale, total

    @staticmethod
    def batch_norm_backward_elemt(dy, x, mean, scale, weight, total, by_x, count):
        through = column(total / count) + (x - column(mean)) * column(scale**2 * by_x / count)
        return (dy - through) * column(scale * weight)


@pytest.mark.parametrize("copies", [2, 7])
def test_counted_batch_norm_by_the_kernels_of_synchronised_batch_norm(monkeypatch, copies):
    torch.manual_seed(0)
    results = []
    norm = nn.BatchNorm2d(6, dtype=torch.float64)
    nn.init.normal_(norm.weight)
    values, weights = (torch.randn(4, 6, 5, 3, dtype=torch.float64).to(memory_format=torch.channels_last) for _ in "xw")
    for on_gpu in (False, True):
        own, x = copy.deepcopy(norm), values.clone().requires_grad_()
        if on_gpu:
            monkeypatch.setattr(deduplicate, "_ATEN", Emulated)
            running = own.running_mean, own.running_var
            y = CountedNormOnGPU.apply(x, own.weight, own.bias, *running, own.eps, own.momentum, copies)
        else:
            y = batch_norm(own, x, copies)
        (y * weights).sum().backward()
        results.append([y.detach(), x.grad, own.weight.grad, own.bias.grad, own.running_mean, own.running_var])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def test_the_sums_over_joints_of_all_partitions_in_one_product(monkeypatch):
    torch.manual_seed(0)
    x, a = torch.randn(3, 5, 4, 6, dtype=torch.float64), torch.rand(2, 5, 5, dtype=torch.float64)
    weight, bias = torch.randn(2, 7, 6, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    results = []
    for at_once in (False, True):
        monkeypatch.setattr(graph_conv, "in_one_product", lambda _, at_once=at_once: at_once)
        given = [each.clone().requires_grad_() for each in (x, a, weight, bias)]
        y = AggregateAndMix.apply(*given, receivers(a))
        (y * torch.sin(torch.arange(y.numel(), dtype=y.dtype)).view(y.shape)).sum().backward()
        results.append([y.detach(), *(each.grad for each in given)])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("training", [True, False])
def test_absent_persons_known_to_the_host_are_those_found_by_their_values(training):
    """With sizes filled up by absent persons in training, as on a GPU."""
    torch.manual_seed(0)
    model = STGCN("coco", 4).double().train(training)
    other = copy.deepcopy(model)
    x = torch.randn(6, 3, 10, 17, 2, dtype=torch.float64)
    where = torch.zeros(6, 2, dtype=torch.bool)
    where[:5, 1] = True
    x[:5, ..., 1] = 0
    weights = torch.randn(6, 4, dtype=torch.float64)
    outputs = [model(x), other(x, Absent(where, 5, "zeros"))]
    torch.testing.assert_close(*outputs, rtol=1e-10, atol=1e-11)
    for out in outputs:
        (out * weights).sum().backward()
    for (name, p), q in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(q.grad, p.grad, rtol=1e-7, atol=1e-9, msg=name)
    for p, q in zip(model.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(q, p, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("absent", "least", "multiple", "kept"), [
    (5, 2, 8, 8), (9, 2, 8, 8), (2, 2, 8, None), (1, 1, 1, 12), (1, 2, 8, None), (12, 1, 1, None), (11, 2, 1, 2),
])  # fmt: skip
def test_sizes_of_training_are_few(absent, least, multiple, kept):
    where = torch.arange(12).flip(0) < absent
    found = known_bodies(Absent(where.view(6, 2), absent, None), least, multiple)
    assert (None if found is None else len(found.kept)) == kept
    if found is not None:
        assert not where[found.kept[: 12 - absent]].any() and where[found.kept[-1]]
        assert found.copies == 12 - kept + 1
        values = torch.where(where, -1, torch.arange(12))
        assert (values[found.kept][found.place] == values).all()


@pytest.mark.parametrize(("bodies", "computed"), [(1, 1), (2, 2), (3, 4), (17, 32), (32, 32), (33, 64)])
def test_a_single_clip_computes_few_bodies(bodies, computed):
    filled = deduplicate.rounded_up(torch.arange(bodies), 32)
    assert len(filled) == computed and (filled[bodies:] == 0).all()
