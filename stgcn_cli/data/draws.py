"""Random numbers of a batch on its device, and the order of an epoch: pure functions, equal on CPUs and GPUs, for any batch.

Each clip has a key; its n-th number is a hash of key and n (SplitMix64), so that nothing depends on the order of the draws, on
the other clips of the batch, or on the number of ranks.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Of SplitMix64, as signed numbers.
_STEP, _FIRST, _SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
_BITS = 53  # of a float64


def _shifted(z: Tensor, bits: int) -> Tensor:
    return (z >> bits) & ((1 << (64 - bits)) - 1)  # int64 shifts keep the sign


def mixed(z: Tensor) -> Tensor:
    """A hash of int64 values: each bit of the result depends on each of the value."""
    z = z + _STEP
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


@dataclass(frozen=True)
class Draws:
    """The random numbers of clips with these keys (N,) int64."""

    keys: Tensor

    @classmethod
    def of(cls, seed: int, epoch: int | Tensor, items: Tensor) -> "Draws":
        """Those of the items (N,) of an epoch (a number, or () on the device): clips, counted on through repeated passes."""
        start = mixed(mixed(torch.full_like(items, seed)) + epoch)
        return cls(mixed(start + items))

    def uniform(self, purpose: int, *shape: int) -> Tensor:
        """(N, *shape) float64 in [0, 1); each `purpose` has numbers of its own."""
        count = torch.arange(math.prod(shape), device=self.keys.device)
        bits = mixed(mixed(self.keys + purpose)[:, None] + count)
        return (_shifted(bits, 64 - _BITS).double() / (1 << _BITS)).view(-1, *shape)

    def around_zero(self, purpose: int, *shape: int) -> Tensor:
        """(N, *shape) float64 in [-1, 1)."""
        return 2 * self.uniform(purpose, *shape) - 1

    def normal(self, purpose: int, *shape: int) -> Tensor:
        """(N, *shape) float64 of mean 0 and standard deviation 1 (Box and Muller 1958)."""
        first, second = self.uniform(purpose, 2, *shape).unbind(1)
        return torch.sqrt(-2 * torch.log1p(-first)) * torch.cos(2 * math.pi * second)


def sent(value: Tensor, device: torch.device) -> Tensor:
    """`value` on `device`; to a GPU through pinned memory, so that the host goes on while it is copied."""
    if value.is_cuda or device.type != "cuda":  # "cuda" is no other device than "cuda:0", and does not equal it
        return value.to(device)
    return (value if value.is_pinned() else value.pin_memory()).to(device, non_blocking=True)


def epoch_order(clips: int, seed: int, epoch: int, passes: int = 1, shuffle: bool = True) -> Tensor:
    """The order of an epoch, a pure function: items (clips * passes,), as the reference's distributed sampler draws.

    Item i is a pass over clip i % clips, so that each pass has random numbers of its own.
    """
    if not shuffle:
        return torch.arange(clips * passes)
    generator = torch.Generator().manual_seed(seed + epoch)
    return torch.randperm(clips * passes, generator=generator)


def shard(order: Tensor, rank: int, world: int) -> Tensor:
    """This rank's part of a training order: padded by its own beginning to a multiple of `world`, then rank::world."""
    padding = -len(order) % world
    repeats = -(-padding // len(order))
    return torch.cat([order, order.repeat(repeats)[:padding]])[rank::world]
