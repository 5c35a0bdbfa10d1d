"""Several BatchNorms over groups of channels that lie side by side, as one: statistics are kept by each of them.

Shapes: B bodies, C channels of all groups, V joints, T frames.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgcn_cli.models.deduplicate import batch_norm


class JoinedNorm:
    """BatchNorms of one momentum and eps, with parameters and buffers concatenated; made anew for each use."""

    def __init__(self, norms: Sequence[nn.BatchNorm2d]) -> None:
        self.norms = norms
        self.weight, self.bias = torch.cat([n.weight for n in norms]), torch.cat([n.bias for n in norms])
        self.running_mean = torch.cat([n.running_mean for n in norms])
        self.running_var = torch.cat([n.running_var for n in norms])
        self.num_batches_tracked = norms[0].num_batches_tracked.clone()
        self.momentum, self.eps, self.training = norms[0].momentum, norms[0].eps, norms[0].training

    def __call__(self, x: Tensor, copies: int) -> Tensor:
        """Normalise x (B, C, V, T); in training mode update the buffers, the last body counted `copies` times."""
        if not self.training:
            return self.normalise(x)
        y = self.normalise(x) if copies == 1 else batch_norm(self, x, copies)
        place = 0
        with torch.no_grad():
            for norm in self.norms:
                part = slice(place, place + norm.num_features)
                norm.running_mean.copy_(self.running_mean[part])
                norm.running_var.copy_(self.running_var[part])
                norm.num_batches_tracked.add_(1)
                place = part.stop
        return y

    def normalise(self, x: Tensor) -> Tensor:
        """BatchNorm as torch does it."""
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
        )
