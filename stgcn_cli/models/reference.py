"""The published network as a sequence of eager operations; the tests compare the fast path with it.

Shapes: N clips, C channels, T frames, V joints, M persons, K partitions, B = N*M bodies.
Source: Yan et al. 2018 in the order of MMAction2 0.x: 1x1 convolution to K*C_out channels, sum over joints, BatchNorm, ReLU,
9x1 convolution over frames, BatchNorm, residual, ReLU. It uses the modules of an `STGCN`, so both have the same weights.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from stgcn_cli.models.stgcn import STGCN, Block


def plain_logits(model: STGCN, x_NCTVM: Tensor) -> Tensor:
    """What `model(x)` is: clips (N, C, T, V, M) in the float type of the weights to logits (N, classes)."""
    backbone, clips = model.backbone, len(x_NCTVM)
    n, c, t, v, m = x_NCTVM.shape
    x = backbone.data_bn(x_NCTVM.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t))
    x = x.view(n * m, v, c, t).permute(0, 2, 3, 1).contiguous()
    for block, importance in zip(backbone.st_gcn_networks, backbone.edge_importance, strict=True):
        x = _block(block, x, backbone.A * importance)
    x = F.avg_pool2d(x, x.shape[2:]).view(clips, m, -1, 1, 1).mean(1)
    return model.cls_head.fc(x).flatten(1)


def _block(block: Block, x: Tensor, a: Tensor) -> Tensor:
    """x (B, C, T, V), a (K, V, V) -> (B, C_out, T / stride, V)."""
    y = block.gcn.conv(x)
    bodies, channels, frames, joints = y.shape
    y = torch.einsum("bkctv,kvw->bctw", y.view(bodies, len(a), channels // len(a), frames, joints), a)
    y = block.tcn(y.contiguous())
    if block.residual is not None:
        y = y + block.residual(x)
    return F.relu(y)
