"""A preset to start from, beside a new annotation pickle: what the clips ask for, and the recipe of docs/recipes.md."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stgcn_cli.config.skeletons import LAYOUTS, TURNED, Layout, Shape, channels_of, pairs_by_name
from stgcn_cli.io.text import one_line

_STEP, _MOST = 10, 95  # frames; percent of the clips
_FRAMES, _FRAMES_OF_LONG, _LONG, _FEWEST = 50, 100, 200, 20  # sampled of a clip; of clips longer than this; at least
_SIDED = re.compile(r"\b(left|right|links|rechts|gauche|droite?|izquierd[ao]|derech[ao])\b", re.IGNORECASE)
_SEEN, _BATCH = 400, 16  # clips of an epoch, at least about; clips of a step
_AXES, _TILT, _VIEWS = "xyz", 0.3, 1.0  # radians around an axis; around the vertical of skeletons that nothing turns
_CHANNELS = {"xyz": "x, y and z", "xys": "x, y and the score of a joint", "xy": "x and y"}


@dataclass(frozen=True)
class Facts:
    """What a preset needs to know of a data set."""

    dataset: str
    lengths: Sequence[int]  # frames of each clip
    persons: Sequence[int]  # of each clip
    sized: bool  # some clip tells the size of its image
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


def preset_text(facts: Facts) -> str:
    """The preset as TOML, with the reason of each choice."""
    given, holds = _values(facts), _conditions(facts)
    lines = []
    for line in _TEMPLATE.splitlines():
        condition, _, rest = line[1:].partition(" ") if line.startswith("?") else ("", "", line)
        if not condition or holds[condition]:
            lines.append(rest.lstrip().format(**given))
    return "\n".join(lines) + "\n"


_TEMPLATE = """\
# A start for {file}.pkl, {count}: change what you like.
description = {description}

[data]
dataset = {dataset}
train = {train}
val = {val}
layout = {layout}  # {joints}
channels = {channels}  # {channel_names}
num_person = {persons}  # {most} % of the clips have no more; what is missing is zeros
clip_len = {clip_len}  # frames, of the whole clip; of shorter clips some repeat
stream = "bone"  # joint minus the joint it hangs on: better with few clips; "joint" also sees where people go
sampling = "uniform"  # other frames in every epoch
?two-sided  augment = ["mirror", "rotate", "scale"]  # random changes of training clips: other views, other people
?one-sided  augment = ["rotate", "scale"]  # random changes of training clips: other views, other people{no_mirror}
?flat       normalize = "half-image"  # pixels: the image is from -1 to 1; joints that were not found are at 0
?sized      image_size = "record"  # that of each clip
?unsized    image_size = "reference"  # no clip tells its own: 1920 x 1080
?ntu        pre_normalize = "ntu"  # centred and turned as these clips are: so new raw skeletons are, too
?body       normalize = "body"  # from the first person's place in the first frame
?few        passes = {passes}  # times each clip is seen in an epoch, so that a small data set has some {steps} steps in it
?named      classes = [
?named      {names}]

[model]
num_classes = {classes}

[optim]
lr = 0.05  # half of the published recipe's, as the batch is half
schedule = "cosine"  # from lr to 0

[train]
batch_size = {batch}  # clips in a step; a small data set needs steps
epochs = 18
checkpoint_every = 10  # epochs between the epoch_N.pth that are kept; last.pth and best.pth are written all the same

[eval]
metrics = ["top_k_accuracy", "mean_class_accuracy"]  # the second counts every class alike
clips = 5  # samples of a clip whose probabilities are averaged

[augment]
?turned     rotate = {tilt}  # radians at most around each axis: other views, and errors of the normalisation
?unturned   rotate = {views}  # radians at most around x, y and z, most around the vertical: cameras stand around people
scale = 0.2  # share of the size at most
?own        {skeleton}"""  # a line after "?NAME" is written where the condition NAME holds


def _values(facts: Facts) -> dict[str, object]:
    """What the fields of the template stand for."""
    channels, layout = channels_of(facts.shape) or "xyz", facts.layout
    count = f"{len(facts.lengths):,} clips of {facts.num_classes} classes"
    built_in = layout.name in LAYOUTS
    return {
        "file": facts.dataset, "count": count, "description": _text(f"{facts.dataset}: {count}"),
        "dataset": _text(facts.dataset), "train": _text(facts.train), "val": _text(facts.val), "layout": _text(layout.name),
        "joints": f"{facts.shape[0]} joints" if built_in else "the skeleton at the end of this file",
        "channels": _text(channels), "channel_names": _CHANNELS[channels], "most": _MOST,
        "persons": int(np.percentile([max(1, count) for count in facts.persons], _MOST, method="inverted_cdf")),
        "clip_len": clip_len_of(facts.lengths),
        "no_mirror": "; no mirror, as classes or joints do not have two sides that are alike",
        "passes": _passes(facts), "steps": _SEEN // _BATCH, "classes": facts.num_classes, "batch": _BATCH,
        "names": "".join(f"    {_text(name)},\n" for name in facts.names or ()),
        "skeleton": _skeleton(layout), "tilt": _TILT,
        "views": [_VIEWS if axis == layout.up.lstrip("-") else _TILT for axis in _AXES],
    }  # fmt: skip


def _conditions(facts: Facts) -> dict[str, bool]:
    """Which of the conditional lines of the template are written."""
    flat, ntu = facts.shape[1] == 2, facts.pre_normalize == "ntu"
    unturned = facts.shape[1] == 3 and facts.layout.name not in TURNED and bool(facts.layout.up)
    sided = any(
        _SIDED.search(name.replace("_", " ")) for name in facts.names or ()
    )  # a mirror would exchange these classes
    two_sided = bool(facts.layout.pairs) and not sided
    return {
        "two-sided": two_sided, "one-sided": not two_sided, "flat": flat, "sized": flat and facts.sized,
        "unsized": flat and not facts.sized, "ntu": ntu, "body": facts.shape[1] == 3 and not ntu,
        "few": _passes(facts) > 1, "named": bool(facts.names), "own": facts.layout.name not in LAYOUTS,
        "unturned": unturned, "turned": not unturned,
    }  # fmt: skip


def _passes(facts: Facts) -> int:
    return max(1, round(_SEEN / max(1, facts.train_clips)))


def _skeleton(layout: Layout) -> str:
    """The table [layout] of a preset."""
    names = layout.joints
    bones = ", ".join(f"[{_text(names[a])}, {_text(names[b])}]" for a, b in layout.bones)
    lines = ["\n[layout]", f"joints = [{', '.join(map(_text, names))}]", f"bones = [{bones}]"]
    lines.append(f"centre = {_text(names[layout.centre])}")
    lines += [f"up = {_text(layout.up)}"] if layout.up else []
    if layout.pairs != pairs_by_name(names):
        lines.append(f"pairs = [{', '.join(f'[{a}, {b}]' for a, b in layout.pairs)}]")
    return "\n".join(lines)


def _text(word: str) -> str:
    return json.dumps(one_line(word), ensure_ascii=False)
