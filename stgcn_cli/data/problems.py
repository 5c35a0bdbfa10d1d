"""What is odd about labels, image sizes, units and splits, in words: pure functions behind the checks of records."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from stgcn_cli.config.skeletons import Shape, some
from stgcn_cli.data.findings import Findings, Level
from stgcn_cli.io.text import one_line

_RELATIVE = 2.0  # pixels beyond this are not fractions of an image
_PIXELS = 20.0  # coordinates beyond this are not metres
_BEYOND, _OUTSIDE = 1.1, 0.05  # of an image: joints a little outside are common; share of joints that is not


def label_problems(labels: Collection[int]) -> Iterator[tuple[str, str | None]]:
    """Odd sets of labels, with the expected ones; -1 is hidden."""
    found = sorted(set(labels) - {-1})
    if len(found) == 1:
        yield f"all are {found[0]}", "several classes"
    missing = sorted(set(range(found[-1])) - set(found)) if found else []
    if missing[:1] == [0]:
        yield f"from {found[0]} to {found[-1]}, none is 0: are they counted from 1?", None
    elif missing:
        yield f"up to {found[-1]}, but none is {some(list(map(str, missing)))}", "every class"


def image_problem(coordinates: np.ndarray, size: tuple[int, int]) -> str:
    """Words about joints (..., 2) that lie outside of an image of this height and width, "" where few do."""
    height, width = size
    seen = coordinates[coordinates.any(axis=-1)].astype(np.float64)
    outside = (seen > (_BEYOND * width, _BEYOND * height)).any(axis=1)
    if not outside.any() or (outside.mean() < _OUTSIDE and height >= width):
        return ""
    x, y = seen.max(axis=0)
    found = f"joints lie at x = {x:.0f}, y = {y:.0f}, outside of an image {width} wide and {height} high"
    if x <= _BEYOND * height and y <= _BEYOND * width:
        return f"{found}; is img_shape (width, height)?"
    return found if outside.mean() >= _OUTSIDE else ""


def unit_problems(shape: Shape, largest: float, third: tuple[float, float]) -> Iterator[tuple[str, str]]:
    """Coordinates that cannot be pixels, and a score in place of z: from the largest |x|, |y| and the range of a third value."""
    low, high = third
    if shape[1] == 2 and 0 < largest <= _RELATIVE:
        yield f"no coordinate is above {largest:.3g}: are these fractions of the image?", "pixels"
    pixels = largest > _PIXELS or shape[0] == 17
    if shape[1:] == (3, False) and low >= 0 and high <= 1 < largest and pixels:
        expected = "z; for a score: stgcn data convert FILE --score-last --out NEW.pkl"
        yield f"the third value is from {low:.3g} to {high:.3g}: is it a score?", expected


def check_splits(findings: Findings, names: Collection[str], splits: Mapping[str, Sequence[str]]) -> None:
    """Note the problems between the splits of a file and its records, which are called `names`."""
    known = dict.fromkeys(names)
    empty = [split for split, listed in splits.items() if not any(name in known for name in listed)]
    grave: Level = "error" if len(empty) == len(splits) else "warning"  # of a part of NTU, a benchmark may be empty
    for split, listed in splits.items():
        for name, count in Counter(listed).items():
            if name not in known:
                findings.add("warning", f"split {split}", "split", f"{one_line(name)!r} has no record")
            if count > 1:
                findings.add("warning", f"split {split}", "split", f"{one_line(name)!r} is listed more than once", "")
    for split in empty:
        findings.add(grave, f"split {split}", "split", "no clip is in it", "")
    in_any = {name for listed in splits.values() for name in listed}
    expected = (
        "one of " + ", ".join(map(one_line, splits))
        if splits
        else "a split; of a list its file names it: own_train.pkl"
    )
    for name in known:
        if name not in in_any:
            findings.add("warning", name, "split", "it is in no split", expected)
    _check_leaks(findings, splits)


def _check_leaks(findings: Findings, splits: Mapping[str, Sequence[str]]) -> None:
    """Clips of a benchmark that are trained on and validated or tested on, too."""
    for split, listed in splits.items():
        for part in ("val", "test"):
            other = split.removesuffix("train") + part
            if split.endswith("train") and other in splits:
                for name in sorted(set(listed) & set(splits[other])):
                    found = f"it is in {one_line(split)} and in {one_line(other)}: the figures would be too good"
                    findings.add("error", name, "split", found, "one of them")
