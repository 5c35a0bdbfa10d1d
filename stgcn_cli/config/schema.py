"""A preset as typed, frozen values: every key there is. How they are read is in `config_reading.py`."""

import dataclasses
import math
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.errors import UsageError
from stgcn_cli.io.text import nearest, shown

MAX_CLASSES, MAX_FRAMES, MAX_PERSONS = 100_000, 100_000, 64


def _between(low: float, high: float = math.inf) -> Any:
    return field(metadata={"range": (low, high)})


def _default(value: Any, low: float = -math.inf, high: float = math.inf) -> Any:
    return field(default=value, metadata={"range": (low, high)})


@dataclass(frozen=True)
class DataConfig:
    """Which clips, and how a record becomes a clip."""

    dataset: str  # <dataset>.pkl in the data folder
    train: str  # name of the split trained on
    val: str  # name of the split evaluated
    layout: str  # a built-in skeleton, or the name of the preset's own in [layout]
    channels: Literal["xyz", "xys", "xy"]  # x y z; x y and the keypoint score; x y
    num_person: int = _between(1, MAX_PERSONS)  # persons in a clip: more are cut, fewer are padded
    clip_len: int | None = _default(None, 1, MAX_FRAMES)  # frames; shorter records loop; absent = as stored
    normalize: Literal["none", "image"] = "none"  # "image": the pixel coordinates over the image size
    image_size: Literal["reference", "record"] = "reference"  # 1920 x 1080 for all, or each record's img_shape
    pre_normalize: Literal["none", "ntu"] = "none"  # what raw skeletons went through before they became records
    passes: int = _default(1, 1, 1000)  # times every clip is seen in one epoch
    classes: str | tuple[str, ...] | None = None  # name of a list in facts/, or the names themselves


@dataclass(frozen=True)
class ModelConfig:
    """The network."""

    num_classes: int = _between(1, MAX_CLASSES)
    name: Literal["stgcn", "agcn"] = "stgcn"
    partition: Literal["uniform", "distance", "spatial", "spatial-corrected", "agcn"] = "spatial"
    dropout: float = _default(0.0, 0, 0.99)


@dataclass(frozen=True)
class LossConfig:
    """What is minimised."""

    name: Literal["cross-entropy", "cb-focal"] = "cross-entropy"
    beta: float = _default(0.9999, 0, 0.9999999)
    gamma: float = _default(2.0, 0, 100)
    class_counts: tuple[int, ...] | Literal["data"] | None = _default(None, 0)  # training clips per class


@dataclass(frozen=True)
class OptimConfig:
    """SGD with steps."""

    lr: float = _default(0.1, 0)
    momentum: float = _default(0.9, 0, 1)
    nesterov: bool = True
    weight_decay: float = _default(1e-4, 0)
    steps: tuple[int, ...] = _default((), 0)  # 0-based epochs at whose start the rate is multiplied by gamma
    gamma: float = _default(0.1, 0)


@dataclass(frozen=True)
class TrainConfig:
    """How long, and how often to look."""

    batch_size: int = _between(1, 1_000_000)  # clips in a step, over all GPUs together
    epochs: int = _between(1, 1_000_000)
    checkpoint_every: int = _default(1, 1)  # epochs
    validate_every: int = _default(1, 1)  # epochs
    log_every: int = _default(100, 1)  # iterations


@dataclass(frozen=True)
class EvalConfig:
    """What is reported."""

    metrics: tuple[str, ...] = ("top_k_accuracy",)


@dataclass(frozen=True)
class LayoutConfig:
    """A skeleton of the user's own, called by the name in data.layout."""

    joints: tuple[str, ...]
    bones: tuple[tuple[int, ...], ...]  # pairs of joint indices: a joint, then the one nearer to the centre
    centre: int = _between(0)


@dataclass(frozen=True)
class Preset:
    """One experiment: everything that changes its result, and nothing else."""

    name: str
    description: str
    data: DataConfig
    model: ModelConfig
    train: TrainConfig
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    eval: EvalConfig = EvalConfig()
    layout: LayoutConfig | None = None


# From nested values, as TOML gives them, to a preset: unknown keys, wrong types and ranges are refused by name.


def preset_from(values: dict[str, Any], where: str) -> Preset:
    """The preset that `values` (nested, as TOML gives them) describe; `where` names the file in messages.

    Raises UsageError naming `where`, the key and what was expected.
    """
    preset = _build(Preset, values, where, "")
    check_together(preset, where)
    return preset


