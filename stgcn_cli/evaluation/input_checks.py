"""Warn when inputs differ from the training data; one message per kind, with counts.

A model predicts a class for any input; for inputs unlike its training data the prediction is meaningless.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgcn_cli.config.schema import Preset
from stgcn_cli.data.loader import REFERENCE_SIZE
from stgcn_cli.data.statistics import spreads
from stgcn_cli.data.store import Store
from stgcn_cli.evaluation import adapt

_LONG = 3  # times the longest training clip: a recording rather than a clip
_FAR = 3  # times larger or smaller than what was trained on
_BEYOND = 1.1  # of an image: joints a little outside are common
_PLURAL = {"has": "have", "is": "are", "does": "do", "comes": "come"}
_UNITS = ((1000, "millimetres", "metres"), (100, "centimetres", "metres"), (0.001, "metres", "millimetres"))


@dataclass(frozen=True)
class Facts:
    """What matters of one clip. `spread` as in `statistics.spreads`; `reach` the largest |x|, |y| of a 2-D clip."""

    name: str
    frames: int
    persons: int  # in the input
    dropped: bool  # whether somebody was left out
    spread: float
    image: tuple[int, int]  # height, width; (0, 0) = unknown
    reach: tuple[float, float]
    change: str
    assumed: tuple[int, int] | None = None  # height, width that its pixels are divided by, as it tells none
    unlike: bool = False  # its 25 joints do not lie as Kinect's


def facts_of(store: Store, inputs: Sequence[adapt.Adapted], preset: Preset) -> list[Facts]:
    """The facts of every clip of `store`, made of `inputs`."""
    kept, spread = preset.data.num_person, spreads(store, np.arange(len(store)))
    return [
        Facts(
            store.names[index], int(store.lengths[index]), given.persons,
            bool(store.starts[index, kept:].any()) or given.persons > int((store.starts[index] > 0).sum()),
            float(spread[index]), (int(store.image_sizes[index, 0]), int(store.image_sizes[index, 1])),
            _reach(given.clip.record["keypoint"]), given.change, given.assumed, given.unlike,
        )
        for index, given in enumerate(inputs)
    ]  # fmt: skip


def _reach(keypoint: np.ndarray) -> tuple[float, float]:
    x, y = np.abs(keypoint[..., :2]).reshape(-1, 2).max(axis=0, initial=0)
    return float(x), float(y)


Problem = tuple[Sequence[Facts], str, str]  # clips, the verb, what follows it: "clip x has …", "12 clips (x, …) have …"


def input_warnings(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> list[str]:
    """Warnings about `facts`. `trained_on` is what `statistics.describe` returned, empty where it is unknown."""
    problems = [problem for question in _QUESTIONS for problem in question(facts, preset, trained_on)]
    return [
        f"{some[0].name} {verb} {rest}"
        if len(some) == 1
        else f"{len(some):,} clips ({some[0].name}, …) {_PLURAL[verb]} {rest}"
        for some, verb, rest in problems
        if some
    ]


def _range(values: Sequence[float]) -> str:
    low, high = min(values, default=0), max(values, default=0)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _empty(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> Iterator[Problem]:
    yield [each for each in facts if not each.persons], "has", "no person in any frame; the prediction is meaningless."


def _changes(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> Iterator[Problem]:
    for change in (adapt.SCORES_MADE, adapt.SCORES_LEFT, adapt.SCORES_TAKEN):
        yield [each for each in facts if each.change == change], "has", change


def _unlike(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> Iterator[Problem]:
    words = (
        "25 joints that do not lie as a Kinect's do: another skeleton, or another order of joints, than the model's."
    )
    yield [each for each in facts if each.unlike and each.persons], "has", words


def _lengths(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> Iterator[Problem]:
    known, length = trained_on.get("frames"), preset.data.clip_len
    long = [each for each in facts if length and each.frames > length]
    if preset.data.sampling == "loop":
        text = f"longer than {length} frames: only the first {length} are seen."
        yield long, "is", text + _advice(long, preset, trained_on)
    if known:
        odd = [
            each for each in facts if not (length and each.frames > length) and not known[0] <= each.frames <= known[-1]
        ]
        trained = f"the model was trained on clips of {_range([known[0], known[-1]])}"
        found = _range([each.frames for each in odd])
        yield odd, "has", f"{found} frames; {trained}.{_advice(odd, preset, trained_on)}"


def _advice(long: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> str:
    """What to type for recordings much longer than the clips of the training."""
    known, length = trained_on.get("frames"), preset.data.clip_len
    most = known[-1] if known else length
    if not most or max((each.frames for each in long), default=0) <= _LONG * most:
        return ""
    window = min(int(known[len(known) // 2]) if known else most, length or most)
    return f" For a timeline of the recording: --window {window} --stride {max(1, window // 4)}"


def _spread(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> Iterator[Problem]:
    by_image = preset.data.normalize in ("image", "half-image") and preset.data.image_size == "record"
    known = trained_on.get("image_spread" if by_image else "spread")
    if not known:
        return
    pairs = [
        (each, each.spread / (each.image[0] if by_image else 1)) for each in facts if not by_image or each.image[0]
    ]
    odd = [(each, size) for each, size in pairs if size < known[0] / _FAR or size > known[2] * _FAR]
    if odd:
        ratio = float(np.median([size for _, size in odd])) / known[1]
        found, trained = (
            _range([float(f"{n:.3g}") for n in some]) for some in ([s for _, s in odd], (known[0], known[2]))
        )
        far = f"bodies of another size: joints lie {found} from their mean, in training {trained}."
        yield [each for each, _ in odd], "has", far + _unit(ratio, preset)


def _unit(ratio: float, preset: Preset) -> str:
    for factor, found, wanted in _UNITS:
        if preset.data.channels == "xyz" and factor / _FAR < ratio < factor * _FAR:
            return f" Are these {found}, and was the model trained on {wanted}?"
    return " Is this another unit?"


def _persons(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> Iterator[Problem]:
    known, kept = trained_on.get("persons"), preset.data.num_person
    most = f"{kept} persons" if kept > 1 else "one person"
    yield [each for each in facts if each.dropped], "has", f"more than {most}; the others are dropped."
    odd = [each for each in facts if known and min(each.persons, kept) > known]
    count = _range([each.persons for each in odd])
    yield odd, "has", f"{count} persons; the model was trained on clips with at most {known}."


def _images(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> Iterator[Problem]:
    """The first problem of pixels and image sizes; the others may follow from it."""
    if preset.data.normalize not in ("image", "half-image"):
        return
    for_all = preset.data.image_size == "reference"
    assumed = [each for each in facts if each.persons and (for_all or each.assumed)]
    height, width = next((each.assumed for each in assumed if each.assumed), REFERENCE_SIZE)
    odd = [each for each in assumed if each.reach[0] > _BEYOND * width or each.reach[1] > _BEYOND * height]
    seen = {tuple(size) for size in trained_on.get("image_sizes", ())}
    others = [each for each in facts if each.image[0] and each.image not in seen and each.image != REFERENCE_SIZE]
    sizes = " and ".join(sorted({f"{each.image[1]} x {each.image[0]}" for each in others})[:3])
    give = "Give the image size: --image-size WIDTHxHEIGHT, or img_shape = (height, width) in the record."
    problems: list[Problem] = [
        ([each for each in facts if each.persons and max(each.reach) <= 2], "has",
         "coordinates that look divided by an image size already; the model expects pixels."),
        (odd, "has", f"joints outside of an image of {width} x {height} pixels, which the model divides by. {give}"),
        (() if for_all else assumed, "does", f"not state the image size: {width} x {height} pixels are assumed. {give}"),
        (others if for_all else (), "comes", f"from images of {sizes} pixels; the model divides by "
         f"{REFERENCE_SIZE[1]} x {REFERENCE_SIZE[0]} whatever the image. By their own size: --set data.image_size=record"),
    ]  # fmt: skip
    yield from [problem for problem in problems if problem[0]][:1]


_QUESTIONS: tuple[Callable[[Sequence[Facts], Preset, Mapping[str, Any]], Iterator[Problem]], ...] = (
    _empty, _changes, _unlike, _lengths, _spread, _images, _persons,
)  # fmt: skip
