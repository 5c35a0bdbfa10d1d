"""A preset as typed, frozen values: every key, its type and range. pydantic checks them; `_refusal` words what it finds."""

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from stgcn_cli.config.choices import Metric, Stream
from stgcn_cli.errors import UsageError
from stgcn_cli.io.text import nearest, shown

MAX_CLASSES, MAX_FRAMES, MAX_PERSONS = 100_000, 100_000, 64
_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
_as_tuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
Text = Annotated[str, Strict()]
Flag = Annotated[bool, Strict()]
Number = Annotated[float, Strict()]  # takes whole numbers, too
Index = Annotated[int, Strict()]
Beta = Annotated[float, Strict(), Field(ge=0, lt=1)]
Whole = Annotated[int, Strict(), Field(ge=0)]
Positive = Annotated[int, Strict(), Field(ge=1)]
Names = Annotated[tuple[Text, ...], _as_tuple]
Pairs = Annotated[tuple[Annotated[tuple[Index, ...], _as_tuple], ...], _as_tuple]
Augmentations = Annotated[tuple[Literal["mirror", "rotate", "scale", "noise", "drop-joints"], ...], _as_tuple]
Angles = Annotated[tuple[Number, Number, Number], _as_tuple]
Wholes = Annotated[tuple[Whole, ...], _as_tuple]
Partition = Literal["uniform", "distance", "spatial", "spatial-corrected", "agcn", "pyskl", "pyskl-spatial"]

# image: pixels over the size of the image. half-image: from -1 to 1, unknown joints at 0. box: likewise, in the box around the
# clip. body: raw 3-D coordinates from the first person's centre in the first frame; of Kinect joints turned by spine and shoulders.
Normalize = Literal["none", "image", "half-image", "box", "body"]


@dataclass(frozen=True, config=_CONFIG)
class DataConfig:
    """Which clips, and how a record becomes a clip."""

    dataset: Text  # <dataset>.pkl in the data folder
    train: Text  # name of the training split
    val: Text  # name of the validation split
    layout: Text  # a built-in skeleton, or the name of the preset's own in [layout]
    channels: Literal["xyz", "xys", "xy"]  # x y z; x y and the keypoint score; x y
    num_person: Annotated[Index, Field(ge=1, le=MAX_PERSONS)]  # persons in a clip: more are cut, fewer are padded
    clip_len: Annotated[Index, Field(ge=1, le=MAX_FRAMES)] | None = None  # frames, shorter clips loop; absent: all
    normalize: Normalize = "none"
    image_size: Literal["reference", "record"] = "reference"  # 1920 x 1080 for all, or each record's img_shape
    pre_normalize: Literal["none", "ntu"] = "none"  # what raw skeletons went through before they became records
    stream: Stream = "joint"
    # the first clip_len frames, or clip_len of the whole clip; the last evaluates the frames of MMAction2 1.x, not PYSKL's
    sampling: Literal["loop", "uniform", "uniform-mmaction2"] = "loop"
    augment: Augmentations = ()  # random changes of training clips; their strengths are in [augment]
    passes: Annotated[Index, Field(ge=1, le=1000)] = 1  # times every clip is seen in one epoch
    classes: Text | Names | None = None  # a list in class_names/, or the names themselves


@dataclass(frozen=True, config=_CONFIG)
class AugmentConfig:
    """How strong the augmentations in data.augment are."""

    mirror: Annotated[Number, Field(ge=0, le=1)] = 0.5  # share of the clips
    rotate: Annotated[Number, Field(ge=0, le=4)] | Angles = 0.3  # radians at most, around each axis or x, y and z
    scale: Annotated[Number, Field(ge=0, lt=1)] = 0.1  # share of the size at most, each axis by itself
    noise: Annotated[Number, Field(ge=0, le=1)] = 0.01  # standard deviation as a share of the size of the body
    drop_joints: Annotated[Number, Field(ge=0, lt=1)] = 0.1  # share of the joints that are missing in a clip


@dataclass(frozen=True, config=_CONFIG)
class ModelConfig:
    """The network."""

    num_classes: Annotated[Index, Field(ge=1, le=MAX_CLASSES)]
    name: Literal["stgcn", "agcn", "stgcnpp"] = "stgcn"
    partition: Partition = "spatial"
    dropout: Annotated[Number, Field(ge=0, le=0.99)] = 0.0
    input_norm: Literal["shared", "person"] = "shared"  # one normalisation of the input for all persons, or one each
    init: Literal["default", "2s-agcn", "torch"] = "default"  # 2s-agcn: that program's fresh weights; torch: PYSKL's
    stages: Annotated[Index, Field(ge=1, le=100)] = 10
    widen: Wholes = (5, 8)  # stages, from 1, that double the channels and halve the frames


