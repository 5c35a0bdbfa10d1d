"""A preset as typed, frozen values: every key there is. How they are read is in `config_reading.py`."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

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
    name: Literal["stgcn"] = "stgcn"
    partition: Literal["uniform", "distance", "spatial", "spatial-corrected"] = "spatial"
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
