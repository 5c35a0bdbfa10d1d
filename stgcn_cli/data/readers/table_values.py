"""Values of the joints in a text table: shares of the image become pixels, and z without a unit is left out.

Shapes: (…, V, C) of C coordinates, (…, V) of scores; the first axis is a row, V is there where a row has all joints.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stgcn_cli.data import joint_values
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.records import REFERENCE_SIZE

_NO_UNIT = 2  # z of MediaPipe's landmarks is below; metres from a camera are above
_FULL = 1.1  # estimators go a little above 1


@dataclass(frozen=True)
class Values:
    """Values of the joints of R rows, (R, V, C) and perhaps scores (R, V), with the size of their image."""

    keypoint: np.ndarray
    score: np.ndarray | None
    size: tuple[int, int] | None
    notes: tuple[str, ...] = ()  # what was changed

    def facts(self) -> dict[str, Any]:
        """What the records of these values have in common."""
        return {"img_shape": self.size} if self.size and self.keypoint.shape[-1] == 2 else {}


def values_of(xyz: np.ndarray, score: np.ndarray | None, options: Options) -> Values:
    """Pixels or metres of coordinates (R, V, C) and scores (R, V), in which NaN is a joint not seen."""
    score, notes = _scores(score)
    known = np.where(np.isnan(xyz).any(axis=-1, keepdims=True), np.float32(0), xyz)
    are_shares = joint_values.plan(known[..., :2]).is_shares
    has_z = xyz.shape[-1] == 3
    flat = are_shares and (not has_z or np.abs(known[..., 2]).max(initial=0) < _NO_UNIT)
    if has_z and not flat:
        return Values(xyz, score, None, notes)
    if not are_shares:
        return Values(xyz, score, options.image_size, notes)
    size = options.image_size or REFERENCE_SIZE
    xy = xyz[..., :2]
    seen = (xy != 0).any(axis=-1, keepdims=True) & (xy != -1).any(axis=-1, keepdims=True)
    keypoint = np.where(seen, xy * np.array(size[::-1], np.float32), np.float32(0))
    left = "; z, which has no unit, is left out" if has_z else ""
    assumed = "" if options.image_size else " (no --image-size was given)"
    said = f"x and y are shares of the image, stored as pixels of {size[1]} x {size[0]}{assumed}{left}."
    return Values(keypoint, score, size, (*notes, said))


def _scores(score: np.ndarray | None) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Scores from 0 to 1 where they were COCO's visibility (0, 1, 2), and what is odd about others."""
    if score is None or not np.isfinite(score).any():
        return score, ()
    high = float(np.nanmax(score))
    if high == 2 and np.isin(score[np.isfinite(score)], (0, 1, 2)).all():
        return (score > 0).astype(np.float32), ("The score is 0, 1 or 2, COCO's visibility: 1 and 2 became 1.",)
    return score, (f"The score is up to {high:.4g}; expected 0 to 1.",) if high > _FULL else ()
