"""A clip to be drawn: unseen joints are left out, z is up, and the viewer stands where persons are seen best.

Shapes: M persons, T frames, V joints, D = 2 or 3 coordinates.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.config.skeletons import Layout
from stgcn_cli.data.joint_values import origin_joints
from stgcn_cli.data.splits import Split

Array = np.ndarray
RATE = 30.0  # frames a second, of Kinect and of most cameras
_UPPER, _LOWER = ("head", "nose", "neck", "eye"), ("hip", "pelvis", "base of spine", "knee", "ankle", "foot", "heel")
_UPRIGHT = 0.5  # of the way from feet to head has to be upwards for a clip to tell what is up
_PERSONS = (  # colours on a light and on a dark ground: left, right, middle; a third person has those of the first
    ("#d9622b", "#2a78c0", "#7a7f87"),
    ("#b0489b", "#1d9484", "#a59a80"),
)
_AZIMUTHS = (25.0, -25.0, 65.0, -65.0)  # degrees; the first, for several persons the one with the widest view
ELEVATION = 12.0  # degrees the viewer looks down
_ONTO = {  # (axis, sign) that is up -> the rotation to z up with the viewer, who stood in front of the sensor, at +y
    (2, 1): ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    (1, 1): ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    (1, -1): ((-1, 0, 0), (0, 0, -1), (0, -1, 0)),
    (2, -1): ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
}


@dataclass(frozen=True)
class Motion:
    """A clip to be drawn. `points` (M, T, V, D) are NaN where unseen; z is up for D = 3, y for D = 2.

    A viewer at azimuth 0 stands at +y. `step` is the distance in frames of the clip between two of `points`, `rate` counts
    frames a second, `up` is the axis of the file that pointed up.
    """

    name: str
    points: Array
    layout: Layout | None
    rate: float = RATE
    step: int = 1
    azimuth: float = 0.0
    up: str = ""

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Pairs of joints to be joined by a line."""
        return self.layout.bones if self.layout else ()


def colour_legend(persons: int) -> str:
    """Which colour is which side, in words."""
    return "Left is orange, right is blue" + ("; of another person purple and green." if persons > 1 else ".")


def person_colours(person: int) -> dict[str, str]:
    """The colours of a person by side: left, right and "" for the middle."""
    left, right, middle = _PERSONS[person % len(_PERSONS)]
    return {"left": left, "right": right, "": middle}


def motion_of(
    name: str, keypoint: Array, layout: Layout | None, score: Array | None = None, rate: float = RATE
) -> Motion:
    """Turn `keypoint` (M, T, V, D) into a motion; 2-D coordinates are pixels, whose y points down.

    A joint at exactly zero, or with a `score` (M, T, V) of zero, is unseen; persons without a seen joint are left out.
    """
    points = np.array(keypoint, np.float32)
    points[_unseen(points, score)] = np.nan
    points = points[np.isfinite(points).any(axis=(1, 2, 3))]
    if points.shape[-1] == 2:
        return Motion(name, points * np.array((1, -1), np.float32), layout, rate)
    axis, sign = _up(points, layout)
    turned = points @ np.array(_ONTO[axis, sign], np.float32).T
    return Motion(name, turned, layout, rate, azimuth=_azimuth(turned), up=f"{'-' if sign < 0 else ''}{'xyz'[axis]}")


