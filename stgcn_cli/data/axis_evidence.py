"""Evidence for or against a reading of an array's axes, in sizes and values: movement is smooth, persons are alike.

Shapes: each sample x is (N, M, T, V, C) float32 as one of the readings has it; zeros are joints that were not seen.
"""

from collections.abc import Iterable, Sequence, Set

import numpy as np

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.data import joint_values

_CLIPS, _FRAMES = 16, 1000  # that are looked at
_LARGEST = 1e9  # coordinate that is looked at: sums of squares stay finite
MANY, _FEW = 2, 5  # more persons, or fewer frames, are odd
_JUMPS = 0.5  # of the distance between joints, from frame to frame: never of a body
_TOGETHER = 0.1  # body sizes between the middles of two bodies: closer than people stand
_ALIKE, _UNLIKE = 0.8, 0.5  # correlations of two persons, and of two coordinates


def against(readings: Sequence[tuple[dict[str, int], np.ndarray]], known: Set[int]) -> list[int]:
    """How much speaks against each reading, sizes of the letters and array (N M T V C); `known`: likely numbers of joints."""
    samples = [sample(array) for _, array in readings]
    oddities = zip(samples, odd_steps(samples), unlike_persons(samples), strict=True)
    values = [joint_values.oddness(x) + coinciding(x) + 2 * sum(odd) for x, *odd in oddities]
    return [_odd_sizes(sizes, known) + count for (sizes, _), count in zip(readings, values, strict=True)]


def _odd_sizes(sizes: dict[str, int], known: Set[int]) -> int:
    """How much the sizes speak against a reading."""
    persons, frames = sizes.get("M", 1), sizes.get("T", 1)
    return 2 * (sizes["V"] not in known) + (persons > MANY) + 3 * (persons > frames > 1) + (frames < _FEW)


def sample(array_NMTVC: np.ndarray) -> np.ndarray:
    """(N, M, T, V, C) float32: a part from the beginning that is enough to tell what the values are."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.nan_to_num(np.array(array_NMTVC[:_CLIPS, :, :_FRAMES], np.float32), nan=0, posinf=0, neginf=0)
    return np.clip(values, -_LARGEST, _LARGEST)


def odd_steps(samples: Sequence[np.ndarray]) -> list[bool]:
    """Whether joints jump from frame to frame in each of the readings, or nothing moves, and another one is better."""
    steps = [_step(x) for x in samples]
    still = [step == 0 < max(steps) and x.shape[2] > 1 for step, x in zip(steps, samples, strict=True)]
    return [step > max(_JUMPS, 2 * min(steps)) or none for step, none in zip(steps, still, strict=True)]


def spread(x_NMTVC: np.ndarray) -> float:
    """The mean variance of x, y, … over the joints of a body, larger where x and y are mixed up, unless bodies are centred."""
    bodies = x_NMTVC[x_NMTVC.any(axis=(3, 4))].astype(np.float64)  # (R, V, C)
    whole = bodies[(bodies != 0).all(axis=(1, 2))]  # a joint that was not seen is far from the others
    return float((whole if len(whole) else bodies).var(axis=1).mean()) if len(bodies) else 0.0


def bone_length(x_NMTVC: np.ndarray, layouts: Iterable[Layout]) -> float:
    """The length of all bones, longer where x and y are mixed up; of the skeleton in which it is least, 0 where none fits."""
    bodies = x_NMTVC[x_NMTVC.any(axis=(3, 4))].astype(np.float64)  # (R, V, C)
    ends = [np.transpose(each.bones) for each in layouts if len(each.joints) == bodies.shape[1]]
    return min((np.linalg.norm(bodies[:, a] - bodies[:, b], axis=-1).sum() for a, b in ends), default=0.0)


def unlike_persons(samples: Sequence[np.ndarray]) -> list[bool]:
    """Whether the persons of each of the readings are unlike each other, and alike in one that exchanges persons and values."""
    alike = [_alikeness(x) for x in samples]
    found = []
    for x, own in zip(samples, alike, strict=True):
        exchanged = [
            other
            for y, other in zip(samples, alike, strict=True)
            if other is not None
            and y.shape[2:4] == x.shape[2:4]
            and (_bodies(y), y.shape[4]) == (x.shape[4], _bodies(x))
        ]
        found.append(own is not None and own < _UNLIKE and max(exchanged, default=0.0) > _ALIKE)
    return found


def _bodies(x_NMTVC: np.ndarray) -> int:
    """Persons, where there are several, else clips."""
    return x_NMTVC.shape[1] if x_NMTVC.shape[1] > 1 else x_NMTVC.shape[0]


def coinciding(x_NMTVC: np.ndarray) -> bool:
    """Whether the first two persons stand in one place all the time, as two clips of one person may; not for copies."""
    if x_NMTVC.shape[1] < 2:
        return False
    pairs = x_NMTVC[:, :2].astype(np.float64)
    both = np.asarray(pairs.any(axis=(3, 4))).all(axis=1)  # (N, T)
    if not both.any() or (pairs[:, 0] == pairs[:, 1]).all():
        return False
    bodies = pairs.transpose(0, 2, 1, 3, 4)[both]  # (R, 2, V, C)
    apart = np.linalg.norm(np.diff(bodies.mean(axis=2), axis=1)[:, 0], axis=-1)
    sizes = np.linalg.norm(np.ptp(bodies, axis=2), axis=-1).max(axis=-1)
    return bool(np.median(apart) < _TOGETHER * np.median(sizes))


def _step(x_NMTVC: np.ndarray) -> float:
    """How far a joint moves from frame to frame, in distances between neighbours in the list of joints: small if T is time."""
    seen = np.asarray(x_NMTVC.any(-1))
    between_frames = np.abs(np.diff(x_NMTVC, axis=2)).sum(-1)[seen[:, :, 1:] & seen[:, :, :-1]]
    between_joints = np.abs(np.diff(x_NMTVC, axis=3)).sum(-1)[seen[..., 1:] & seen[..., :-1]]
    if not between_frames.size or not between_joints.size or not between_joints.any():
        return 0.0
    return float(between_frames.mean() / between_joints.mean())


def _alikeness(x_NMTVC: np.ndarray) -> float | None:
    """How alike two bodies are, persons or clips, -1 to 1: the correlation over joints of the coordinate in which they agree most.

    Both have the head above the feet, whereas x and y of one person have little in common. None for one person.
    """
    mean = x_NMTVC.mean(axis=2)  # (N, M, V, C)
    persons = [body for body in (mean.mean(axis=0) if mean.shape[1] > 1 else mean[:, 0]) if body.any()]
    if len(persons) < 2:
        return None
    profiles = [person - person.mean(axis=0) for person in persons[:2]]
    norms = [np.sqrt((profile**2).sum(axis=0)) for profile in profiles]
    if not all(norm.all() for norm in norms):
        return -1.0
    return float(((profiles[0] * profiles[1]).sum(axis=0) / (norms[0] * norms[1])).max())
