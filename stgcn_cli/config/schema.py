"""A preset as typed, frozen values: every key, its type and range. pydantic checks them; `_refusal` words what it finds."""

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.errors import UsageError
from stgcn_cli.io.text import nearest, shown

MAX_CLASSES, MAX_FRAMES, MAX_PERSONS = 100_000, 100_000, 64
_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
_as_tuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
Text = Annotated[str, Strict()]
Flag = Annotated[bool, Strict()]
Number = Annotated[float, Strict()]  # takes whole numbers, too
Index = Annotated[int, Strict()]
Whole = Annotated[int, Strict(), Field(ge=0)]
Positive = Annotated[int, Strict(), Field(ge=1)]
Names = Annotated[tuple[Text, ...], _as_tuple]
Wholes = Annotated[tuple[Whole, ...], _as_tuple]


@dataclass(frozen=True, config=_CONFIG)
class DataConfig:
    """Which clips, and how a record becomes a clip."""

    dataset: Text  # <dataset>.pkl in the data folder
    train: Text  # name of the training split
    val: Text  # name of the validation split
    layout: Text  # a built-in skeleton, or the name of the preset's own in [layout]
    channels: Literal["xyz", "xys", "xy"]  # x y z; x y and the keypoint score; x y
    num_person: Annotated[Index, Field(ge=1, le=MAX_PERSONS)]  # persons in a clip: more are cut, fewer are padded
    clip_len: Annotated[Index, Field(ge=1, le=MAX_FRAMES)] | None = (
        None  # frames; shorter records loop; absent = as stored
    )
    normalize: Literal["none", "image"] = "none"  # "image": the pixel coordinates over the image size
    image_size: Literal["reference", "record"] = "reference"  # 1920 x 1080 for all, or each record's img_shape
    pre_normalize: Literal["none", "ntu"] = "none"  # what raw skeletons went through before they became records
    stream: Literal["joint", "bone", "joint-motion", "bone-motion"] = "joint"  # what the network sees of a skeleton
    passes: Annotated[Index, Field(ge=1, le=1000)] = 1  # times every clip is seen in one epoch
    classes: Text | Names | None = None  # a list in class_names/, or the names themselves


@dataclass(frozen=True, config=_CONFIG)
class ModelConfig:
    """The network."""

    num_classes: Annotated[Index, Field(ge=1, le=MAX_CLASSES)]
    name: Literal["stgcn", "agcn"] = "stgcn"
    partition: Literal["uniform", "distance", "spatial", "spatial-corrected", "agcn"] = "spatial"
    dropout: Annotated[Number, Field(ge=0, le=0.99)] = 0.0


@dataclass(frozen=True, config=_CONFIG)
class LossConfig:
    """What is minimised."""

    name: Literal["cross-entropy", "cb-focal"] = "cross-entropy"
    beta: Annotated[Number, Field(ge=0, le=0.9999999)] = 0.9999
    gamma: Annotated[Number, Field(ge=0, le=100)] = 2.0
    class_counts: Literal["data"] | Wholes | None = None  # training clips per class


@dataclass(frozen=True, config=_CONFIG)
class OptimConfig:
    """SGD with a step schedule."""

    lr: Annotated[Number, Field(ge=0)] = 0.1
    momentum: Annotated[Number, Field(ge=0, le=1)] = 0.9
    nesterov: Flag = True
    weight_decay: Annotated[Number, Field(ge=0)] = 1e-4
    steps: Wholes = ()  # 0-based epochs at whose start the rate is multiplied by gamma
    gamma: Annotated[Number, Field(ge=0)] = 0.1


@dataclass(frozen=True, config=_CONFIG)
class TrainConfig:
    """Duration and intervals."""

    batch_size: Annotated[Index, Field(ge=1, le=1_000_000)]  # clips in a step, over all GPUs together
    epochs: Annotated[Index, Field(ge=1, le=1_000_000)]
    checkpoint_every: Positive = 1  # epochs
    validate_every: Positive = 1  # epochs
    log_every: Positive = 100  # iterations


@dataclass(frozen=True, config=_CONFIG)
class EvalConfig:
    """What is reported."""

    metrics: Names = ("top_k_accuracy",)


