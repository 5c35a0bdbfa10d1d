"""What computing a clip costs, by formula: floating-point operations of the matrix products, which are nearly all.

A multiply-add counts as two. Joints that receive nothing in a partition are left out, as on a processor; a GPU computes them
too, which for the published graphs is a twentieth more. Shapes: V joints, T frames, C channels, K partitions, M persons.
"""

from dataclasses import dataclass

import torch

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.models.graph import adjacency
from stgcn_cli.models.graph_conv import receivers
from stgcn_cli.models.stgcn import BLOCKS, TEMPORAL_KERNEL


@dataclass(frozen=True)
class Cost:
    """Operations of one clip: forward alone, and of a training step (forward, backward)."""

    forward: float
    step: float


def cost_of_clip(
    layout: Layout, num_classes: int, channels: int, partition: str, frames: int, persons: int, frozen: bool = False
) -> Cost:
    """The cost of a clip of `frames` and `persons`, every person computed; with `frozen` only the head is trained."""
    joints = len(layout.joints)
    received = sum(
        joints if some is None else len(some) for some in receivers(torch.tensor(adjacency(layout, partition)))
    )
    sums = mixing = 0.0
    c_in = channels
    for index, (c_out, stride) in enumerate(BLOCKS):
        sums += 2 * received * joints * frames * c_in
        mixing += 2 * received * frames * c_in * c_out
        frames = (frames - 1) // stride + 1
        mixing += 2 * TEMPORAL_KERNEL * joints * frames * c_out * c_out
        if index and (c_in, stride) != (c_out, 1):
            mixing += 2 * joints * frames * c_in * c_out
        c_in = c_out
    head = 2.0 * c_in * num_classes
    forward = persons * (sums + mixing) + head
    if frozen:
        return Cost(forward, forward + head)
    # backward: every product once for its input and once for its weight; sums over joints are computed anew, too
    return Cost(forward, persons * (4 * sums + 3 * mixing) + 3 * head)


def values_of_body(layout: Layout, channels: int, frames: int) -> float:
    """Numbers in the feature maps of one person's clip that lie between two products; each is written and read once.

    Those are: the input, and in each block what leaves the graph convolution and what leaves the block.
    """
    joints, values = len(layout.joints), float(channels * frames * len(layout.joints))
    for c_out, stride in BLOCKS:
        values += joints * frames * c_out
        frames = (frames - 1) // stride + 1
        values += joints * frames * c_out
    return values
