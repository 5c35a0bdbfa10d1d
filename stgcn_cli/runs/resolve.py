"""From a name or path to a checkpoint and its preset."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stgcn_cli.config import catalog, presets, published_files
from stgcn_cli.config.choices import Metric
from stgcn_cli.config.schema import Preset
from stgcn_cli.errors import CheckpointError
from stgcn_cli.io.own_files import cache_folder
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import nearest, nearest_file

if TYPE_CHECKING:
    from stgcn_cli.runs.checkpoint import Checkpoint


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """What the user asked for. Absent values come from the checkpoint."""

    checkpoint: str
    data: tuple[Path, ...] = ()
    split: str | None = None
    preset: str | None = None
    settings: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = ()
    batch_size: int | None = None
    gpus: int = 1
    device: str = "auto"
    precision: str = "auto"
    base_url: str | None = None  # a mirror of the published weights
    image_size: tuple[int, int] | None = None  # height, width of images that clips to predict do not tell


def locate(request: EvalOptions, reporter: Reporter) -> Path:
    """The checkpoint: a file, else published weights of this name, out of the cache or downloaded."""
    path, word = Path(request.checkpoint), request.checkpoint
    if path.is_file() and path.suffix.lower() == ".pt2":  # torch 2.13: pickles in it are loaded, sizes in it evaluated
        raise CheckpointError(
            f"{path} is a program for torch.export.load, which may run code that is in the file; it was not opened.",
            "Give the checkpoint, or an .onnx file: stgcn export CHECKPOINT --out model.onnx",
        )
    if path.is_file():
        return path
    if entry := catalog.find(word):
        item = published_files.weights_of(entry)
        return published_files.fetch_item(item, cache_folder(), request.base_url, reporter)
    published_files.refuse_retired(word)
    if path.is_dir():
        inside = [path / name for name in ("best.pth", "last.pth") if (path / name).is_file()]
        example = inside[0] if inside else "best.pth of a run folder"
        raise CheckpointError(f"{path} is a folder; expected a checkpoint.", f"Give one in it: {example}")
    known = [name for each in catalog.PUBLISHED for name in (each.preset, each.name)]
    raise CheckpointError(
        f"Checkpoint {word} not found.{nearest_file(path) or nearest(word, known)}",
        "Give a file (see the run folder), or published weights by name: " + ", ".join(known[::2]),
    )


def preset_of(read: "Checkpoint", request: EvalOptions, reporter: Reporter) -> Preset:
    """The preset asked for, else the one in the checkpoint, else the published one it belongs to; settings applied."""
    if request.preset:
        preset = presets.load(request.preset, request.settings)
    elif read.preset_text:
        preset = presets.from_text(read.preset_text.encode(), str(read.path), "checkpoint", request.settings)
    else:
        asked = "" if Path(request.checkpoint).is_file() else request.checkpoint
        from stgcn_cli.runs import identify  # late: it needs torch, and a missing file should be refused without

        found = identify.the_preset(read, asked)
        preset = presets.load(found.presets[0], request.settings)
        reporter.note(f"Preset {preset.name}, identified by {found.identified_by}. Choose another with --preset.")
        _warn_of_length(read, preset, reporter)
    return with_metrics(preset, request.metrics)


def with_metrics(preset: Preset, metrics: tuple[Metric, ...]) -> Preset:
    """The preset with the metrics asked for, where some were."""
    return dataclasses.replace(preset, eval=dataclasses.replace(preset.eval, metrics=metrics or preset.eval.metrics))


def _warn_of_length(read: "Checkpoint", preset: Preset, reporter: Reporter) -> None:
    from stgcn_cli.runs import identify

    length = identify.clip_len_in(read)
    if length and preset.data.clip_len and length != preset.data.clip_len:
        reporter.warn(
            f"It was trained on clips of {length} frames, the preset takes {preset.data.clip_len}. "
            f"To evaluate as it was trained: --set data.clip_len={length}"
        )


def require(word: str) -> None:
    """Raise CheckpointError, without torch, when `word` is neither a file nor the name of published weights."""
    if not catalog.find(word):
        locate(EvalOptions(checkpoint=word), SILENT)
