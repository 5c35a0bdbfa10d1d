"""An evaluation from the user's wishes to scores: which preset, which file, which split."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from stgcn_cli import catalog, download, evaluation, identify, preflight, presets
from stgcn_cli import checkpoint as checkpoints
from stgcn_cli.checkpoint import Checkpoint
from stgcn_cli.config import Preset
from stgcn_cli.data.places import cache_folder, find_pickles
from stgcn_cli.data.splits import find_split, open_stores
from stgcn_cli.distributed import Place, resolve_device
from stgcn_cli.errors import CheckpointError
from stgcn_cli.evaluation import EvalPlan, EvalResult
from stgcn_cli.joining import failing_together
from stgcn_cli.precision import resolve_precision
from stgcn_cli.screen import SILENT, Screen
from stgcn_cli.wording import nearest, nearest_file


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
    base_url: str | None = None  # a mirror of the published weights


def evaluate(wishes: Wishes, screen: Screen) -> EvalResult | None:
    """Scores and metrics as wished. None on the ranks of a joined world that do not speak. Raises StgcnError."""
    with failing_together():
        device = resolve_device(wishes.device, wishes.gpus)
        place = Place(device, wishes.gpus)
        screen = screen if place.is_first else SILENT
        precision = resolve_precision(wishes.precision, device, training=False)
        path = locate(wishes, screen)
        read = checkpoints.read(path)
        preset = preset_of(read, wishes, screen)
        wanted = wishes.split or preset.data.val
        pickles = tuple(find_pickles(preset.data.dataset, (wanted,), wishes.data))
        with screen.progress("read the annotations", None) as advance:
            split = find_split(open_stores(pickles, advance), wanted, whole_lists=wishes.split is None)
        for warning in preflight.check(preset, split, training=False):
            screen.warn(warning)
        plan = EvalPlan(preset, read.path, pickles, wanted, precision, wishes.batch_size, screen)
    return evaluation.evaluate(plan, place)


def locate(wishes: Wishes, screen: Screen) -> Path:
    """The checkpoint: a file, else published weights of this name, out of the cache or downloaded."""
    path, word = Path(wishes.checkpoint), wishes.checkpoint
    if path.is_file():
        return path
    if catalog.find(word):
        return download.fetch_weights(word, cache_folder(), wishes.base_url, screen)
    if path.is_dir():
        inside = [path / name for name in ("best.pth", "last.pth") if (path / name).is_file()]
        hint = "" if inside else "Name a checkpoint in it, for instance best.pth of a run folder."
        raise CheckpointError(f"{path} is a folder.", hint + (f"Type: stgcn eval {inside[0]}" if inside else ""))
    known = [name for entry in catalog.PUBLISHED for name in (entry.preset, entry.name)]
    raise CheckpointError(
        f"There is no checkpoint {word}.{nearest_file(path) or nearest(word, known)}",
        "Give a file (see the run folder), or published weights by name: " + ", ".join(known[::2]),
    )


def preset_of(read: Checkpoint, wishes: Wishes, screen: Screen) -> Preset:
    """The preset asked for, else the one in the checkpoint, else the published one it belongs to; settings applied."""
    if wishes.preset:
        preset = presets.load(wishes.preset, wishes.settings)
    elif read.preset_text:
        preset = presets.from_text(read.preset_text.encode(), str(read.path), "checkpoint", wishes.settings)
    else:
        asked = "" if Path(wishes.checkpoint).is_file() else wishes.checkpoint
        found = identify.the_preset(read, asked)
        preset = presets.load(found.presets[0], wishes.settings)
        screen.note(f"Preset {preset.name}, told by {found.told_by}. Another is chosen with --preset.")
        _warn_of_length(read, preset, screen)
    if wishes.metrics:
        preset = dataclasses.replace(preset, eval=dataclasses.replace(preset.eval, metrics=wishes.metrics))
    return preset


def _warn_of_length(read: Checkpoint, preset: Preset, screen: Screen) -> None:
    length = identify.clip_len_in(read)
    if length and preset.data.clip_len and length != preset.data.clip_len:
        screen.warn(
            f"It was trained on clips of {length} frames, the preset takes {preset.data.clip_len}. "
            f"To evaluate as it was trained: --set data.clip_len={length}"
        )


def place_for_pictures(checkpoint: Path, out: Path | None, split: str) -> Path:
    """The stem for the per-class table and the confusion matrix: that of --out, else beside a checkpoint of a run."""
    if out:
        return out.with_suffix("")
    name = f"{checkpoint.stem}.{split}"
    return checkpoint.parent / name if (checkpoint.parent / "preset.toml").is_file() else Path(name)
