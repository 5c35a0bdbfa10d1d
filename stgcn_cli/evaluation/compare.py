"""A measured result beside the published one: within, below or above, and what was not as published."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stgcn_cli.config import catalog, presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.io.text import shortened

TOLERANCE = 0.5  # points of accuracy; users report about 0.3 between two runs of one recipe
_SCIENCE = ("data.", "model.", "loss.", "optim.", "train.")
_NO_MATTER = ("train.checkpoint_every", "train.validate_every", "train.log_every", "data.classes")


@dataclass(frozen=True)
class Compared:
    """One metric, both as fractions; `verdict` is "within", "below" or "above" the published figure."""

    metric: str
    measured: float
    published: float
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """The published system `name`, its metrics beside the measured ones, and every known difference in words."""

    name: str
    metrics: tuple[Compared, ...]
    differs: tuple[str, ...]
    tolerance_points: float = TOLERANCE
    released: str = ""  # what the released weights give, where that is not the published figure


def with_published(
    preset: Preset, split: str, clips: int, classes: int, measured: Mapping[str, float]
) -> Comparison | None:
    """Compare what was measured on `clips` labelled clips of `classes` classes; None when the preset is not published.

    Accuracies over fewer classes than the published ones are another task: they are not compared.
    """
    entry = catalog.of_preset(preset.name, preset.data.stream)
    if entry is None or entry.top1 is None:
        return None
    figures = {"top1_acc": entry.top1, "mean_class_accuracy": entry.mean_class, "top1_norm": entry.mean_class}
    shipped = presets.load(entry.label)
    is_same_task = min(classes, preset.model.num_classes) >= shipped.model.num_classes
    compared = [
        Compared(name, measured[name], round(value / 100, 6), _verdict(100 * measured[name] - value))
        for name, value in figures.items()
        if value is not None and name in measured and is_same_task
    ]
    ours, theirs = presets.flat(preset), presets.flat(shipped)
    differs = _of_the_clips(shipped, entry.val_clips, split, clips, classes) + [
        f"{key} = {_setting(ours[key])}, published {_setting(theirs[key])}"
        for key in theirs
        if key.startswith(_SCIENCE) and key not in _NO_MATTER and ours[key] != theirs[key]
    ]
    released = ""
    if entry.released:
        released = (
            "The released weights give {:g} % top-1 and {:g} % mean class, by their page's rounded figures.".format(
                *entry.released
            )
        )
    return Comparison(entry.name, tuple(compared), tuple(differs), released=released)


def _verdict(points: float) -> str:
    if abs(points) <= TOLERANCE + 1e-9:
        return "within"
    return "above" if points > 0 else "below"


def _of_the_clips(shipped: Preset, official: int | None, split: str, clips: int, classes: int) -> list[str]:
    found = []
    if split != shipped.data.val:
        found.append(f"the split is {split}, published on {shipped.data.val}")
    elif official and clips != official:
        found.append(f"{clips:,} labelled clips, officially {official:,}")
    if classes < shipped.model.num_classes:
        found.append(f"{classes} classes have clips, of {shipped.model.num_classes}")
    return found


def _setting(value: Any) -> str:
    return "absent" if value is None else shortened(value, 40)