def check_keys(values: dict[str, Any], where: str) -> None:
    """Raise UsageError, naming `where`, for a key, type or range that is wrong taken by itself."""
    _build(Preset, values, where, "")


def _build(kind: type, values: dict[str, Any], where: str, prefix: str) -> Any:
    hints, fields = typing.get_type_hints(kind), {f.name: f for f in dataclasses.fields(kind)}
    for key in values:
        if key not in fields:
            known = [prefix + name for name in fields]
            message = f"{where}: there is no key {shown(prefix + key)}.{_nearest_key(prefix + key, known)}"
            raise UsageError(message, "Known keys: " + ", ".join(known))
    missing = [k for k, f in fields.items() if k not in values and _is_required(f)]
    if missing:
        raise UsageError(f"{where}: the key {prefix + missing[0]!r} is missing.")
    return kind(**{key: _convert(value, hints[key], fields[key], where, prefix + key) for key, value in values.items()})


def _nearest_key(key: str, known: list[str]) -> str:
    """The nearest of the keys that may stand there; else the one of that name in any section: lr -> optim.lr."""
    hints = typing.get_type_hints(Preset)
    sections = {name: _options(hint)[0] for name, hint in hints.items()}
    everywhere = [f"{s}.{f.name}" for s, kind in sections.items() if dataclasses.is_dataclass(kind)
                  for f in dataclasses.fields(kind)]  # fmt: skip
    last = key.rpartition(".")[2]
    same = [each for each in everywhere if each.rpartition(".")[2] == last]
    return f" Did you mean {same[0]!r}?" if same else nearest(key, known) or nearest(key, everywhere)


def _is_required(f: dataclasses.Field) -> bool:
    return f.default is dataclasses.MISSING


def _convert(value: Any, hint: Any, f: dataclasses.Field, where: str, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise UsageError(
                f"{where}: {key} = {shown(value)}, but it is a section.", f"Write [{key}] and its keys below."
            )
        return _build(typing.cast(type, hint), value, where, key + ".")
    for option in _options(hint):
        if dataclasses.is_dataclass(option) and isinstance(value, dict):
            return _build(typing.cast(type, option), value, where, key + ".")
        try:
            return _as(value, option, *f.metadata.get("range", (-math.inf, math.inf)))
        except ValueError:
            continue
    raise UsageError(f"{where}: {key} = {shown(value)}, but it must be {_expected(hint, f)}.")


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


def _as(value: Any, kind: Any, low: float, high: float) -> Any:
    """`value` as `kind`, or ValueError."""
    if typing.get_origin(kind) is Literal:
        if value in typing.get_args(kind):
            return value
    elif kind is type(None):
        if value is None:
            return None
    elif typing.get_origin(kind) is tuple:
        if isinstance(value, list | tuple):
            return tuple(_as(v, typing.get_args(kind)[0], low, high) for v in value)
    elif kind is float:
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and low <= value <= high
        ):
            return float(value)
    elif kind is int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
    elif isinstance(value, kind):
        return value
    raise ValueError


def _expected(hint: Any, f: dataclasses.Field) -> str:
    low, high = f.metadata.get("range", (-math.inf, math.inf))
    words = " or ".join(_word(kind) for kind in _options(hint))
    if high < math.inf:
        return f"{words} from {_number(low)} to {_number(high)}"
    return words + (f" of at least {_number(low)}" if low > -math.inf else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


def _word(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        return f"a list, each {_word(typing.get_args(kind)[0])}"
    if dataclasses.is_dataclass(kind):
        return "a section"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "absent"}[kind]


# What a preset's values must be beside each other, and beside what the program knows.


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
    if preset.optim.nesterov and preset.optim.momentum == 0:
        raise UsageError(f"{where}: optim.nesterov = true needs optim.momentum above 0.")
    if not _is_plain(preset.name):
        raise UsageError(
            f"{where}: name = {shown(preset.name)}, but it becomes a folder's name.", "Use letters, digits, - and _."
        )
    if not preset.data.dataset or "/" in preset.data.dataset or "\\" in preset.data.dataset:
        raise UsageError(
            f"{where}: data.dataset = {shown(preset.data.dataset)}, but a preset names a data set, not a path."
        )


def _is_plain(name: str) -> bool:
    """Whether `name` can be that of a folder, and leads nowhere else: `runs/<name>` is where a run goes."""
    return (
        0 < len(name) <= 100 and name.isprintable() and not set(name) & set("/\\:") and not name.startswith((".", " "))
    )
