"""A preset to start from, beside a new annotation pickle: what the clips ask for, and the recipe of docs/recipes.md."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stgcn_cli.config.skeletons import LAYOUTS, Layout, Shape, channels_of, pairs_by_name
from stgcn_cli.data.convert.spool import Clip
from stgcn_cli.io.text import one_line

_STEP, _MOST = 10, 95  # frames; percent of the clips
_FRAMES, _FRAMES_OF_LONG, _LONG, _FEWEST = 50, 100, 200, 20  # sampled of a clip; of clips longer than this; at least
_SIDED = re.compile(r"\b(left|right|links|rechts|gauche|droite?|izquierd[ao]|derech[ao])\b", re.IGNORECASE)
_EPOCHS = 20
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
    """Frames to sample of a clip: 50, of long clips 100, of short ones what 95 % of them do not exceed, in tens."""
    most = int(np.percentile(lengths, _MOST, method="inverted_cdf"))
    return min(_FRAMES_OF_LONG if most > _LONG else _FRAMES, max(_FEWEST, -(-most // _STEP) * _STEP))


def tells_sides(names: Sequence[str] | None) -> bool:
    """Whether class names distinguish left from right, which a mirror would exchange."""
    return any(_SIDED.search(name.replace("_", " ")) for name in names or ())


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
    yield f"clip_len = {clip_len_of([clip.frames for clip in facts.clips])}  # frames, of the whole clip; of shorter clips some repeat"
    yield 'sampling = "uniform"  # other frames in every epoch'
    yield from _augment(facts)
    if facts.shape[1] == 2:
        yield 'normalize = "half-image"  # pixels: the image is from -1 to 1; joints that were not found are at 0'
        if any(clip.has_size for clip in facts.clips):
            yield 'image_size = "record"  # that of each clip'
        else:
            yield 'image_size = "reference"  # no clip tells its own: 1920 x 1080'
    if facts.pre_normalize == "ntu":
        yield 'pre_normalize = "ntu"  # centred and turned as these clips are: so new raw skeletons are, too'
    elif facts.shape[1] == 3:
        yield 'normalize = "body"  # from the first person\'s place in the first frame'
    if (passes := _passes(facts)) > 1:
        yield f"passes = {passes}  # times each clip is seen in an epoch, so that a small data set has some {_SEEN // _BATCH} steps in it"
    if facts.names:
        yield "classes = [\n" + "".join(f"    {_text(name)},\n" for name in facts.names) + "]"
    yield "\n[model]"
    yield f"num_classes = {facts.num_classes}"
    yield "\n[optim]"
    yield "lr = 0.05  # half of the published recipe's, as the batch is half"
    yield 'schedule = "cosine"  # from lr to 0'
    yield "\n[train]"
    yield f"batch_size = {_BATCH}  # clips in a step; a small data set needs steps"
    yield f"epochs = {_EPOCHS}"
    yield "checkpoint_every = 10  # epochs between the epoch_N.pth that are kept; last.pth and best.pth are written all the same"
    yield "\n[eval]"
    yield 'metrics = ["top_k_accuracy", "mean_class_accuracy"]  # the second counts every class alike'
    yield "clips = 5  # samples of a clip whose probabilities are averaged"
    yield "\n[augment]"
    yield "rotate = 0.3  # radians at most around each axis: other views, and errors of the normalisation"
    yield "scale = 0.2  # share of the size at most"
    yield "noise = 0.01  # of the size of the body: what sensors and pose estimators add"
    if facts.layout.name not in LAYOUTS:
        yield from _layout(facts.layout)


def _augment(facts: Facts) -> Iterator[str]:
    sided = not facts.layout.pairs or tells_sides(facts.names)
    names = ["rotate", "scale", "noise"] if sided else ["mirror", "rotate", "scale", "noise"]
    note = "; no mirror, as classes or joints do not have two sides that are alike" if sided else ""
    yield f"augment = {json.dumps(names)}  # random changes of training clips: other views, other people{note}"


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