@dataclass(frozen=True, config=_CONFIG)
class LayoutConfig:
    """A skeleton of the user's own, called by the name in data.layout."""

    joints: Names
    bones: Annotated[
        tuple[Annotated[tuple[Index, ...], _as_tuple], ...], _as_tuple
    ]  # (joint, joint nearer to the centre)
    centre: Whole


@dataclass(frozen=True, config=_CONFIG)
class Preset:
    """One experiment: everything that changes its result, and nothing else."""

    name: Text
    description: Text
    data: DataConfig
    model: ModelConfig
    train: TrainConfig
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    eval: EvalConfig = EvalConfig()
    layout: LayoutConfig | None = None


def preset_from(values: dict[str, Any], where: str) -> Preset:
    """Return the preset that nested `values`, as TOML gives them, describe; `where` names the file in messages.

    Raises UsageError naming `where`, the key and what was expected.
    """
    preset = check_keys(values, where)
    check_together(preset, where)
    return preset


def check_keys(values: dict[str, Any], where: str) -> Preset:
    """Raise UsageError, naming `where`, for a key, type or range that is wrong by itself."""
    try:
        return _adapter().validate_python(values)
    except ValidationError as error:
        unknown = [e for e in error.errors() if e["type"] == "unexpected_keyword_argument"]
        raise _refusal((unknown or error.errors())[0], values, where) from None


@functools.cache
def _adapter() -> TypeAdapter[Preset]:
    return TypeAdapter(Preset)


@functools.cache
def sections() -> dict[str, dict[str, Any]]:
    """The JSON schema of every key, by section; that of "" are the keys at the top."""
    schema = _adapter().json_schema()
    found = {"": schema["properties"]}
    for name, value in schema["properties"].items():
        for each in value.get("anyOf", [value]):
            if reference := each.get("$ref"):
                found[name] = schema["$defs"][reference.rpartition("/")[2]]["properties"]
    return found


def _refusal(error: Mapping[str, Any], values: Mapping[str, Any], where: str) -> UsageError:
    """Word what pydantic found: the key, its value, what was expected, the nearest key."""
    path = [str(part) for part in error["loc"]] or [""]
    section = path[0] if path[0] in sections() and len(path) > 1 and isinstance(values.get(path[0]), dict) else ""
    name = path[1] if section else path[0]
    key = f"{section}.{name}" if section else name
    known = sections()[section]
    if name not in known:
        names = [f"{section}.{each}" if section else each for each in known]
        return UsageError(
            f"{where}: unknown key {shown(key)}.{_nearest_key(key, names)}", "Known keys: " + ", ".join(names)
        )
    given = values.get(section, {}) if section else values
    if name not in given:
        return UsageError(f"{where}: the key {key!r} is missing.")
    if not section and name in sections():
        return UsageError(
            f"{where}: {key} = {shown(given[name])}, but it is a section.", f"Write [{key}] and its keys below."
        )
    return UsageError(f"{where}: {key} = {shown(given[name])}, but it must be {_expected(known[name])}.")


def _nearest_key(key: str, known: list[str]) -> str:
    """The nearest key of this section; else the one of that name in any section: lr -> optim.lr."""
    everywhere = [f"{section}.{name}" for section, names in sections().items() if section for name in names]
    last = key.rpartition(".")[2]
    same = [each for each in everywhere if each.rpartition(".")[2] == last]
    return f" Did you mean {same[0]!r}?" if same else nearest(key, known) or nearest(key, everywhere)


_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "null": "absent",
}


def _expected(schema: Mapping[str, Any]) -> str:
    """What a JSON schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(_expected(each) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return "one of " + ", ".join(map(repr, schema.get("enum", [schema.get("const")])))
    if schema.get("type") == "array":
        return f"a list, each {_expected(schema['items'])}"
    low, high = schema.get("minimum"), schema.get("maximum")
    words = _WORDS[schema["type"]]
    if high is not None:
        return f"{words} from {low:,} to {high:,}"
    return words + (f" of at least {low:,}" if low is not None else "")


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
