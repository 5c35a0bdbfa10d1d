"""The formula against a count of what torch computes: in the network itself, and in a plain one that says the same."""

import math

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from stgcn_cli.config.skeletons import COCO, NTU
from stgcn_cli.models.flops import cost_of_clip
from stgcn_cli.models.stgcn import BLOCKS, STGCN


def product(added, a, b, **more):
    """Operations of `added += a @ b`, from shapes."""
    return 2 * math.prod(added) * a[-1]


PLACES = {torch.ops.aten.addmm_: product, torch.ops.aten.baddbmm_: product}  # in place: unknown to the counter
CASES = [(NTU, 5, 3, "spatial", 20, 2), (COCO, 7, 2, "uniform", 33, 1), (NTU, 3, 3, "distance", 8, 1)]


def biases(layout, partitions):
    """What the network computes once a step whatever the clips: the biases of the graph convolutions, summed."""
    return sum(2 * len(layout.joints) * partitions * c_out for c_out, _ in BLOCKS)


@pytest.mark.parametrize(("layout", "classes", "channels", "partition", "frames", "persons"), CASES)
def test_the_formula_equals_what_the_network_computes(layout, classes, channels, partition, frames, persons):
    model, clips = STGCN(layout, classes, channels, partition), 2
    x = torch.randn(clips, channels, frames, len(layout.joints), persons)
    cost = cost_of_clip(layout, classes, channels, partition, frames, persons)
    once = biases(layout, len(model.backbone.A))
    with FlopCounterMode(display=False, custom_mapping=PLACES) as counter:
        logits = model(x)
    assert counter.get_total_flops() - once == pytest.approx(clips * cost.forward, rel=1e-9)
    with FlopCounterMode(display=False, custom_mapping=PLACES) as counter:
        logits.sum().backward()
    assert counter.get_total_flops() == pytest.approx(clips * (cost.step - cost.forward) + 2 * once, rel=1e-9)


@pytest.mark.parametrize(("layout", "classes", "channels", "partition", "frames", "persons"), CASES)
def test_the_formula_equals_a_plain_network(layout, classes, channels, partition, frames, persons):
    """Written out with torch's own convolutions: sum over joints, mix channels, convolve frames, residual."""
    a = STGCN(layout, classes, channels, partition).backbone.A
    x = torch.randn(persons, channels, frames, len(layout.joints))
    with FlopCounterMode(display=False) as counter:
        c_in = channels
        for index, (c_out, stride) in enumerate(BLOCKS):
            y = torch.zeros(persons, c_out, *x.shape[2:])
            for a_k in a:
                receive = a_k.any(0) if a_k.any(0).sum() <= 0.8 * len(a_k) else torch.ones(len(a_k), dtype=bool)
                summed = torch.einsum("bctv,vw->bctw", x, a_k[:, receive])
                y[..., receive] += F.conv2d(summed, torch.randn(c_out, c_in, 1, 1))
            y = F.conv2d(y, torch.randn(c_out, c_out, 9, 1), stride=(stride, 1), padding=(4, 0))
            if index and (c_in, stride) != (c_out, 1):
                y = y + F.conv2d(x, torch.randn(c_out, c_in, 1, 1), stride=(stride, 1))
            x, c_in = y, c_out
        F.linear(x.mean((0, 2, 3))[None], torch.randn(classes, c_in))
    assert counter.get_total_flops() == cost_of_clip(layout, classes, channels, partition, frames, persons).forward


def test_a_frozen_backbone_costs_a_forward_pass():
    cost = cost_of_clip(NTU, 60, 3, "spatial", 300, 2, frozen=True)
    assert cost.step == cost.forward + 2 * 256 * 60
