"""Checks of a training run before its folder is made: batch, data, weights to start from, settings of a resumed run."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from stgcn_cli.config import catalog, presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data import preflight
from stgcn_cli.data.locations import find_pickles
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.errors import CheckpointError, UsageError
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint, history, transfer
from stgcn_cli.runs.checkpoint import Checkpoint
from stgcn_cli.runtime.distributed import LaunchConfig
from stgcn_cli.training import static_step, trackers
from stgcn_cli.training.optim import build_optimizer
from stgcn_cli.training.options import RunOptions
from stgcn_cli.training.step import batches_of_epoch

_LENGTH_KEYS = {f"train.{key}" for key in ("epochs", "checkpoint_every", "validate_every", "log_every", "patience")}
_FREE_KEYS = _LENGTH_KEYS | {"name", "description"}  # may differ when a run is resumed


def check(options: RunOptions, reporter: Reporter) -> tuple[RunOptions, tuple[Path, ...]]:
    """Check everything that does not need a run folder; return the options with class counts resolved, and the pickles.

    Builds the stores of the pickles. Raises UsageError, DataError, CheckpointError.
    """
    preset, launch = options.preset, options.launch
    check_batch(preset, launch, reporter)
    trackers.check_installed(options.tensorboard, options.wandb)
    static_step.check_options(options)
    if launch.world > launch.gpus and options.work_dir is None:
        raise UsageError("Several machines, torchrun and SLURM need one run folder for all.", "Add --work-dir DIR.")
    if preset.train.patience and not options.validate:
        raise UsageError("train.patience needs the validation split, which --no-validate leaves out.", "Leave out one.")
    pickles = tuple(find_pickles(preset.data.dataset, (preset.data.train, preset.data.val), options.data))
    resolved, clips = _check_data(options, pickles, reporter)
    options = dataclasses.replace(options, preset=resolved)
    check_weights(options, reporter, clips)
    return options, pickles


def check_batch(preset: Preset, launch: LaunchConfig, reporter: Reporter) -> None:
    """Note how the global batch is split over the processes. Raises UsageError when it does not divide evenly.

    The batch size is part of the recipe: BatchNorm's statistics are those of one process.
    """
    batch, world = preset.train.batch_size, launch.world
    unit, units = ("GPU", "GPUs") if launch.device == "cuda" else ("process", "processes")
    if batch % world:
        fitting = max(n for n in range(1, world + 1) if batch % n == 0)
        use = f"--gpus {fitting}" if world == launch.gpus else f"{fitting} processes in all"
        raise UsageError(
            f"The global batch of {batch} clips cannot be split evenly over {world} {units}.",
            f"Use {use}, or change the recipe: --set train.batch_size={-(-batch // world) * world}",
        )
    published = _published_batch(preset.name)
    if launch.is_first and (world > 1 or published not in (None, batch)):
        reference = f" (published: {published})" if published else ""
        reporter.note(
            f"Global batch {batch} = {world} {unit if world == 1 else units} x {batch // world} clips; the learning rate "
            f"stays {preset.optim.lr:g}; BatchNorm sees {batch // world} clips at a time{reference}."
        )


def _published_batch(name: str) -> int | None:
    """Return the clips per GPU in the published run of a preset; None where nothing is published."""
    entry = catalog.find(name)
    return presets.load(entry.preset).train.batch_size // entry.gpus if entry and entry.gpus else None


def _check_data(options: RunOptions, pickles: Iterable[Path], reporter: Reporter) -> tuple[Preset, int]:
    """Check the splits against the preset; return the preset with class counts as numbers, and the training clips."""
    preset = options.preset
    stores = open_stores(pickles, reporter)
    train_split = find_split(stores, preset.data.train)
    warnings, used = preflight.check(preset, train_split, training=True), [train_split]
    warnings += _missing_classes(preset, train_split)
    if options.validate:
        used.append(val_split := find_split(stores, preset.data.val))
        warnings += preflight.check(preset, val_split, training=False) + preflight.check_pair(train_split, val_split)
    for warning in warnings + preflight.findings(preset, used):
        reporter.warn(warning)
    return preflight.with_counts(preset, train_split), len(train_split.indices)


def _missing_classes(preset: Preset, split: Split) -> list[str]:
    seen, classes = len(set(split.labels[split.labels >= 0].tolist())), preset.model.num_classes
    if seen == classes:
        return []
    return [
        f"Only {seen} of the {classes} classes of {preset.name} have clips in {split.name!r}; the others are not learned."
    ]


def check_weights(options: RunOptions, reporter: Reporter, clips: int) -> None:
    """Check the checkpoint to start from, for training on so many clips. Raises CheckpointError when it cannot be used."""
    if options.resume_from:
        _check_resumable(options, checkpoint.read(options.resume_from), clips)
    if options.load_from:
        transfer.check(options.preset, options.load_from, bool(options.freeze), reporter)
    elif options.freeze and not (options.resume or options.resume_from):
        reporter.warn("--freeze backbone without --load-from: the backbone keeps its random initial weights.")


def _check_resumable(options: RunOptions, read: Checkpoint, clips: int) -> None:
    """Raise CheckpointError unless weights, optimizer state and progress are those of a run with these options."""
    model = build_model(options.preset)
    checkpoint.load_into(model, read)
    checkpoint.load_optimizer(build_optimizer(options.preset, model), read)
    progress, epochs = history.progress_in(read), options.preset.train.epochs
    steps = len(batches_of_epoch(options, clips, 0, 0, options.launch.world))
    if progress.epoch >= epochs:
        raise CheckpointError(f"{read.path} has {progress.epoch:,} of {epochs:,} epochs.", "Give more with --epochs.")
    if progress.step > steps:
        raise CheckpointError(
            f"{read.path} has {progress.step:,} steps of an epoch, which has {steps:,} with these data and batch size."
        )


def check_settings(options: RunOptions, folder: Path) -> None:
    """Raise UsageError when the run in `folder` began with another preset; only its length may differ without force."""
    ours, theirs = presets.flat(options.preset), presets.flat(presets.load(str(folder / "preset.toml")))
    changed = [key for key in ours | theirs if ours.get(key) != theirs.get(key) and key not in _FREE_KEYS]
    if changed and not options.force:
        differences = ", ".join(f"{key} = {ours.get(key)} (was {theirs.get(key)})" for key in changed[:3])
        raise UsageError(
            f"The run in {folder} began with other settings: {differences}.",
            "Leave these settings out, start a new run without --resume, or add --force to change this one.",
        )
