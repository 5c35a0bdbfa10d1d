"""Whether the values of a preset fit each other; `schema` checks each by itself."""

from collections.abc import Iterator
from typing import Any

from stgcn_cli.config.schema import Preset, check_keys
from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.errors import UsageError
from stgcn_cli.io.text import nearest, shown

_CHANNELS = {"body": ("xyz",), "half-image": ("xys", "xy"), "box": ("xys", "xy")}  # that a normalisation is for
_NOT_IN_A_NAME = frozenset("/\\:")


def preset_from(values: dict[str, Any], where: str) -> Preset:
    """Return the preset that nested `values`, as TOML gives them, describe; `where` names the file in messages.

    Raises UsageError naming `where`, the key and what was expected.
    """
    preset = check_keys(values, where)
    for message, hint in _contradictions(preset):
        raise UsageError(f"{where}: {message}", hint)
    return preset


def _contradictions(preset: Preset) -> Iterator[tuple[str, str]]:
    """Message and hint for values that are right by themselves but not beside the others."""
    data, model, loss = preset.data, preset.model, preset.loss
    if preset.layout is None and data.layout not in LAYOUTS:
        known = f"one of {', '.join(LAYOUTS)}.{nearest(data.layout, list(LAYOUTS))}"
        hint = "A skeleton of your own: --set data.layout=my-layout.toml"
        yield f"data.layout = {shown(data.layout)}, but it must be {known}", hint
    classes = f"but model.num_classes = {model.num_classes}."
    if isinstance(data.classes, tuple) and len(data.classes) != model.num_classes:
        hint = "Give one name a class, in the order of the labels, or --set data.classes=none"
        yield f"data.classes has {len(data.classes)} names, {classes}", hint
    if loss.name == "cb-focal" and loss.class_counts is None:
        yield "loss.name = 'cb-focal' needs loss.class_counts.", 'Give a list, or "data" to count.'
    if isinstance(loss.class_counts, tuple) and len(loss.class_counts) != model.num_classes:
        hint = 'Give one number a class, or loss.class_counts = "data" to count the training clips.'
        yield f"loss.class_counts has {len(loss.class_counts)} entries, {classes}", hint
    if isinstance(loss.class_counts, tuple) and not any(loss.class_counts):
        yield "loss.class_counts holds only zeros.", 'Use loss.class_counts = "data".'
    yield from _of_training(preset)
    yield from _of_input(preset)
    name = preset.name
    if not (0 < len(name) <= 100 and name.isprintable()) or _NOT_IN_A_NAME & set(name) or name.startswith((".", " ")):
        yield f"name = {shown(name)}, but it becomes a folder's name.", "Use letters, digits, - and _."
    if not data.dataset or "/" in data.dataset or "\\" in data.dataset:
        yield f"data.dataset = {shown(data.dataset)}, but a preset names a data set, not a path.", ""


def _of_training(preset: Preset) -> Iterator[tuple[str, str]]:
    """Settings of loss, optimizer and weights that have no effect beside each other."""
    optim, model = preset.optim, preset.model
    if optim.name == "sgd" and optim.nesterov and optim.momentum == 0:
        yield "optim.nesterov = true needs optim.momentum above 0.", ""
    if optim.schedule == "cosine" and optim.steps:
        yield "optim.steps have no effect on a cosine schedule.", "Use --set optim.steps=[]"
    if optim.schedule == "cosine" and optim.min_lr > optim.lr:
        yield f"optim.min_lr = {optim.min_lr:g} is above optim.lr = {optim.lr:g}.", ""
    if preset.loss.name == "cb-focal" and preset.loss.label_smoothing:
        yield "loss.label_smoothing needs loss.name = 'cross-entropy'.", ""
    if model.init == "2s-agcn" and model.name != "agcn":
        yield f"model.init = {model.init!r} needs model.name = 'agcn'.", ""
    if model.name != "stgcnpp" and (model.stages, model.widen) != (10, (5, 8)):
        yield "model.stages and model.widen need model.name = 'stgcnpp'.", ""


def _of_input(preset: Preset) -> Iterator[tuple[str, str]]:
    """Keys of the network's input that contradict each other."""
    data = preset.data
    if data.sampling != "loop" and data.clip_len is None:
        yield f"data.sampling = {data.sampling!r} needs data.clip_len.", "Add --set data.clip_len=100"
    if preset.eval.clips > 1 and data.sampling == "loop":
        needed = "needs data.sampling = 'uniform': otherwise all samples are equal."
        yield f"eval.clips = {preset.eval.clips} {needed}", ""
    channels = _CHANNELS.get(data.normalize, (data.channels,))
    if data.channels not in channels:
        yield f"data.normalize = {data.normalize!r} needs data.channels = {' or '.join(channels)}.", ""