@dataclass(frozen=True, config=_CONFIG)
class LossConfig:
    """What is minimised."""

    name: Literal["cross-entropy", "cb-focal"] = "cross-entropy"
    beta: Annotated[Number, Field(ge=0, le=0.9999999)] = 0.9999
    gamma: Annotated[Number, Field(ge=0, le=100)] = 2.0
    class_counts: Literal["data"] | Wholes | None = None  # training clips per class
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0.0  # share of a label given to all classes; cross-entropy


@dataclass(frozen=True, config=_CONFIG)
class OptimConfig:
    """The optimizer and its learning rate over the iterations."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Annotated[Number, Field(ge=0)] = 0.1
    momentum: Annotated[Number, Field(ge=0, le=1)] = 0.9  # sgd
    nesterov: Flag = True  # sgd
    betas: Annotated[tuple[Beta, Beta], _as_tuple] = (0.9, 0.999)  # adam, adamw
    weight_decay: Annotated[Number, Field(ge=0)] = 1e-4  # of all parameters; added to the gradient, except in adamw
    schedule: Literal["step", "cosine"] = "step"  # "cosine": from lr to min_lr, changed at every iteration
    steps: Wholes = ()  # 0-based epochs at whose start the rate is multiplied by gamma
    gamma: Annotated[Number, Field(ge=0)] = 0.1
    min_lr: Annotated[Number, Field(ge=0)] = 0.0  # at the end of a cosine schedule
    warmup_epochs: Annotated[Number, Field(ge=0)] = 0.0  # over which the rate rises linearly, iteration by iteration
    clip_norm: Annotated[Number, Field(gt=0)] | None = None  # largest norm of all gradients together
    ema_decay: Annotated[Number, Field(gt=0, lt=1)] | None = None  # average the weights over iterations; evaluate these


@dataclass(frozen=True, config=_CONFIG)
class TrainConfig:
    """Duration and intervals."""

    batch_size: Annotated[Index, Field(ge=1, le=1_000_000)]  # clips in a step, over all GPUs together
    epochs: Annotated[Index, Field(ge=1, le=1_000_000)]
    drop_last: Flag = False  # leave out the last batch of an epoch when it is smaller
    checkpoint_every: Positive = 1  # epochs
    validate_every: Positive = 1  # epochs
    log_every: Positive = 100  # iterations
    patience: Positive | None = None  # stop after so many epochs without a better top-1 accuracy in validation


@dataclass(frozen=True, config=_CONFIG)
class EvalConfig:
    """What is reported."""

    metrics: Annotated[tuple[Metric, ...], _as_tuple] = ("top_k_accuracy",)
    clips: Annotated[Index, Field(ge=1, le=100)] = 1  # samples of a clip whose probabilities are averaged


@dataclass(frozen=True, config=_CONFIG)
class LayoutConfig:
    """A skeleton of the user's own, called by the name in data.layout."""

    joints: Names
    bones: Pairs  # (joint, joint nearer to the centre)
    centre: Whole
    up: Text | None = None  # the axis that points up
    pairs: Pairs | None = None  # joints that a mirror exchanges; absent: by their names


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
    augment: AugmentConfig = AugmentConfig()
    layout: LayoutConfig | None = None


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
    dot, known, given = section and f"{section}.", sections()[section], values[section] if section else values
    key = dot + name
    if name not in known:
        names = [dot + each for each in known]
        return UsageError(
            f"{where}: unknown key {shown(key)}.{_nearest_key(key, names)}", f"Known keys: {', '.join(names)}"
        )
    if name not in given:
        return UsageError(f"{where}: the key {key!r} is missing.")
    if not section and name in sections():
        message = f"{where}: {key} = {shown(given[name])}, but it is a section."
        return UsageError(message, f"Write [{key}] and its keys below.")
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
        if pair := schema.get("prefixItems"):
            return f"a list of {len(pair)}, each {_expected(pair[0])}"
        return f"a list, each {_expected(schema['items'])}"
    words, low, high = _WORDS[schema["type"]], schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{words} from {low:,} to {high:,}"
    limits = {"of at least": low, "above": schema.get("exclusiveMinimum"), "below": schema.get("exclusiveMaximum")}
    return " ".join([words, *(f"{word} {limit:,}" for word, limit in limits.items() if limit is not None)])
