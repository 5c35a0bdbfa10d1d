"""A training run from the user's wishes to its folder: check in seconds, make the folder, launch, sum up."""

import contextlib
import dataclasses
import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stgcn_cli.config import catalog, presets, published_files
from stgcn_cli.config.schema import Preset
from stgcn_cli.data import preflight
from stgcn_cli.data.locations import find_pickles
from stgcn_cli.data.splits import find_split, open_stores
from stgcn_cli.errors import UsageError
from stgcn_cli.evaluation import results
from stgcn_cli.evaluation.score import EvalPlan, EvalResult, evaluate_in_world
from stgcn_cli.io import files
from stgcn_cli.io.files import atomic_write, disk_error, make_dirs
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint, history, transfer
from stgcn_cli.runs import folder as runlock
from stgcn_cli.runs import log as runlog
from stgcn_cli.runs.log import read_published
from stgcn_cli.runtime.distributed import LaunchConfig, World, launch
from stgcn_cli.runtime.rendezvous import failing_together
from stgcn_cli.training import tensorboard
from stgcn_cli.training.options import RunOptions, TrainPlan
from stgcn_cli.training.train import train
from stgcn_cli.viz import plots
from stgcn_cli.viz import report as reporting

# The global batch belongs to the recipe: how it is split over the processes, and what BatchNorm then sees.


def check_batch(preset: Preset, place: LaunchConfig, reporter: Reporter) -> None:
    """Refuse a global batch that the processes do not divide; say how it is split, where that is not as published."""
    batch, world = preset.train.batch_size, place.world
    if batch % world:
        _refuse(batch, world, place)
    published = clips_a_gpu(preset.name)
    if place.is_first and (world > 1 or published not in (None, batch)):
        words = f"{world} {_unit(place)}{'' if world == 1 else _plural(place)}"
        reporter.note(
            f"Global batch {batch} = {words} x {batch // world} clips; the learning rate stays {preset.optim.lr:g}; "
            f"BatchNorm sees {batch // world} clips at a time{f' (published: {published})' if published else ''}."
        )


def clips_a_gpu(name: str) -> int | None:
    """Clips that BatchNorm saw at a time in the published run of this preset; None where nothing is published."""
    entry = catalog.find(name)
    return presets.load(entry.preset).train.batch_size // entry.gpus if entry and entry.gpus else None