def thinned(motion: Motion, most: int) -> Motion:
    """At most `most` frames of the motion, evenly spaced; its duration stays."""
    step = -(-motion.points.shape[1] // most)
    return replace(motion, points=motion.points[:, ::step], step=motion.step * step)


def picked(motion: Motion, count: int) -> tuple[Motion, Array]:
    """`count` frames from the first to the last (all where there are fewer), and their indices (count,)."""
    frames = motion.points.shape[1]
    indices = np.linspace(0, frames - 1, min(count, frames)).round().astype(int)
    return replace(motion, points=motion.points[:, indices], rate=motion.rate * len(indices) / frames), indices


def _unseen(points: Array, score: Array | None) -> Array:
    """(M, T, V). A joint that is zero in every frame, with other joints on all sides, is the origin, and seen."""
    zero = ~points.any(axis=-1) | ~np.isfinite(points).all(axis=-1)
    absent = zero.all(axis=-1, keepdims=True)
    unseen = zero.copy()
    if points.shape[-1] == 3:
        unseen &= ~origin_joints(np.where(zero[..., None], np.float32(0), points))[:, None]
    if score is not None:
        unseen |= score <= 0
    return unseen | absent


def _up(points: Array, layout: Layout | None) -> tuple[int, int]:
    """The axis from hips and feet to the head, 1 (y) or 2 (z), and its sign; as the layout says where joints do not tell.

    They do not where no joint is called head or foot, and where persons mostly lie.
    """
    up = layout.up if layout and layout.up[-1:] in ("y", "z") else "y"
    default = ("xyz".index(up[-1]), -1 if up.startswith("-") else 1)
    names = layout.joints if layout and len(layout.joints) == points.shape[2] else ()
    upper = [i for i, name in enumerate(names) if any(word in name.lower() for word in _UPPER)]
    lower = [i for i, name in enumerate(names) if any(word in name.lower() for word in _LOWER)]
    if not upper or not lower or not points.size:
        return default
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a frame without a seen joint
        apart = np.nanmean(points[:, :, upper], 2) - np.nanmean(points[:, :, lower], 2)
        mean, length = np.nan_to_num(np.nanmean(apart, axis=(0, 1))), np.nanmean(np.linalg.norm(apart, axis=-1))
    axis = 2 if abs(mean[2]) > abs(mean[1]) else 1
    if not abs(mean[axis]) > _UPRIGHT * length:
        return default
    return axis, -1 if mean[axis] < 0 else 1


def _azimuth(points: Array) -> float:
    """The azimuth from which persons stand side by side rather than behind each other."""
    if len(points) < 2:
        return _AZIMUTHS[0]
    middle = np.nanmean(points, axis=(1, 2))
    return max(_AZIMUTHS, key=lambda azimuth: float(np.ptp(projected(middle, azimuth, 0.0)[:, 0])))


def projected(points: Array, azimuth: float, elevation: float = ELEVATION) -> Array:
    """(…, 3) -> (…, 3): right, up and towards the viewer, in parallel projection; angles in degrees. 2-D points stay."""
    if points.shape[-1] == 2:
        return np.concatenate([points, np.zeros_like(points[..., :1])], axis=-1)
    a, e = math.radians(azimuth), math.radians(elevation)
    right = (-math.cos(a), -math.sin(a), 0.0)
    up = (math.sin(a) * math.sin(e), -math.cos(a) * math.sin(e), math.cos(e))
    near = (-math.sin(a) * math.cos(e), math.cos(a) * math.cos(e), math.sin(e))
    return points @ np.array((right, up, near), np.float32).T


def side_of(name: str) -> str:
    """The side in the name of a joint: "left", "right" or ""."""
    words = name.lower().replace("_", " ").replace("-", " ").split()
    return next((word for word in ("left", "right") if word in words), "")


def bone_sides(layout: Layout) -> list[str]:
    """The side of every bone; "" for one that joins both sides."""
    found = [{side_of(layout.joints[i]), side_of(layout.joints[j])} - {""} for i, j in layout.bones]
    return [sides.pop() if len(sides) == 1 else "" for sides in found]


def stored_motion(split: Split, preset: Preset, names: Sequence[str], index: int) -> Motion | None:
    """The clip called names[index] with the persons the model sees; None when the split has no such clip.

    `names` are those of the clips that were scored, mostly in the order of the split.
    """
    name, store = names[index], split.store
    if index < len(split.indices) and split.names([index])[0] == name:
        clip = split.indices[index]
    else:
        clip = next((each for each in split.indices if store.names[each] == name), None)
    layout = presets.layout_of(preset)
    if clip is None or len(layout.joints) != store.frames.shape[1]:
        return None
    starts = store.starts[clip, : preset.data.num_person, None]
    keypoint = np.asarray(store.frames[np.where(starts > 0, starts + np.arange(store.lengths[clip]), 0)], np.float32)
    if store.has_score:
        return motion_of(name, keypoint[..., :-1], layout, keypoint[..., -1])
    return motion_of(name, keypoint, layout)
