"""A clip as something to look at: what was not seen is left out, up is up, and where a viewer would stand.

Shapes: M persons, T frames, V joints, D = 2 or 3 coordinates.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.config.skeletons import COCO, NTU, OPENPOSE_18, OPENPOSE_25, Layout
from stgcn_cli.data.splits import Split

# The colours of skeletons, on light and on dark ground: left and right of each person, and what is in the middle.

PERSONS = (  # left, right, middle; a further person begins again
    ("#d9622b", "#2a78c0", "#7a7f87"),
    ("#b0489b", "#1d9484", "#a59a80"),
)


def in_words(persons: int) -> str:
    """Which colour is which side, for people."""
    return "Left is orange, right is blue" + ("; of another person purple and green." if persons > 1 else ".")


def of_person(person: int) -> dict[str, str]:
    """The colours of a person by side."""
    left, right, middle = PERSONS[person % len(PERSONS)]
    return {"left": left, "right": right, "": middle}


Array = np.ndarray
RATE = 30.0  # frames a second, of Kinect and of most cameras
_UPPER, _LOWER = ("head", "nose", "neck", "eye"), ("hip", "pelvis", "base of spine", "knee", "ankle", "foot", "heel")
_BY_JOINTS = {(25, 3): NTU, (17, 2): COCO, (17, 3): COCO, (18, 2): OPENPOSE_18, (25, 2): OPENPOSE_25}
_ROUND = (25.0, -25.0, 65.0, -65.0)  # degrees the viewer walks round; the first, for several persons the widest view
ELEVATION = 12.0  # degrees the viewer looks down
_ONTO = {  # (axis, sign) that is up -> the rotation to z up with the viewer, who stood in front of the sensor, at +y
    (2, 1): ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    (1, 1): ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    (1, -1): ((-1, 0, 0), (0, 0, -1), (0, -1, 0)),
    (2, -1): ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
}


@dataclass(frozen=True)
class Motion:
    """A clip to be drawn. `points` (M, T, V, D) are NaN where not seen; D = 3 has z up, D = 2 has y up.

    A viewer at azimuth 0 stands at +y. `step` frames of the clip lie between two of `points`; `up` says what was up.
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
        """The joint pairs to join by a line."""
        return self.layout.bones if self.layout else ()


def motion_of(
    name: str, keypoint: Array, layout: Layout | None, score: Array | None = None, rate: float = RATE
) -> Motion:
    """The clip with `keypoint` (M, T, V, D) to be drawn; 2-D coordinates are pixels, whose y goes down.

    A joint at exactly zero, or with a `score` (M, T, V) of zero, was not seen; persons who never are, are left out.
    """
    points = np.array(keypoint, np.float32)
    points[_unseen(points, score)] = np.nan
    points = points[np.isfinite(points).any(axis=(1, 2, 3))]
    if points.shape[-1] == 2:
        return Motion(name, points * np.array((1, -1), np.float32), layout, rate)
    axis, sign = _up(points, layout)
    turned = points @ np.array(_ONTO[axis, sign], np.float32).T
    return Motion(name, turned, layout, rate, azimuth=_azimuth(turned), up=f"{'-' if sign < 0 else ''}{'xyz'[axis]}")


def layout_for(joints: int, coordinates: int) -> Layout | None:
    """The built-in skeleton that such data most likely have."""
    return _BY_JOINTS.get((joints, coordinates))


