"""Warn when inputs differ from the training data; one message per kind, with counts.

A model predicts a class for any input; for inputs unlike its training data the prediction is meaningless.
"""

from collections.abc import Callable, Mapping, Sequence
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


def input_warnings(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> list[str]:
    """Warnings about `facts`. `trained_on` is what `statistics.describe` returned, empty where it is unknown."""
    return [line for question in _QUESTIONS for line in question(facts, preset, trained_on).splitlines()]


def _clips(some: Sequence[Facts], one: str, many: str) -> str:
    """ "clip x has" or "12 clips (x, …) have"."""
    return f"{some[0].name} {one}" if len(some) == 1 else f"{len(some):,} clips ({some[0].name}, …) {many}"


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _empty(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> str:
    empty = [each for each in facts if not each.persons]
    return f"{_clips(empty, 'has', 'have')} no person in any frame; the prediction is meaningless." if empty else ""


def _cut(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> str:
    length = preset.data.clip_len
    long = [each for each in facts if length and each.frames > length]
    if not long or preset.data.sampling != "loop":
        return ""
    return f"{_clips(long, 'is', 'are')} longer than {length} frames: only the first {length} are seen.{_advice(long, preset, trained_on)}"


def _advice(long: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> str:
    """What to type for recordings much longer than the clips of the training."""
    known, length = trained_on.get("frames"), preset.data.clip_len
    most = known[-1] if known else length
    if not most or max(each.frames for each in long) <= _LONG * most:
        return ""
    window = min(int(known[len(known) // 2]) if known else most, length or most)
    return f" For a timeline of the recording: --window {window} --stride {max(1, window // 4)}"


def _lengths(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> str:
    known, length = trained_on.get("frames"), preset.data.clip_len
    if not known:
        return ""
    seen = [each for each in facts if not length or each.frames <= length]  # of the others, see `_cut`
    odd = [each for each in seen if not known[0] <= each.frames <= known[-1]]
    if not odd:
        return ""
    found = _range([each.frames for each in odd])
    trained = f"the model was trained on clips of {_range([known[0], known[-1]])}"
    return f"{_clips(odd, 'has', 'have')} {found} frames; {trained}.{_advice(odd, preset, trained_on)}"


def _spread(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> str:
    by_image = preset.data.normalize in ("image", "half-image") and preset.data.image_size == "record"
    known = trained_on.get("image_spread" if by_image else "spread")
    if not known:
        return ""
    pairs = [
        (each, each.spread / (each.image[0] if by_image else 1)) for each in facts if not by_image or each.image[0]
    ]
    odd = [(each, size) for each, size in pairs if size < known[0] / _FAR or size > known[2] * _FAR]
    if not odd:
        return ""
    ratio = float(np.median([size for _, size in odd])) / known[1]
    found = _range([float(f"{size:.3g}") for _, size in odd])
    return (
        f"{_clips([each for each, _ in odd], 'has', 'have')} bodies of another size: joints lie {found} from their mean, "
        f"in training {_range([float(f'{n:.3g}') for n in (known[0], known[2])])}.{_unit(ratio, preset)}"
    )


def _unit(ratio: float, preset: Preset) -> str:
    for factor, found, wanted in _UNITS:
        if preset.data.channels == "xyz" and factor / _FAR < ratio < factor * _FAR:
            return f" Are these {found}, and was the model trained on {wanted}?"
    return " Is this another unit?"


def _dropped(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> str:
    crowded, kept = [each for each in facts if each.dropped], preset.data.num_person
    most = f"{kept} persons" if kept > 1 else "one person"
    return f"{_clips(crowded, 'has', 'have')} more than {most}; the others are dropped." if crowded else ""


def _more_persons(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> str:
    known, kept = trained_on.get("persons"), preset.data.num_person
    odd = [each for each in facts if known and min(each.persons, kept) > known]
    never = f"the model was trained on clips with at most {known}"
    return f"{_clips(odd, 'has', 'have')} {_range([e.persons for e in odd])} persons; {never}." if odd else ""


def _images(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> str:
    if preset.data.normalize not in ("image", "half-image"):
        return ""
    if small := [each for each in facts if each.persons and max(each.reach) <= 2]:
        words = "coordinates that look divided by an image size already; the model expects pixels"
        return f"{_clips(small, 'has', 'have')} {words}."
    for_all = preset.data.image_size == "reference"
    assumed = [each for each in facts if each.persons and (for_all or each.assumed)]
    height, width = next((each.assumed for each in assumed if each.assumed), REFERENCE_SIZE)
    odd = [each for each in assumed if each.reach[0] > _BEYOND * width or each.reach[1] > _BEYOND * height]
    say = "Give the image size: --image-size WIDTHxHEIGHT, or img_shape = (height, width) in the record."
    if odd:
        beyond = f"joints outside of an image of {width} x {height} pixels, which the model divides by"
        return f"{_clips(odd, 'has', 'have')} {beyond}. {say}"
    if assumed and not for_all:
        stated = f"not state the image size: {width} x {height} pixels are assumed"
        return f"{_clips(assumed, 'does', 'do')} {stated}. {say}"
    return _other_images(facts, preset, trained_on)


def _other_images(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> str:
    """Sizes that a model which divides by the reference's, whatever the image, was not trained on."""
    seen = {tuple(size) for size in trained_on.get("image_sizes", ())}
    odd = [each for each in facts if each.image[0] and each.image not in seen and each.image != REFERENCE_SIZE]
    if preset.data.image_size != "reference" or not odd:
        return ""
    sizes = " and ".join(sorted({f"{each.image[1]} x {each.image[0]}" for each in odd})[:3])
    return (
        f"{_clips(odd, 'comes', 'come')} from images of {sizes} pixels; the model divides by "
        f"{REFERENCE_SIZE[1]} x {REFERENCE_SIZE[0]} whatever the image. By their own size: --set data.image_size=record"
    )


def _unlike(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> str:
    odd = [each for each in facts if each.unlike and each.persons]
    words = "25 joints that do not lie as a Kinect's do: another skeleton, or another order of joints, than the model's"
    return f"{_clips(odd, 'has', 'have')} {words}." if odd else ""


def _changes(facts: Sequence[Facts], preset: Preset, trained_on: Mapping[str, Any]) -> str:
    texts = {
        adapt.SCORES_MADE: "no scores; they count as 1", adapt.SCORES_LEFT: "scores, which the model does not use",
        adapt.SCORES_TAKEN: "three values a joint, taken as x, y and score",
    }  # fmt: skip
    changed = {change: [each for each in facts if each.change == change] for change in texts}
    return "\n".join(f"{_clips(some, 'has', 'have')} {texts[change]}." for change, some in changed.items() if some)


_QUESTIONS: tuple[Callable[[Sequence[Facts], Preset, Mapping[str, Any]], str], ...] = (
    _empty, _changes, _unlike, _cut, _lengths, _spread, _images, _dropped, _more_persons,
)  # fmt: skip
