"""An evaluation from the user's wishes to scores: which preset, which file, which split."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from stgcn_cli import checkpoint as checkpoints
from stgcn_cli import evaluation, preflight, presets
from stgcn_cli.checkpoint import Checkpoint
from stgcn_cli.config import Preset
from stgcn_cli.data.places import find_pickles
from stgcn_cli.data.splits import find_split, open_stores
from stgcn_cli.distributed import Place, resolve_device
from stgcn_cli.errors import CheckpointError
from stgcn_cli.evaluation import EvalPlan, EvalResult
from stgcn_cli.precision import resolve_precision
from stgcn_cli.screen import Screen


@dataclass(frozen=True)
class Wishes:
    """What the user asked for. Absent values come from the checkpoint."""

    checkpoint: str
    data: tuple[Path, ...] = ()
    split: str | None = None
    preset: str | None = None
    settings: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    batch_size: int | None = None
    gpus: int = 1
    device: str = "auto"
    precision: str = "auto"


def evaluate(wishes: Wishes, screen: Screen) -> EvalResult | None:
    """Scores and metrics as wished. None on the ranks of a joined world that do not speak. Raises StgcnError."""
    device = resolve_device(wishes.device, wishes.gpus)
    precision = resolve_precision(wishes.precision, device, training=False)
    read = checkpoints.read(Path(wishes.checkpoint))
    preset = preset_of(read, wishes)
    wanted = wishes.split or preset.data.val
    pickles = tuple(find_pickles(preset.data.dataset, (wanted,), wishes.data))
    with screen.progress("read the annotations", None) as advance:
        split = find_split(open_stores(pickles, advance), wanted, whole_lists=wishes.split is None)
    for warning in preflight.check(preset, split, training=False):
        screen.warn(warning)
    plan = EvalPlan(preset, read.path, pickles, wanted, precision, wishes.batch_size, screen)
    return evaluation.evaluate(plan, Place(device, wishes.gpus))


def preset_of(read: Checkpoint, wishes: Wishes) -> Preset:
    """The preset asked for, else the one in the checkpoint; with settings and metrics applied."""
    if wishes.preset:
        preset = presets.load(wishes.preset, wishes.settings)
    elif read.preset_text:
        preset = presets.from_text(read.preset_text.encode(), str(read.path), "checkpoint", wishes.settings)
    else:
        raise CheckpointError(f"{read.path} does not say which preset it was trained with.", "Name it with --preset.")
    if wishes.metrics:
        preset = dataclasses.replace(preset, eval=dataclasses.replace(preset.eval, metrics=wishes.metrics))
    return preset


def place_for_pictures(checkpoint: Path, out: Path | None, split: str) -> Path:
    """The stem for the per-class table and the confusion matrix: that of --out, else beside a checkpoint of a run."""
    if out:
        return out.with_suffix("")
    name = f"{checkpoint.stem}.{split}"
    return checkpoint.parent / name if (checkpoint.parent / "preset.toml").is_file() else Path(name)
