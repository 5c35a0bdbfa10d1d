"""Several BatchNorms over groups of channels that lie side by side, as one: statistics are kept by each of them.

Shapes: B bodies, C channels of all groups, V joints, T frames.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stgcn_cli.models.deduplicate import batch_norm


class JoinedNorm:
    """BatchNorms of one momentum and eps, with parameters and buffers concatenated; built for each use."""

    def __init__(self, norms: Sequence[nn.BatchNorm2d]) -> None:
        self.norms = norms
        self.weight, self.bias = torch.cat([n.weight for n in norms]), torch.cat([n.bias for n in norms])
        self.running_mean = torch.cat([n.running_mean for n in norms])
        self.running_var = torch.cat([n.running_var for n in norms])
        self.num_batches_tracked = norms[0].num_batches_tracked.clone()
        self.momentum, self.eps, self.training = norms[0].momentum, norms[0].eps, norms[0].training

    def __call__(self, x: Tensor, copies: int) -> Tensor:
        """Normalise x (B, C, V, T); in training mode update the buffers, the last body counted `copies` times."""
        if self.training and copies > 1:
            y = batch_norm(self, x, copies)
        else:
            statistics = self.running_mean, self.running_var
            y = F.batch_norm(x, *statistics, self.weight, self.bias, self.training, self.momentum, self.eps)
        if self.training:
            self._update()
        return y

    @torch.no_grad()
    def _update(self) -> None:
        sizes = [norm.num_features for norm in self.norms]
        for norm, mean, var in zip(
            self.norms, self.running_mean.split(sizes), self.running_var.split(sizes), strict=True
        ):
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(var)
            norm.num_batches_tracked.add_(1)
