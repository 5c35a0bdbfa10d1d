"""Whether the values of a preset fit each other; `schema` checks each by itself."""

from typing import Any

from stgcn_cli.config.schema import Preset, check_keys
from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.errors import UsageError
from stgcn_cli.io.text import nearest, shown


def preset_from(values: dict[str, Any], where: str) -> Preset:
    """Return the preset that nested `values`, as TOML gives them, describe; `where` names the file in messages.

    Raises UsageError naming `where`, the key and what was expected.
    """
    preset = check_keys(values, where)
    check_together(preset, where)
    return preset


def check_together(preset: Preset, where: str) -> None:
    """Raise UsageError, naming `where`, for values that are right by themselves but not beside the others."""
    if preset.layout is None and preset.data.layout not in LAYOUTS:
        word = preset.data.layout
        raise UsageError(
            f"{where}: data.layout = {shown(word)}, but it must be one of {', '.join(LAYOUTS)}.{nearest(word, list(LAYOUTS))}",
            "A skeleton of your own: --set data.layout=my-layout.toml",
        )
    names = preset.data.classes
    if isinstance(names, tuple) and len(names) != preset.model.num_classes:
        raise UsageError(
            f"{where}: data.classes has {len(names)} names, but model.num_classes = {preset.model.num_classes}.",
            "Give one name a class, in the order of the labels, or --set data.classes=none",
        )
    counts, classes = preset.loss.class_counts, preset.model.num_classes
    if preset.loss.name == "cb-focal" and counts is None:
        raise UsageError(
            f"{where}: loss.name = 'cb-focal' needs loss.class_counts.", 'Give a list, or "data" to count.'
        )
    if isinstance(counts, tuple) and len(counts) != classes:
        raise UsageError(
            f"{where}: loss.class_counts has {len(counts)} entries, but model.num_classes = {classes}.",
            'Give one number a class, or loss.class_counts = "data" to count the training clips.',
        )
    if isinstance(counts, tuple) and not any(counts):
        raise UsageError(f"{where}: loss.class_counts holds only zeros.", 'Use loss.class_counts = "data".')
    _check_training(preset, where)
    _check_input(preset, where)
    if not _is_plain(preset.name):
        raise UsageError(
            f"{where}: name = {shown(preset.name)}, but it becomes a folder's name.", "Use letters, digits, - and _."
        )
    if not preset.data.dataset or "/" in preset.data.dataset or "\\" in preset.data.dataset:
        raise UsageError(
            f"{where}: data.dataset = {shown(preset.data.dataset)}, but a preset names a data set, not a path."
        )


def _check_training(preset: Preset, where: str) -> None:
    """Raise UsageError for settings of loss, optimizer and weights that have no effect beside each other."""
    optim, model = preset.optim, preset.model
    if optim.name == "sgd" and optim.nesterov and optim.momentum == 0:
        raise UsageError(f"{where}: optim.nesterov = true needs optim.momentum above 0.")
    if optim.schedule == "cosine" and optim.steps:
        raise UsageError(f"{where}: optim.steps have no effect on a cosine schedule.", "Use --set optim.steps=[]")
    if optim.schedule == "cosine" and optim.min_lr > optim.lr:
        raise UsageError(f"{where}: optim.min_lr = {optim.min_lr:g} is above optim.lr = {optim.lr:g}.")
    if preset.loss.name == "cb-focal" and preset.loss.label_smoothing:
        raise UsageError(f"{where}: loss.label_smoothing needs loss.name = 'cross-entropy'.")
    if model.init == "2s-agcn" and model.name != "agcn":
        raise UsageError(f"{where}: model.init = {model.init!r} needs model.name = 'agcn'.")
    if model.name != "stgcnpp" and (model.stages, model.widen) != (10, (5, 8)):
        raise UsageError(f"{where}: model.stages and model.widen need model.name = 'stgcnpp'.")


def _check_input(preset: Preset, where: str) -> None:
    """Raise UsageError where the keys of the network's input contradict each other."""
    data = preset.data
    if data.sampling == "uniform" and data.clip_len is None:
        raise UsageError(f"{where}: data.sampling = 'uniform' needs data.clip_len.", "Add --set data.clip_len=100")
    if preset.eval.clips > 1 and data.sampling != "uniform":
        raise UsageError(
            f"{where}: eval.clips = {preset.eval.clips} needs data.sampling = 'uniform': otherwise all samples are equal."
        )
    kinds = {"body": ("xyz",), "half-image": ("xys", "xy"), "box": ("xys", "xy")}.get(data.normalize, (data.channels,))
    if data.channels not in kinds:
        raise UsageError(f"{where}: data.normalize = {data.normalize!r} needs data.channels = {' or '.join(kinds)}.")


def _is_plain(name: str) -> bool:
    """Whether `name` can be that of a folder, and leads nowhere else: `runs/<name>` is where a run goes."""
    return (
        0 < len(name) <= 100 and name.isprintable() and not set(name) & set("/\\:") and not name.startswith((".", " "))
    )
