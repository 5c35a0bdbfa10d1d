"""Axes of an array of joints: which one counts what, by the shape and, where that leaves a choice, by the values.

Letters: N clips, M persons, T frames, V joints, C values of a joint. Letters in brackets share an axis, the last one running
fastest: T(VC) is a frame in each row, x, y, z of the first joint first. Everything is arranged as N M T V C.
"""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.data import axis_evidence as evidence
from stgcn_cli.errors import DataError, UsageError

LETTERS = "NMTVC"
_NAMES = {"N": "clip", "M": "person", "T": "frame", "V": "joint", "C": "value"}
_ORDERS: dict[int, tuple[tuple[str, int], ...]] = {  # dimensions -> orders that occur, and how far behind the usual one
    1: (("(VC)", 0),),
    2: (("T(VC)", 0), ("VC", 0), ("T(MVC)", 1)),
    3: (("TVC", 0), ("CTV", 0), ("TCV", 0), ("MT(VC)", 0), ("NT(VC)", 0), ("NT(MVC)", 1), ("VTC", 2), ("CVT", 2), ("VCT", 2)),
    4: (
        ("MTVC", 0), ("TMVC", 1), ("CTVM", 1), ("NTVC", 1), ("NCTV", 1), ("MCTV", 1), ("MTCV", 1), ("NTCV", 1), ("TVCM", 2),
    ),
    5: (("NMTVC", 0), ("NCTVM", 1), ("NTMVC", 1)),
}  # fmt: skip
_JOINTS = (12, 14, 15, 16, 24)  # of skeletons that are common, beside the built-in ones
KNOWN = {*_JOINTS, *(len(layout.joints) for layout in LAYOUTS.values())}
_FEWEST_JOINTS, _MOST_JOINTS = 3, 60  # of skeletons that are not known, the latter in unusual orders
_MOST_PERSONS = 10  # that are taken for persons without --axes
_VALUES = (2, 3, 4)  # of a joint
EXPECTED = "expected T V C or M T V C (frames, joints, values of a joint; persons), or --axes, for instance --axes CTVM"


@dataclass(frozen=True)
class Reading:
    """How an array is understood: the order of its axes and the size of each letter."""

    order: str
    sizes: dict[str, int]

    def arranged(self, array: np.ndarray) -> np.ndarray:
        """The array as (N, M, T, V, C), a view where that is possible."""
        groups = _groups(self.order)
        split = array.reshape([self.sizes[letter] for group in groups for letter in group])
        letters = "".join(groups)
        arranged = split.transpose([letters.index(letter) for letter in LETTERS if letter in letters])
        return arranged[tuple(slice(None) if letter in letters else None for letter in LETTERS)]

    @property
    def words(self) -> str:
        """For people: "C T V M: 3 values, 40 frames, 25 joints, 2 persons"."""
        letters = [letter for letter in self.order if letter in LETTERS]
        return f"{spaced(self.order)}: {', '.join(_counted(letter, self.sizes[letter]) for letter in letters)}"


@dataclass(frozen=True)
class Understood:
    """How the array of one clip was understood: the order of its axes, what the values are, and the clip's (M, T, V)."""

    order: str
    values: str  # "x, y, z"
    shape: tuple[int, ...]


def summaries(understood: Iterable[Understood]) -> list[str]:
    """One line for each way in which axes were understood: "axes C T V M: 25 joints with x, y, z; 40 frames; 2 persons"."""
    kinds: dict[tuple[str, str, int], list[Understood]] = {}
    for each in understood:
        kinds.setdefault((each.order, each.values, each.shape[2]), []).append(each)
    lines = []
    for (order, values, joints), same in kinds.items():
        clips = f"{len(same):,} clips of " if len(same) > 1 else ""
        frames, persons = _range("T", [each.shape[1] for each in same]), _range("M", [each.shape[0] for each in same])
        lines.append(f"axes {spaced(order)}: {clips}{frames}, {persons}, {_counted('V', joints)} with {values}")
    return lines


