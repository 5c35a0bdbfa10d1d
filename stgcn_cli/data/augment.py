"""Random changes of training clips, on the device for a whole batch at once; each a pure function of the draws of its clips.

Shapes: N clips, M persons, T frames, V joints, D coordinates (2 or 3), C channels: D and the score where there is one.
Sources: PYSKL (scale, rotate, noise); rotation and scale are those of Duan et al. 2022, "PYSKL: Towards Good Practices".
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stgcn_cli.config.schema import AugmentConfig
from stgcn_cli.data.draws import Draws

_MIRROR, _SCALE, _ROTATE, _LENGTH, _DIRECTION, _DROP = range(10, 16)  # purposes of draws


def mirrored(x: Tensor, exchanged: Tensor, flipped: Tensor) -> Tensor:
    """x (N, M, T, V, C) with x negated and left and right joints exchanged (V,) in the clips `flipped` (N,)."""
    y = x[..., exchanged, :]
    y[..., 0] = -y[..., 0]
    return torch.where(flipped[:, None, None, None, None], y, x)


def rotation(angles: Tensor) -> Tensor:
    """(N, D, D) for angles (N, 3) around x, y and z: Rz Ry Rx; for (N, 1), in the plane."""
    cos, sin = angles.cos(), angles.sin()
    zero, one = torch.zeros_like(cos[:, 0]), torch.ones_like(cos[:, 0])

    def matrix(*rows: Tensor) -> Tensor:
        side = int(len(rows) ** 0.5)
        return torch.stack(rows, 1).view(-1, side, side)

    if angles.shape[1] == 1:
        return matrix(cos[:, 0], -sin[:, 0], sin[:, 0], cos[:, 0])
    (cx, cy, cz), (sx, sy, sz) = cos.unbind(1), sin.unbind(1)
    around_x = matrix(one, zero, zero, zero, cx, sx, zero, -sx, cx)
    around_y = matrix(cy, zero, -sy, zero, one, zero, sy, zero, cy)
    around_z = matrix(cz, sz, zero, -sz, cz, zero, zero, zero, one)
    return around_z @ around_y @ around_x


def rotated(x: Tensor, matrices: Tensor) -> Tensor:
    """x (N, M, T, V, D) turned by one matrix (N, D, D) for each clip."""
    return (x.flatten(1, -2) @ matrices.to(x.dtype).transpose(1, 2)).view(x.shape)


def noisy(x: Tensor, length: Tensor, direction: Tensor) -> Tensor:
    """x (N, M, T, V, D) with each joint moved by `length` (N, M, T, V) in a direction (N, M, T, V, D) of any length."""
    return x + (direction / direction.norm(dim=-1, keepdim=True) * length[..., None]).to(x.dtype)


def body_sizes(x: Tensor) -> Tensor:
    """(N, M, T, 1) the diagonal of the box around the joints of x (N, M, T, V, D) in each frame."""
    return (x.amax(-2) - x.amin(-2)).norm(dim=-1, keepdim=True)


@dataclass(frozen=True)
class Sides:
    """What a skeleton tells: for each joint the one on the other side (V,), and the value of coordinates that are unknown."""

    other: Tensor
    missing: float = 0.0


def _mirror(x: Tensor, config: AugmentConfig, draws: Draws, sides: Sides) -> Tensor:
    return mirrored(x, sides.other, draws.uniform(_MIRROR, 1)[:, 0] < config.mirror)


def _scale(x: Tensor, config: AugmentConfig, draws: Draws, sides: Sides) -> Tensor:
    return x * (1 + config.scale * draws.around_zero(_SCALE, x.shape[-1]))[:, None, None, None].to(x.dtype)


def _rotate(x: Tensor, config: AugmentConfig, draws: Draws, sides: Sides) -> Tensor:
    most = config.rotate if isinstance(config.rotate, tuple) else (config.rotate,) * 3
    limits = most[2:] if x.shape[-1] == 2 else most  # in the plane: around the axis towards the viewer
    drawn = draws.around_zero(_ROTATE, len(limits)).unbind(-1)
    return rotated(x, rotation(torch.stack([limit * each for limit, each in zip(limits, drawn, strict=True)], -1)))


def _noise(x: Tensor, config: AugmentConfig, draws: Draws, sides: Sides) -> Tensor:
    length = config.noise * draws.normal(_LENGTH, *x.shape[1:-1]) * body_sizes(x)
    return noisy(x, length, draws.around_zero(_DIRECTION, *x.shape[1:]))


def _drop_joints(x: Tensor, config: AugmentConfig, draws: Draws, sides: Sides) -> Tensor:
    lost = draws.uniform(_DROP, x.shape[3]) < config.drop_joints
    return x.masked_fill(lost[:, None, None, :, None], sides.missing)


# In the order in which they are applied. Those in _WITH_SCORES take the score of a joint along.
AUGMENTATIONS: dict[str, Callable[[Tensor, AugmentConfig, Draws, Sides], Tensor]] = {
    "mirror": _mirror,
    "scale": _scale,
    "rotate": _rotate,
    "noise": _noise,
    "drop-joints": _drop_joints,
}
_WITH_SCORES = ("mirror", "drop-joints")


def augmented(
    x: Tensor, names: tuple[str, ...], config: AugmentConfig, draws: Draws, sides: Sides, has_score: bool
) -> Tensor:
    """x (N, M, T, V, C) after the augmentations `names`."""
    for name, change in AUGMENTATIONS.items():
        if name not in names:
            continue
        if has_score and name not in _WITH_SCORES:
            x = torch.cat([change(x[..., :-1], config, draws, sides), x[..., -1:]], -1)
        else:
            x = change(x, config, draws, sides)
    return x
