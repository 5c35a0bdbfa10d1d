"""Rows, each of a frame, a person and a joint -> the arrays of a clip.

Shapes: R rows, C coordinates.
"""

from typing import Any, NamedTuple

import numpy as np

from stgcn_cli.data.formats.reading import MAX_FRAMES, MAX_VALUES, Options


class Rows(NamedTuple):
    """frame (R,), person (R,) any words, joint (R,) with -1 = nobody, xyz (R, C), and score (R,) where there is one."""

    frame: np.ndarray
    person: np.ndarray
    joint: np.ndarray
    xyz: np.ndarray
    score: np.ndarray | None

    def take(self, index: np.ndarray) -> "Rows":
        """Those at `index`."""
        return Rows(*(None if part is None else part[index] for part in self))  # type: ignore[arg-type]


def arrays_of(rows: Rows, joints: int, options: Options) -> dict[str, Any]:
    """keypoint, keypoint_score and img_shape of one clip. Raises ValueError."""
    first, frames = int(rows.frame.min()), int(rows.frame.max() - rows.frame.min()) + 1
    if frames > MAX_FRAMES:
        raise ValueError(f"its frames run from {first} to {rows.frame.max()}: more than {MAX_FRAMES:,} are not taken")
    seen = rows.take(rows.joint >= 0)
    persons, place = _places(seen, options.max_persons)
    shape = (persons, frames, joints, rows.xyz.shape[1])
    if np.prod(shape) > MAX_VALUES:
        raise ValueError(f"{frames} frames of {joints} joints are too much for one clip")
    kept = place < options.max_persons
    at = (place[kept], (seen.frame - first)[kept], seen.joint[kept])
    flat = np.ravel_multi_index(at, shape[:3])
    if len(np.unique(flat)) < len(flat):
        raise ValueError("a joint of a person stands twice in one frame; is the column person missing?")
    record: dict[str, Any] = {"keypoint": np.zeros(shape, np.float32)}
    record["keypoint"][at] = seen.xyz[kept]
    if seen.score is not None:
        record["keypoint_score"] = np.zeros(shape[:3], np.float32)
        record["keypoint_score"][at] = seen.score[kept]
    size = {"img_shape": options.image_size} if options.image_size and shape[3] == 2 else {}
    return record | size


def _places(seen: Rows, most: int) -> tuple[int, np.ndarray]:
    """How many persons are kept, and which of them each row is of, `most` for none: those in most frames, in this order."""
    who, code = np.unique(seen.person, return_inverse=True)
    counts = [len(np.unique(seen.frame[code == one])) for one in range(len(who))]
    order = sorted(range(len(who)), key=lambda one: -counts[one])[:most]
    place = np.full(max(1, len(who)), most)
    place[order] = np.arange(len(order))
    return max(1, len(order)), place[code]