def _range(letter: str, sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return _counted(letter, high) if low == high else f"{low:,} to {_counted(letter, high)}"


def parse_axes(word: str) -> str:
    """The order that a user wrote, in capitals. Raises UsageError."""
    order = re.sub(r"[\s,]", "", word).upper()
    letters = re.sub(r"[()]", "", order)
    regular = re.fullmatch(r"(\w|\(\w{2,}\))+", order) and set(letters) <= set(LETTERS)
    if not regular or len(set(letters)) < len(letters) or not {"V", "C"} <= set(letters):
        raise UsageError(
            f"--axes {word!r} is no order of axes.",
            "Letters: N clips, M persons, T frames, V joints, C values of a joint; (VC) in one axis. "
            "For instance: --axes CTVM",
        )
    return order


def understand(
    array: np.ndarray,
    given: str | None = None,
    joints: int | None = None,
    score_last: bool | None = None,
    meant: str = "",
) -> Reading:
    """How `array` is to be read: as the user's order `given` says, else the likeliest one. `joints` are those of --layout.

    `meant`: "N" where there are several clips for certain; "M" where persons are meant if they are as likely as clips.

    Raises DataError where nothing fits or two orders fit equally well, naming --axes.
    """
    if array.ndim == 0 or 0 in array.shape:
        raise DataError(f"the array has the shape {array.shape}: there is nothing in it")
    if given is not None:
        return _as_given(array, given, joints)
    found = _unlike([each for each in _candidates(array.shape, joints) if each.sizes["C"] > 2 or not score_last])
    if meant == "N":
        found = [each for each in found if "N" in each.order] or found
    still = all(each.sizes.get("T") == 1 and each.sizes.get("N", 1) > 1 for each in found) and meant != "N"
    if still and 1 in array.shape and array.ndim > 3:  # T V 1 C, T 1 1 V C: what is left tells
        return understand(array.squeeze(), None, joints, score_last, meant)
    if not found:
        if joints and (other := next(_candidates(array.shape, None), None)):
            raise DataError(f"the array has {other.sizes['V']} joints ({other.words}), --layout has {joints}")
        raise DataError(f"the array has the shape {array.shape}, {EXPECTED}{_beyond(array.shape)}")
    return found[0] if len(found) == 1 else _likeliest(array, found, joints, meant)


def persons_exceed_frames(shape: Sequence[int]) -> str:
    """Words about an array M T V C with more persons than frames, "" where there are not."""
    persons, frames = shape[:2]
    if persons <= max(frames, evidence.MANY):
        return ""
    return (
        f"{_counted('M', persons)} in {_counted('T', frames)}, more persons than frames: is it T M V C? Read it so with "
        "--axes TMVC"
    )


def spaced(order: str) -> str:
    """The order with a space between axes."""
    return " ".join(re.findall(r"\(\w+\)|\w", order))


def _groups(order: str) -> list[str]:
    """The letters of each axis."""
    return [group.strip("()") for group in re.findall(r"\(\w+\)|\w", order)]


def _counted(letter: str, size: int) -> str:
    return f"{size:,} {_NAMES[letter]}{'' if size == 1 else 's'}"


def _candidates(shape: Sequence[int], joints: int | None) -> Iterator[Reading]:
    """Every order whose sizes are possible."""
    known = {joints} if joints else KNOWN
    for order, _ in _ORDERS.get(len(shape), ()):
        for sizes in _sizes(order, shape, known):
            values, persons = sizes["C"] in _VALUES, sizes.get("M", 1) <= _MOST_PERSONS
            usual = sizes["V"] in known or order.endswith("TVC") or sizes["V"] <= _MOST_JOINTS
            enough = sizes["V"] == joints if joints else sizes["V"] >= _FEWEST_JOINTS
            if values and persons and usual and enough:
                yield Reading(order, sizes)


def _sizes(order: str, shape: Sequence[int], known: set[int]) -> Iterator[dict[str, int]]:
    """The sizes of the letters; an axis of several letters is divided in every way that has known joints."""
    divided = []
    for group, size in zip(_groups(order), shape, strict=True):
        if len(group) == 1:
            divided.append([{group: size}])
        else:
            persons = (2, 3) if "M" in group else (1,)
            triples = itertools.product(persons, sorted(known), _VALUES)
            divided.append(
                [dict(M=m, V=v, C=c) if "M" in group else dict(V=v, C=c) for m, v, c in triples if m * v * c == size]
            )
    for parts in itertools.product(*divided):
        yield {letter: size for part in parts for letter, size in part.items()}


def _as_given(array: np.ndarray, order: str, joints: int | None) -> Reading:
    """The reading of a user's order; where it has more letters than the array has axes, the last ones share an axis."""
    groups = _groups(order)
    if len(groups) > array.ndim and "(" not in order:
        groups = [*groups[: array.ndim - 1], "".join(groups[array.ndim - 1 :])]
        order = "".join(groups[:-1]) + f"({groups[-1]})"
    if len(groups) != array.ndim:
        raise DataError(f"the array has the shape {array.shape}, but --axes names {len(groups)} axes")
    found = list(_sizes(order, array.shape, {joints} if joints else KNOWN))
    if len(found) > 1:
        options = " or ".join(f"{sizes['V']} joints with {sizes['C']} values" for sizes in found)
        raise DataError(f"rows of {array.shape[-1]} can be {options}: name the skeleton with --layout")
    if not found or (joints and found[0]["V"] != joints):
        wanted = f"the {joints} joints of --layout" if joints else "joints of a known skeleton: name it with --layout"
        raise DataError(f"the array has the shape {array.shape}; as {spaced(order)} it does not hold {wanted}")
    return Reading(order, found[0])


def _unlike(readings: Sequence[Reading]) -> list[Reading]:
    """The readings that differ: an axis of size 1 may bear any name."""
    found: dict[tuple[Any, ...], Reading] = {}
    for reading in readings:
        letters = "".join(_groups(reading.order))
        key = tuple((letter, reading.sizes[letter]) for letter in letters if reading.sizes[letter] > 1)
        found.setdefault(key, reading)
    return list(found.values())


def _likeliest(array: np.ndarray, found: Sequence[Reading], joints: int | None, meant: str) -> Reading:
    """The reading with the least against it. Raises DataError where there are two of them."""
    handicaps, known = dict(_ORDERS[array.ndim]), {joints} if joints else KNOWN
    counts = evidence.against([(reading.sizes, reading.arranged(array)) for reading in found], known)
    against = [handicaps[reading.order] + count for reading, count in zip(found, counts, strict=True)]
    best = [reading for reading, count in zip(found, against, strict=True) if count == min(against)]
    if meant == "M":
        best = [reading for reading in best if "N" not in reading.order] or best
    if len(best) > 1:
        words = " or ".join(reading.words for reading in best[:3])
        options = " or ".join(f"--axes {reading.order}" for reading in best[:3])
        raise DataError(f"the axes of the shape {array.shape} can be {words}; say which: {options}")
    return best[0]


def _beyond(shape: Sequence[int]) -> str:
    """More about a shape that nothing fits."""
    if shape[-1] in (258, 1662):
        return ". MediaPipe Holistic's rows hold pose, face and hands: keep the pose, array[:, :132]"
    if len(shape) in (3, 4) and 4 < shape[-1] <= 16 and math.prod(shape) > shape[-1]:
        return f". Of {shape[-1]} values a joint keep x, y, z: array[..., :3], or x, y and a score"
    return ""