def _refuse(batch: int, world: int, place: LaunchConfig) -> None:
    fitting = max(n for n in range(1, world + 1) if batch % n == 0)
    per_gpu = -(-batch // world)
    alone = world == place.gpus  # several machines, torchrun and SLURM count their processes elsewhere
    raise UsageError(
        f"The global batch of {batch} clips cannot be split evenly over {world} {_unit(place)}{_plural(place)}.",
        f"{'Or' if alone else f'Use {fitting} processes in all, or'} change the recipe: "
        f"--set train.batch_size={per_gpu * world}",
        instead={"--gpus": str(fitting)} if alone else None,
    )


def _unit(place: LaunchConfig) -> str:
    return "GPU" if place.device == "cuda" else "process"


def _plural(place: LaunchConfig) -> str:
    return "s" if place.device == "cuda" else "es"


_ONLY_LENGTH = ("epochs", "checkpoint_every", "validate_every", "log_every")  # may change when a run goes on


@dataclass(frozen=True)
class Outcome:
    """What came of a run. `summary` is what training returned; `tests` the final evaluations by name."""

    preset: Preset
    folder: Path
    seconds: float
    summary: dict[str, Any]
    tests: dict[str, EvalResult]
    was_finished: bool = False


def run(preset: Preset, place: LaunchConfig, wishes: RunOptions, reporter: Reporter) -> Outcome | None:
    """Train as wished. None on the ranks of a joined world that do not speak.

    Raises StgcnError: UsageError and DataError before anything is built, RunError later.
    """
    began = time.monotonic()
    reporter = reporter if place.is_first else SILENT
    with contextlib.ExitStack() as until_the_end:
        with failing_together():
            preset, pickles = check(preset, place, wishes, reporter)
            folder = until_the_end.enter_context(run_folder(preset, place, wishes))
            summary = _finished(preset, folder, wishes)
        was_finished = summary is not None
        if not was_finished:
            summary = _train(folder, preset, place, wishes, pickles, reporter)
        if summary is None or not place.is_first:
            return None
        draw_curve(preset, folder)
        tests = {which: _test(which, preset, folder, pickles, wishes, place, reporter) for which in wishes.test}
        report = folder / "report.html"
        if wishes.report and reporting.write_or_warn(lambda: reporting.of_run(folder), report, reporter):
            reporter.note(f"Report: {report}")
        return Outcome(preset, folder, time.monotonic() - began, summary, tests, was_finished)


def _train(
    folder: Path, preset: Preset, place: LaunchConfig, wishes: RunOptions, pickles: tuple[Path, ...], reporter: Reporter
) -> dict[str, Any] | None:
    """Describe the run and launch the workers; what rank 0 returned, None elsewhere."""
    if place.is_first:
        _describe(folder, preset, place, wishes, pickles)
        reporter.note(f"Run folder: {folder}")
        if wishes.tensorboard:
            reporter.note(f"To watch it: tensorboard --logdir {shlex.quote(str(folder))}")
    plan = TrainPlan(
        preset=preset, pickles=pickles, folder=folder, validate=wishes.validate, seed=wishes.seed, diff_seed=wishes.diff_seed, deterministic=wishes.deterministic, precision=wishes.precision,
        resume_from=wishes.resume_from, load_from=wishes.load_from, freeze=wishes.freeze, skip_nonfinite=wishes.skip_nonfinite, save_every=60 * wishes.save_minutes, reporter=reporter,
        tensorboard=wishes.tensorboard,
    )  # fmt: skip
    return launch(train, plan, place)


def check(
    preset: Preset, place: LaunchConfig, wishes: RunOptions, reporter: Reporter
) -> tuple[Preset, tuple[Path, ...]]:
    """Everything that can be told before there is a run folder; the preset with class counts resolved, and the data.

    Raises StgcnError.
    """
    check_batch(preset, place, reporter)
    if wishes.tensorboard:
        tensorboard.check_installed()
    if place.world > place.gpus and wishes.work_dir is None:
        raise UsageError("Several machines, torchrun or SLURM need one folder for all.", "Name it with --work-dir.")
    pickles = tuple(find_pickles(preset.data.dataset, (preset.data.train, preset.data.val), wishes.data))
    preset = check_data(preset, pickles, wishes.validate, reporter)
    check_weights(preset, wishes, reporter)
    return preset, pickles


def draw_curve(preset: Preset, folder: Path) -> None:
    """The run's learning curve, beside the published one when its log has been downloaded."""
    log = published_files.cached_log(preset.name)
    published = read_published(log) if log else ()
    plots.learning_curve(runlog.read_log(folder / "log.jsonl"), folder / "learning_curve.png", preset.name, published)


def check_data(preset: Preset, pickles: tuple[Path, ...], validate: bool, reporter: Reporter) -> Preset:
    """Open (or first build) the stores and check them against the preset; returns it with class counts resolved."""
    with reporter.progress("read the annotations", None) as advance:
        stores = open_stores(pickles, advance)
    train_split = find_split(stores, preset.data.train)
    warnings = preflight.check(preset, train_split, training=True)
    if validate:
        val_split = find_split(stores, preset.data.val)
        warnings += preflight.check(preset, val_split, training=False) + preflight.check_pair(train_split, val_split)
    for warning in warnings:
        reporter.warn(warning)
    return preflight.with_counts(preset, train_split)


def check_weights(preset: Preset, wishes: RunOptions, reporter: Reporter) -> None:
    """Refuse a checkpoint to start from that cannot be used, before there is a run folder."""
    if wishes.resume_from:
        checkpoint.load_into(build_model(preset), checkpoint.read(wishes.resume_from))
    if wishes.load_from:
        transfer.check(preset, wishes.load_from, bool(wishes.freeze), reporter)
    elif wishes.freeze and not (wishes.resume or wishes.resume_from):
        reporter.warn("--freeze backbone without --load-from: the backbone keeps the random weights it begins with.")


@contextlib.contextmanager
def run_folder(preset: Preset, place: LaunchConfig, wishes: RunOptions) -> Iterator[Path]:
    """The folder to train in, held against other runs: that of the run to go on with, or a new one."""
    if not place.is_first:
        yield _joined_folder(wishes)
        return
    old = wishes.work_dir or runlock.newest_folder(preset.name)
    going_on = wishes.resume and old is not None and runlock.is_run(old)
    folder = old if going_on and old else runlock.new_folder(wishes.work_dir, preset.name)
    with runlock.held(folder):
        if going_on:
            _check_same(preset, folder)
            files.remove_all_abandoned(folder)
        else:
            runlock.ensure_empty(folder)  # since it was made, somebody else may have trained here
        yield folder


def _joined_folder(wishes: RunOptions) -> Path:
    """The folder where another process makes the run; here too, should it not lie on a shared drive."""
    assert wishes.work_dir is not None  # `run` asked for it
    try:
        return make_dirs(wishes.work_dir)
    except OSError as error:
        raise disk_error(error, wishes.work_dir) from error


def _check_same(preset: Preset, folder: Path) -> None:
    """A run goes on with the preset it began with; only its length may change."""
    before = presets.load(str(folder / "preset.toml"))
    ours, theirs = _flat(preset), _flat(before)
    changed = [k for k in ours | theirs if ours.get(k) != theirs.get(k) and k not in ("name", "description")]
    changed = [k for k in changed if k.removeprefix("train.") not in _ONLY_LENGTH]
    if changed:
        told = ", ".join(f"{k} = {ours.get(k)} (was {theirs.get(k)})" for k in changed[:3])
        raise UsageError(
            f"The run in {folder} began with other settings: {told}.",
            "Give the same settings to go on with it, or start a new run without --resume.",
        )


def _flat(preset: Preset) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in dataclasses.asdict(preset).items():
        flat |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return flat


def _finished(preset: Preset, folder: Path, wishes: RunOptions) -> dict[str, Any] | None:
    """The summary of a run that has all its epochs already, when it is to be resumed."""
    last = history.newest(folder) if wishes.resume else None
    meta = last.meta if last else {}
    if not last or int(meta.get("epoch", 0)) < preset.train.epochs:
        return None
    return {"best": meta.get("best"), "last": {}, "epochs": meta["epoch"]}


def _describe(folder: Path, preset: Preset, place: LaunchConfig, wishes: RunOptions, pickles: tuple[Path, ...]) -> None:
    """Write what decides the result (preset.toml) and where it was computed (environment.json)."""
    settings = {
        "gpus": place.gpus, "nodes": place.nodes, "device": place.device, "seed": wishes.seed,
        "precision": wishes.precision, "deterministic": wishes.deterministic, "data": [str(path) for path in pickles],
    }  # fmt: skip
    with atomic_write(folder / "preset.toml", "w") as stream:
        stream.write(presets.to_toml(preset))
    with atomic_write(folder / "environment.json", "w") as stream:
        json.dump(runlock.environment(settings), stream, indent=2)


def _test(
    which: str,
    preset: Preset,
    folder: Path,
    pickles: tuple[Path, ...],
    wishes: RunOptions,
    place: LaunchConfig,
    reporter: Reporter,
) -> EvalResult:
    """Evaluate best.pth or last.pth on the validation split and write the result beside it."""
    plan = EvalPlan(
        preset=preset,
        checkpoint=folder / f"{which}.pth",
        pickles=pickles,
        split=preset.data.val,
        precision=wishes.precision,
        reporter=reporter,
    )
    result = evaluate_in_world(plan, World(0, 1, torch.device(place.device)))  # alone: other ranks may be gone
    results.write(result, folder / f"{which}.result.pkl")
    results.write(result, folder / f"{which}.result.npz")
    reporting.write_class_files(result, folder / which)
    return result
