"""`stgcn demo`: synthetic clips through prepare, train and eval."""

import time
from dataclasses import dataclass
from pathlib import Path

from stgcn_cli.config import presets
from stgcn_cli.data.ntu import names
from stgcn_cli.data.prepare import synthetic
from stgcn_cli.data.prepare.ntu import prepare_ntu
from stgcn_cli.data.prepare.options import PrepareOptions
from stgcn_cli.errors import RunError
from stgcn_cli.evaluation import evaluate, metrics, results
from stgcn_cli.io.outputs import OutputRule
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.runs import resolve
from stgcn_cli.runs.folder import free_folder
from stgcn_cli.runtime.devices import resolve_device
from stgcn_cli.runtime.distributed import LaunchConfig
from stgcn_cli.runtime.precision import resolve_precision
from stgcn_cli.training.options import RunOptions
from stgcn_cli.training.run import run
from stgcn_cli.viz import figures

SUBJECTS, REPETITIONS = tuple(range(1, 41)), 2


@dataclass(frozen=True)
class DemoResult:
    """Result of the demonstration."""

    clips: int
    train_clips: int
    val_clips: int
    train_subjects: int
    val_subjects: int
    metrics: dict[str, float]  # those that are informative for so many classes
    run: Path
    result: Path
    confusion: Path
    seconds: float


def show(folder: Path, epochs: int | None, seed: int, device: str, reporter: Reporter) -> DemoResult:
    """Make clips, prepare, train, evaluate on subjects never trained on. Raises StgcnError."""
    began = time.monotonic()
    device = resolve_device(device, 1, reporter.warn)
    reporter.note("1/4  make skeletons of 5 actions as NTU .skeleton texts")
    raw, annotations = folder / "demo_skeletons.zip", folder / "demo.pkl"
    OutputRule(command="demo").check(raw)
    clips = synthetic.write_zip(raw, SUBJECTS, REPETITIONS)
    reporter.note("2/4  prepare")
    summary = prepare_ntu(PrepareOptions(dataset="ntu60", sources=[raw], out=annotations, splits=["xsub"]))
    reporter.note("3/4  train (about a minute on two cores)")
    preset = presets.load("demo", [f"train.epochs={epochs}"] if epochs else [])
    options = RunOptions(
        preset=preset, launch=LaunchConfig(device), data=(annotations,), work_dir=free_folder("run", folder), seed=seed,
        precision=resolve_precision("auto", device, training=True),
    )  # fmt: skip
    outcome = run(options, reporter)
    if outcome is None:
        raise RunError("The demonstration is one process; it does not run under torchrun.")
    reporter.note("4/4  evaluate on subjects never trained on")
    best = outcome.folder / "best.pth"
    measured = evaluate.evaluate(
        resolve.EvalOptions(checkpoint=str(best), data=(annotations,), device=device), reporter
    )
    assert measured is not None  # one process
    results.write(measured, outcome.folder / "result.pkl")
    *_, confusion = figures.write_class_files(measured, outcome.folder / "result")
    is_training = names.NTU["ntu60"].benchmarks["xsub"]
    trained = [subject for subject in SUBJECTS if is_training(names.NtuName(1, 1, subject, 1, 1))]
    return DemoResult(
        clips, summary.split_sizes["xsub_train"], summary.split_sizes["xsub_val"], len(trained),
        len(SUBJECTS) - len(trained), metrics.informative(measured.metrics, preset.model.num_classes), outcome.folder,
        outcome.folder / "result.pkl", confusion, time.monotonic() - began,
    )  # fmt: skip
