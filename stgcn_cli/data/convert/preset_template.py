"""A preset to start from, beside a new annotation pickle: what the clips ask for, and a modest recipe."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stgcn_cli.config.skeletons import LAYOUTS, Layout, Shape, channels_of, pairs_by_name
from stgcn_cli.data.convert.spool import Clip
from stgcn_cli.io.text import one_line

_LONGEST, _STEP, _MOST = 300, 10, 95  # frames; frames; percent of the clips
_SEEN, _BATCH = 400, 16  # clips of an epoch, at least about; clips of a step
_CHANNELS = {"xyz": "x, y and z", "xys": "x, y and the score of a joint", "xy": "x and y"}


@dataclass(frozen=True)
class Facts:
    """What a preset needs to know of a data set."""

    dataset: str
    clips: Sequence[Clip]
    shape: Shape
    layout: Layout
    train: str
    val: str
    num_classes: int
    names: Sequence[str] | None
    pre_normalize: str  # "ntu" or "none"
    train_clips: int


def pair_of(splits: Sequence[str]) -> tuple[str, str] | None:
    """The first training split and the one to validate on, by their names; None where there is no pair."""
    for split in splits:
        if split == "train" or split.endswith("_train"):
            for part in ("val", "test"):
                if (other := split.removesuffix("train") + part) in splits:
                    return split, other
    return None


def clip_len_of(lengths: Sequence[int]) -> int:
    """Frames that 95 % of the clips do not exceed, rounded up to tens, at most 300."""
    most = int(np.percentile(lengths, _MOST, method="inverted_cdf"))
    return min(_LONGEST, -(-most // _STEP) * _STEP)


def preset_text(facts: Facts) -> str:
    """The preset as TOML, with a word on each choice."""
    return "\n".join(_lines(facts)) + "\n"


def _lines(facts: Facts) -> Iterator[str]:
    persons = int(np.percentile([max(1, clip.persons) for clip in facts.clips], _MOST, method="inverted_cdf"))
    channels = channels_of(facts.shape) or "xyz"
    count = f"{len(facts.clips):,} clips of {facts.num_classes} classes"
    yield f"# A start for {facts.dataset}.pkl, {count}: change what you like."
    yield f"description = {_text(f'{facts.dataset}: {count}')}"
    yield "\n[data]"
    yield f"dataset = {_text(facts.dataset)}"
    yield f"train = {_text(facts.train)}"
    yield f"val = {_text(facts.val)}"
    own = "the skeleton at the end of this file" if facts.layout.name not in LAYOUTS else f"{facts.shape[0]} joints"
    yield f"layout = {_text(facts.layout.name)}  # {own}"
    yield f"channels = {_text(channels)}  # {_CHANNELS[channels]}"
    yield f"num_person = {persons}  # {_MOST} % of the clips have no more; what is missing is zeros"
    yield f"clip_len = {clip_len_of([clip.frames for clip in facts.clips])}  # frames; {_MOST} % of the clips are not longer (at most {_LONGEST}); shorter ones repeat"
    if facts.shape[1] == 2:
        yield 'normalize = "image"  # pixels over the size of the image'
        if any(clip.has_size for clip in facts.clips):
            yield 'image_size = "record"  # that of each clip'
        else:
            yield 'image_size = "reference"  # no clip tells its own: 1920 x 1080'
    if facts.pre_normalize == "ntu":
        yield 'pre_normalize = "ntu"  # centred and turned as these clips are: so new raw skeletons are, too'
    if (passes := _passes(facts)) > 1:
        yield f"passes = {passes}  # times each clip is seen in an epoch, so that a small data set has some {_SEEN // _BATCH} steps in it"
    if facts.names:
        yield "classes = [\n" + "".join(f"    {_text(name)},\n" for name in facts.names) + "]"
    yield "\n[model]"
    yield f"num_classes = {facts.num_classes}"
    yield "\n[optim]"
    yield "lr = 0.05  # half of the published recipe's, as the batch is half"
    yield "steps = [25, 35]  # epochs after which the rate falls to a tenth"
    yield "\n[train]"
    yield f"batch_size = {_BATCH}  # clips in a step; a small data set needs steps"
    yield "epochs = 40"
    yield "checkpoint_every = 10  # epochs between the epoch_N.pth that are kept; last.pth and best.pth are written all the same"
    yield "\n[eval]"
    yield 'metrics = ["top_k_accuracy", "mean_class_accuracy"]  # the second counts every class alike'
    if facts.layout.name not in LAYOUTS:
        yield from _layout(facts.layout)


def _passes(facts: Facts) -> int:
    return max(1, round(_SEEN / max(1, facts.train_clips)))


def _layout(layout: Layout) -> Iterator[str]:
    names = layout.joints
    yield "\n[layout]"
    yield f"joints = [{', '.join(map(_text, names))}]"
    yield f"bones = [{', '.join(f'[{_text(names[a])}, {_text(names[b])}]' for a, b in layout.bones)}]"
    yield f"centre = {_text(names[layout.centre])}"
    if layout.up:
        yield f"up = {_text(layout.up)}"
    if layout.pairs != pairs_by_name(names):
        yield f"pairs = [{', '.join(f'[{a}, {b}]' for a, b in layout.pairs)}]"


def _text(word: str) -> str:
    return json.dumps(one_line(word), ensure_ascii=False)
