"""Which preset a checkpoint was trained with: told from its name, its hash, the configuration inside it, or its shapes.

The configuration that MMAction2 keeps in its checkpoints is program text. It is searched, never run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stgcn_cli.config import catalog, presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.errors import CheckpointError
from stgcn_cli.models import MODELS
from stgcn_cli.runs.checkpoint import Checkpoint

_LAYOUTS = {"ntu-rgb+d": "ntu", "coco": "coco", "openpose": "openpose-18"}  # the reference's word -> ours
_DATASET = re.compile(r"\b(babel60|babel120|ntu60|ntu120)")


@dataclass(frozen=True)
class Likely:
    """The presets that a checkpoint may belong to, and how they were told."""

    presets: tuple[str, ...]
    identified_by: str


def likely(read: Checkpoint, asked: str = "") -> Likely:
    """What the first rule that says anything says; `asked` is the catalogue name that the user typed."""
    return next((Likely(found, words) for words, found in _rules(read, asked) if found), Likely((), ""))


def the_preset(read: Checkpoint, asked: str) -> Likely:
    """One preset. Raises CheckpointError, naming the candidates, when there are several, or none."""
    found = likely(read, asked)
    if read.dialect and not found.presets:
        raise CheckpointError(
            f"{read.path} contains weights of {read.dialect}, which does not say how the clips were prepared.",
            f"Name the preset: --preset NAME (model.num_classes = {read.num_classes}, {read.channels} input channels)",
        )
    if len(found.presets) == 1:
        return found
    if found.presets:
        raise CheckpointError(
            f"{read.path} does not say which preset it was trained with: {', '.join(found.presets)} all fit.",
            f"Name it, for instance: --preset {found.presets[0]}",
        )
    raise CheckpointError(
        f"{read.path} does not say which preset it was trained with, and none fits: it has {read.num_classes} classes "
        f"and {read.channels} input channels.",
        f"Name the nearest one: --preset NAME --set model.num_classes={read.num_classes}",
    )


def _rules(read: Checkpoint, asked: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What tells the preset, and the presets it tells; the surest first."""
    text, config = read.preset_text, read.config_text
    yield "the preset inside it", (presets.from_text(text.encode(), str(read.path), "checkpoint").name,) if text else ()
    for words, name in (("its name in the catalogue", asked), ("its file name", read.path.stem)):
        entry = catalog.find(name)
        yield words, (entry.label,) if entry else ()
    known = [entry for entry in catalog.PUBLISHED + catalog.PYSKL if entry.sha256_prefix]
    yield "its sha256", tuple(entry.label for entry in known if read.sha256.startswith(entry.sha256_prefix))
    fitting, named = _that_fit(read), set(_DATASET.findall(config))
    agreeing = [p for p in fitting if config and _agrees(p, config)]
    narrowed = [p for p in agreeing if p.data.dataset.removesuffix("-2d") in named] or agreeing
    yield "the configuration inside it", tuple(p.name for p in narrowed)
    yield "the shapes of its weights", tuple(p.name for p in fitting)


def _that_fit(read: Checkpoint) -> list[Preset]:
    """The published presets with the checkpoint's network, classes and input channels; none for weights of another collection.

    Those were trained on clips prepared in another way, which neither shapes nor a configuration of theirs can tell.
    """
    if read.dialect:
        return []
    loaded = [presets.load(entry.preset) for entry in catalog.PUBLISHED]
    loaded = [p for p in loaded if MODELS[p.model.name].keys == read.keys]
    return [p for p in loaded if p.model.num_classes == read.num_classes and channels_of(p) == read.channels]


def channels_of(preset: Preset) -> int:
    """Values of a body in a frame, as the first BatchNorm counts them."""
    return len(preset.data.channels) * len(presets.layout_of(preset).joints)


def _agrees(preset: Preset, text: str) -> bool:
    """Whether nothing in the configuration `text` speaks against the preset."""
    layout, classes = _value("layout", text), _value("num_classes", text)
    agrees = layout is None or _LAYOUTS.get(layout) == preset.data.layout
    agrees &= classes is None or classes == str(preset.model.num_classes)
    if "loss_cls" in text:
        agrees &= ("CBFocalLoss" in text) == (preset.loss.name == "cb-focal")
    if "FormatGCNInput" in text:  # the configuration says how clips are made
        agrees &= (_value("num_person", text) or "2") == str(preset.data.num_person)
        agrees &= ("PoseNormalize" in text) == (preset.data.normalize == "image")
        agrees &= ("JointToBone" in text) == (preset.data.stream == "bone")
    return agrees


def _value(key: str, text: str) -> str | None:
    """The first number or quoted text that the program text gives to `key`."""
    found = re.search(rf"\b{key}\s*=\s*['\"]?([\w.+-]{{1,40}})", text)
    return found[1] if found else None


def clip_len_in(read: Checkpoint) -> int | None:
    """Frames of a clip as the configuration inside the checkpoint says, or None."""
    length = _value("clip_len", read.config_text)
    return int(length) if length and length.isdecimal() else None