def thinned(motion: Motion, most: int) -> Motion:
    """At most `most` frames of the motion, evenly spaced; it takes as long as before."""
    step = -(-motion.points.shape[1] // most)
    return replace(motion, points=motion.points[:, ::step], step=motion.step * step)


def picked(motion: Motion, count: int) -> tuple[Motion, Array]:
    """`count` frames from the first to the last (all where there are fewer), and their places (count,)."""
    frames = motion.points.shape[1]
    places = np.linspace(0, frames - 1, min(count, frames)).round().astype(int)
    return replace(motion, points=motion.points[:, places], rate=motion.rate * len(places) / frames), places


def _unseen(points: Array, score: Array | None) -> Array:
    """(M, T, V). A joint that is always zero in the midst of its body is the origin of the coordinates, and seen."""
    zero = ~points.any(axis=-1) | ~np.isfinite(points).all(axis=-1)
    absent = zero.all(axis=-1, keepdims=True)
    unseen = zero.copy()
    if points.shape[-1] == 3:
        always = (zero | absent).all(axis=1, keepdims=True)
        unseen &= ~(always & _around_zero(points, zero)[:, None, None])
    if score is not None:
        unseen |= score <= 0
    return unseen | absent


def _around_zero(points: Array, zero: Array) -> Array:
    """(M,) whether each person's joints lie on all sides of the origin."""
    low = np.where(zero[..., None], np.inf, points).min(axis=(1, 2))
    high = np.where(zero[..., None], -np.inf, points).max(axis=(1, 2))
    return ((low <= 0) & (high >= 0)).all(axis=-1)


def _up(points: Array, layout: Layout | None) -> tuple[int, int]:
    """Which of y and z is up, and its sign: where heads are as seen from hips and feet; y where there are none."""
    names = layout.joints if layout and len(layout.joints) == points.shape[2] else ()
    upper = [i for i, name in enumerate(names) if any(word in name.lower() for word in _UPPER)]
    lower = [i for i, name in enumerate(names) if any(word in name.lower() for word in _LOWER)]
    if not upper or not lower or not points.size:
        return 1, 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a frame in which none of them is seen
        apart = np.nanmean(points[:, :, upper], 2) - np.nanmean(points[:, :, lower], 2)
        mean = np.nan_to_num(np.nanmean(apart, axis=(0, 1)))
    axis = 2 if abs(mean[2]) > abs(mean[1]) else 1
    return axis, -1 if mean[axis] < 0 else 1


def _azimuth(points: Array) -> float:
    """Where persons stand side by side rather than behind each other."""
    if len(points) < 2:
        return _ROUND[0]
    middle = np.nanmean(points, axis=(1, 2))
    return max(_ROUND, key=lambda azimuth: float(np.ptp(projected(middle, azimuth, 0.0)[:, 0])))


def projected(points: Array, azimuth: float, elevation: float = ELEVATION) -> Array:
    """(…, 3) -> (…, 3): right, up, and towards the viewer, as seen from far away; degrees. 2-D points stay as they are."""
    if points.shape[-1] == 2:
        return np.concatenate([points, np.zeros_like(points[..., :1])], axis=-1)
    a, e = math.radians(azimuth), math.radians(elevation)
    right = (-math.cos(a), -math.sin(a), 0.0)
    up = (math.sin(a) * math.sin(e), -math.cos(a) * math.sin(e), math.cos(e))
    near = (-math.sin(a) * math.cos(e), math.cos(a) * math.cos(e), math.sin(e))
    return points @ np.array((right, up, near), np.float32).T


def side_of(name: str) -> str:
    """ "left", "right" or "" as the joint's name says."""
    words = name.lower().replace("_", " ").replace("-", " ").split()
    return next((word for word in ("left", "right") if word in words), "")


def bone_sides(layout: Layout) -> list[str]:
    """The side of every bone; one that joins both sides has none."""
    found = [{side_of(layout.joints[i]), side_of(layout.joints[j])} - {""} for i, j in layout.bones]
    return [sides.pop() if len(sides) == 1 else "" for sides in found]


# Clips out of a store to look at: those an evaluation speaks of, found by their place or their name.
#
# Shapes: M persons, T frames, V joints, D coordinates.


def motion(split: Split, preset: Preset, names: Sequence[str], place: int) -> Motion | None:
    """The clip called names[place] with the persons the model sees; None when the split has no such clip.

    `names` are those of all clips when scores were made, so that most often the place alone is right.
    """
    found = _place(split, names, place)
    if found is None:
        return None
    store, clip = split.store, split.indices[found]
    starts = store.starts[clip, : preset.data.num_person]
    length = int(store.lengths[clip])
    rows = np.where(starts[:, None] > 0, starts[:, None] + np.arange(length), 0)
    keypoint = np.asarray(store.frames[rows], np.float32)
    score = keypoint[..., -1] if store.has_score else None
    layout = presets.layout_of(preset)
    if len(layout.joints) != keypoint.shape[2]:
        return None
    coordinates = keypoint[..., :-1] if store.has_score else keypoint
    return motion_of(names[place], coordinates, layout, score)


def _place(split: Split, names: Sequence[str], place: int) -> int | None:
    name = names[place]
    if place < len(split.indices) and split.names([place])[0] == name:
        return place
    return next((i for i, index in enumerate(split.indices) if split.store.names[index] == name), None)
