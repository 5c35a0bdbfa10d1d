"""A training run from its options to its folder: check, make the folder, launch the workers, evaluate and report."""

import contextlib
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stgcn_cli.config import presets, published_files
from stgcn_cli.config.schema import Preset
from stgcn_cli.evaluation import results
from stgcn_cli.evaluation.score import EvalPlan, EvalResult, evaluate_in_world
from stgcn_cli.io.files import atomic_write, make_dirs, writing
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.runs import folder as run_folders
from stgcn_cli.runs import history, settings
from stgcn_cli.runs.log import read_log, read_published
from stgcn_cli.runtime.distributed import World, launch
from stgcn_cli.runtime.precision import evaluation_precision
from stgcn_cli.runtime.rendezvous import failing_together
from stgcn_cli.training.check import check, check_settings
from stgcn_cli.training.options import Job, RunOptions
from stgcn_cli.training.train import train
from stgcn_cli.viz import figures, plots, report


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Result of a training run: what the workers returned, and the final evaluations by checkpoint name."""

    preset: Preset
    folder: Path
    seconds: float
    summary: dict[str, Any]  # {"best", "last", "epochs"}
    tests: dict[str, EvalResult]
    was_finished: bool = False  # a resumed run that had all its epochs


def run(options: RunOptions, reporter: Reporter) -> RunResult | None:
    """Train. Returns None on ranks other than the first when the processes were started by torchrun or SLURM.

    Raises UsageError, DataError and CheckpointError before the run folder is made, RunError later.
    """
    began, is_first = time.monotonic(), options.launch.is_first
    reporter = reporter if is_first else SILENT
    with contextlib.ExitStack() as stack:
        with failing_together():
            options, pickles = check(options, reporter)
            job = Job(options, pickles, stack.enter_context(_run_folder(options)), reporter)
            finished = _summary_if_finished(job)
        summary = finished or _train(job)
        if summary is None or not is_first:
            return None
        draw_curve(options.preset, job.folder)
        tests = {name: _test(job, name) for name in options.test}
        page = job.folder / "report.html"
        if options.report and report.write_or_warn(lambda: report.of_run(job.folder), page, reporter):
            reporter.note(f"Report: {page}")
        return RunResult(
            preset=options.preset, folder=job.folder, seconds=time.monotonic() - began, summary=summary, tests=tests,
            was_finished=finished is not None,
        )  # fmt: skip


def _train(job: Job) -> dict[str, Any] | None:
    """Describe the run and launch the workers; return what rank 0 returned, None on other ranks."""
    if job.options.launch.is_first:
        _describe(job)
        job.reporter.note(f"Run folder: {job.folder}")
        if job.options.tensorboard:
            job.reporter.note(f"Watch it with: tensorboard --logdir {shlex.quote(str(job.folder))}")
        if job.options.wandb:
            job.reporter.note(
                f"Weights & Biases: run {job.folder.resolve().name}; its files are in {job.folder / 'wandb'}"
            )
    return launch(train, job, job.options.launch)


@contextlib.contextmanager
def _run_folder(options: RunOptions) -> Iterator[Path]:
    """Hold the folder to train in against other processes: that of the run to resume, or a new one."""
    if not options.launch.is_first:
        yield _shared_folder(options)
        return
    old = options.work_dir or run_folders.newest_folder(options.preset.name)
    resumed = old if options.resume and old is not None and run_folders.is_run(old) else None
    folder = resumed or run_folders.new_folder(options.work_dir, options.preset.name)
    with run_folders.held(folder):
        if resumed:
            check_settings(options, folder)
            run_folders.remove_abandoned(folder)
        else:
            run_folders.ensure_empty(folder)  # another process may have trained here before the lock was ours
        yield folder


def _shared_folder(options: RunOptions) -> Path:
    """Return the folder that another process makes, created here too in case it is not on a shared drive."""
    assert options.work_dir is not None  # see `check`
    with writing(options.work_dir):
        return make_dirs(options.work_dir)


def _summary_if_finished(job: Job) -> dict[str, Any] | None:
    """Return the summary of a resumed run that has all its epochs already."""
    last = history.newest(job.folder) if job.options.resume else None
    if last is None or (progress := history.progress_in(last)).epoch < job.preset.train.epochs:
        return None
    return {"best": progress.best, "last": {}, "epochs": progress.epoch}


def _describe(job: Job) -> None:
    """Write what decides the result (preset.toml) and where it is computed (environment.json)."""
    options, config = job.options, job.options.launch
    recorded = {
        "gpus": config.gpus, "nodes": config.nodes, "device": config.device, "seed": options.seed,
        "diff_seed": options.diff_seed, "precision": options.precision, "deterministic": options.deterministic,
        "cuda_graph": options.cuda_graph, "compile": options.compile, "freeze": options.freeze, "validate": options.validate, "skip_nonfinite": options.skip_nonfinite,
        "data": [str(path.resolve()) for path in job.pickles],
    }  # fmt: skip
    with atomic_write(job.folder / "preset.toml", "w") as stream:
        stream.write(presets.to_toml(job.preset))
    settings.record(job.folder, recorded)


def draw_curve(preset: Preset, folder: Path) -> None:
    """Draw the learning curve of a run, with the published one when its log has been downloaded."""
    log = published_files.cached_log(preset.name)
    published = read_published(log) if log else ()
    if figure := plots.curves(read_log(folder / "log.jsonl"), preset.name, published):  # None before the first epoch
        plots.save(figure, folder / "learning_curve.png")


def _test(job: Job, name: str) -> EvalResult:
    """Evaluate NAME.pth on the validation split and write the result files beside it."""
    plan = EvalPlan(
        preset=job.preset, checkpoint=job.folder / f"{name}.pth", pickles=job.pickles, split=job.preset.data.val,
        precision=evaluation_precision(job.options.precision), reporter=job.reporter,
    )  # fmt: skip
    device = torch.device(job.options.launch.device)
    result = evaluate_in_world(plan, World(0, 1, device))  # in this process: other ranks may have ended
    results.write(result, job.folder / f"{name}.result.pkl")
    results.write(result, job.folder / f"{name}.result.npz")
    figures.write_class_files(result, job.folder / name)
    return result
