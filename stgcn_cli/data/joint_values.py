"""What the values of a joint are: coordinates in pixels, shares of the image or metres, and a score, inferred from their ranges.

Shapes: x is (..., C) with C = 2, 3 or 4 values of each joint; a joint at exactly zero was not seen.
"""

from dataclasses import dataclass

import numpy as np

from stgcn_cli.errors import DataError

_PIXELS = 20  # coordinates beyond this are not metres
_INSIDE = 0.9  # of the coordinates lie in the image where they are shares of it
_FULL = 1.01  # scores are rounded, and some estimators go a little above 1
_FLAT_ONLY = (18,)  # joints of skeletons that no sensor has in space: ST-GCN's Kinetics arrays
_FLAGS = (0, 1, 2)  # COCO's visibility
_TORN = 0.2  # of the joints may have 0 in x or y alone
_NOT_Z = "--no-score-last if it is z"


@dataclass(frozen=True)
class Plan:
    """What to make of the values: how many are coordinates, which is the score, and the unit of x and y.

    `unit` is "pixels", "shares" (0 to 1), "centred" (shares from -0.5 to 0.5) or "" (metres, or any other).
    """

    coordinates: int
    score: int | None
    unit: str
    flags: bool = False  # the score is COCO's visibility: 0, 1, 2
    words: str = ""

    def split(self, x: np.ndarray, image_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Coordinates (..., D) and scores (...) in float32; shares become pixels of an image of this height and width."""
        keypoint = np.ascontiguousarray(x[..., : self.coordinates])
        score = None if self.score is None else np.ascontiguousarray(x[..., self.score])
        if self.flags and score is not None:
            score = (score > 0).astype(np.float32)
        if self.is_shares:
            seen = keypoint.any(axis=-1, keepdims=True) & (keypoint != -1).any(axis=-1, keepdims=True)
            shift = np.float32(0.5 if self.unit == "centred" else 0)
            keypoint = np.where(seen, (keypoint + shift) * np.array(image_size[::-1], np.float32), np.float32(0))
        return keypoint, score

    @property
    def is_shares(self) -> bool:
        """Whether x and y count in widths and heights of the image."""
        return self.unit in ("shares", "centred")


def plan(x: np.ndarray, score_last: bool | None = None) -> Plan:
    """What the values of `x` are; `score_last` is what the user says of the last one. Raises DataError naming the option."""
    values = x.shape[-1]
    if values not in (2, 3, 4):
        raise DataError(f"{values} values a joint; expected x, y or x, y, z, and perhaps a score")
    seen = x[x.any(axis=-1)]
    if values > 2 and (found := _no_coordinate(x, seen)):
        raise DataError(f"the first value of each joint is {found}, not x: {_span(seen[:, 0])}")
    if values == 2:
        if score_last:
            raise DataError("2 values a joint; --score-last is for x, y, score")
        unit = _unit(seen)
        return Plan(2, None, unit, words=f"x, y{_UNITS[unit]}")
    return _of_three(seen, score_last, x.shape[-2]) if values == 3 else _of_four(seen, score_last)


def _no_coordinate(x: np.ndarray, seen: np.ndarray) -> str:
    """What the first values of joints are, where they count the joints, or are scores beside pixels; else ""."""
    if (
        x.shape[-2] > 2
        and seen.size
        and not np.where(x[..., 1:].any(axis=-1), x[..., 0] - np.arange(x.shape[-2]), 0).any()
    ):
        return "its number (leave it out: array[..., 1:])"
    far = seen.size and x.shape[-1] == 3 and seen[:, 1:].max() > _PIXELS and np.ptp(seen[:, 1:], axis=0).min() > _PIXELS
    return "a score (put it last: array[..., [1, 2, 0]])" if far and _are_scores(seen[:, 0]) else ""


_UNITS = {
    "pixels": "",
    "": "",
    "shares": " in shares of the image",
    "centred": " in shares of the image, 0 in its middle",
}


def _unit(seen: np.ndarray) -> str:
    """The unit of x and y (R, 2)."""
    if not seen.size:
        return ""
    xy = seen[:, :2]
    low, high = float(xy.min()), float(xy.max())
    if high > _PIXELS:
        return "pixels" if low > -0.2 * high else ""
    inside = ((xy >= 0) & (xy <= 1)).all(axis=1).mean()
    return "shares" if inside >= _INSIDE and low >= -1 and high <= 2 else ""


def _of_three(seen: np.ndarray, score_last: bool | None, joints: int) -> Plan:
    third, unit = seen[:, 2], _unit(seen)
    if score_last:
        flags = _are_flags(third)
        if not _are_scores(third) and not flags:
            raise DataError(f"the third value is from {_span(third)}: that is no score (0 to 1)")
        unit = unit or ("centred" if _is_centred(seen) else "")
        return Plan(2, 2, unit, flags, f"x, y and a score{_UNITS[unit]}")
    if score_last is not None or not seen.size:
        return Plan(3, None, "", words="x, y, z")
    if not third.any() and unit:
        return Plan(2, None, unit, words=f"x, y{_UNITS[unit]}; the third value is always 0 and left out")
    if _are_scores(third) or _are_flags(third):
        if unit == "pixels":
            return Plan(2, 2, unit, _are_flags(third), f"x, y in pixels and a score (the third value, {_span(third)})")
        if joints in _FLAT_ONLY and _is_centred(seen):
            return Plan(2, 2, "centred", words=f"x, y and a score{_UNITS['centred']}")
        if unit == "shares":
            raise DataError(
                f"x and y are shares of an image, and the third value is {_span(third)}: say --score-last if it is a score, "
                f"{_NOT_Z}"
            )
    if unit == "shares" and np.abs(third).max() < 2:
        return Plan(2, None, unit, words=f"x, y{_UNITS[unit]}; z, which has no unit, is left out")
    return Plan(3, None, "", words="x, y, z")


def _of_four(seen: np.ndarray, score_last: bool | None) -> Plan:
    last, unit = seen[:, 3] if seen.size else np.zeros(1), _unit(seen)
    flags = _are_flags(last)
    if score_last is False or not (_are_scores(last) or flags):
        raise DataError(
            f"4 values a joint, the last one {_span(last)}: expected x, y, z and a score (0 to 1). Keep x, y, z: array[..., :3]"
        )
    if unit:
        return Plan(2, 3, unit, flags, f"x, y{_UNITS[unit]} and a score (the fourth value); z is left out")
    return Plan(3, 3, "", flags, "x, y, z and a score")


def _are_scores(values: np.ndarray) -> bool:
    return bool(values.size and values.min() >= 0 and values.max() <= _FULL)


def _are_flags(values: np.ndarray) -> bool:
    return bool(values.size and np.isin(values, _FLAGS).all() and (values == 2).any())


def _is_centred(seen: np.ndarray) -> bool:
    return bool(seen.size and np.abs(seen[:, :2]).max() <= 1 and (np.abs(seen[:, :2]) <= 0.5).mean() >= _INSIDE)


def _span(values: np.ndarray) -> str:
    return f"{values.min():.3g} to {values.max():.3g}"


def oddness(x: np.ndarray) -> int:
    """How much speaks against `x` (..., C) as joints with C values: 0 nothing, 4 a lot."""
    values, odd = x.shape[-1], 0
    seen = x[x.any(axis=-1)]
    if not seen.size:
        return 0
    zero = seen[:, :2] == 0
    always = zero.all(axis=0).any()  # a coordinate is always 0
    if always or zero.any(axis=1).mean() > _TORN:
        odd += 4
    unit = _unit(seen)
    if values == 2 and not unit:
        odd += 2
    if values == 3 and unit == "pixels" and not (_are_scores(seen[:, 2]) or _are_flags(seen[:, 2])):
        odd += 1
    if values == 4 and not (_are_scores(seen[:, 3]) or _are_flags(seen[:, 3])):
        odd += 4
    return odd


def origin_joints(x_MTVD: np.ndarray) -> np.ndarray:
    """(M, V) whether a joint is the origin to which a person in space is centred, rather than not seen.

    It is at zero in every frame the person is in, and other joints lie on all sides of it.
    """
    zero: np.ndarray = ~np.asarray(x_MTVD.any(axis=-1))
    if x_MTVD.shape[-1] != 3:
        return np.zeros((len(x_MTVD), x_MTVD.shape[2]), bool)
    low = np.where(zero[..., None], np.inf, x_MTVD).min(axis=(1, 2))
    high = np.where(zero[..., None], -np.inf, x_MTVD).max(axis=(1, 2))
    around = ((low <= 0) & (high >= 0)).all(axis=-1)
    return (zero | zero.all(axis=-1, keepdims=True)).all(axis=1) & around[:, None]
