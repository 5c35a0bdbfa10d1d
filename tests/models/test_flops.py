"""The count of the network against that of a plain one that computes the same with torch's own operations."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from stgcn_cli.config.skeletons import COCO, NTU
from stgcn_cli.models.backbone import stages_of
from stgcn_cli.models.flops import cost_of_clip
from stgcn_cli.models.stgcn import STGCN

CASES = [(NTU, 5, 3, "spatial", 20, 2), (COCO, 7, 2, "uniform", 33, 1), (NTU, 3, 3, "distance", 8, 1)]


def biases(layout, partitions):
    """What the network computes once a step whatever the clips: the biases of the graph convolutions, summed."""
    return sum(2 * len(layout.joints) * partitions * c_out for c_out, _ in stages_of())


@pytest.mark.parametrize(("layout", "classes", "channels", "partition", "frames", "persons"), CASES)
def test_the_count_equals_that_of_a_plain_network(layout, classes, channels, partition, frames, persons):
    """Written out with torch's own convolutions: sum over joints, mix channels, convolve frames, residual."""
    a = STGCN(layout, classes, channels, partition).backbone.A
    x = torch.randn(persons, channels, frames, len(layout.joints))
    with FlopCounterMode(display=False) as counter:
        c_in = channels
        for index, (c_out, stride) in enumerate(stages_of()):
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
    cost = cost_of_clip(STGCN(layout, classes, channels, partition), (channels, frames, len(layout.joints), persons))
    assert cost.forward - biases(layout, len(a)) == counter.get_total_flops()
    assert 2.9 < cost.step / cost.forward < 3.4  # each product once more for its input and its weight; sums again


def test_a_frozen_backbone_costs_a_forward_pass():
    model = STGCN(NTU, 60)
    model.backbone.requires_grad_(False)
    cost = cost_of_clip(model, (3, 30, 25, 2))
    assert cost.step - cost.forward <= 2 * 2 * 256 * 60
