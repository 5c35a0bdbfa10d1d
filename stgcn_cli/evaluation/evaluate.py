"""Evaluate what the user asked for: find preset, file and split, and compute the scores."""

from pathlib import Path

from stgcn_cli.config import catalog, presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data import preflight
from stgcn_cli.data.locations import find_pickles
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.evaluation.score import EvalPlan, EvalResult, evaluate_in_world, read_model
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.runs import exported, settings
from stgcn_cli.runs.exported import ExportedModel
from stgcn_cli.runs.resolve import EvalOptions, locate, preset_of, with_metrics
from stgcn_cli.runtime.devices import processes, resolve_device
from stgcn_cli.runtime.distributed import LaunchConfig, launch
from stgcn_cli.runtime.precision import resolve_precision
from stgcn_cli.runtime.rendezvous import failing_together


def evaluate(request: EvalOptions, reporter: Reporter) -> EvalResult | None:
    """Return scores and metrics. None on the ranks of a joined world that do not speak. Raises StgcnError."""
    with failing_together():
        gpus = processes(request.device, request.gpus if request.gpus != 1 else None)
        device = resolve_device(request.device, gpus, reporter.warn)
        place = LaunchConfig(device, gpus)
        reporter = reporter if place.is_first else SILENT
        precision = resolve_precision(request.precision, device, training=False)
        found = data_of_published(request, reporter)
        path = locate(request, reporter)
        if exported.is_exported(path):
            exported.check_options(request)
        read = read_model(path, device if place.world == 1 else "cpu")
        if isinstance(read, ExportedModel):
            preset = with_metrics(read.about.preset, request.metrics)
        else:
            preset = preset_of(read, request, reporter)
        pickles, split = found or open_data(
            preset, request, request.data or _data_of_run(path.parent, reporter), reporter
        )
        for warning in preflight.check(preset, split, training=False) + preflight.findings(preset, [split]):
            reporter.warn(warning)
        plan = EvalPlan(
            preset=preset,
            checkpoint=path,
            pickles=pickles,
            split=split.name,
            precision=precision,
            batch_size=request.batch_size,
            reporter=reporter,
            read=read if place.world == 1 else None,
        )
    return launch(evaluate_in_world, plan, place)


def open_data(
    preset: Preset, request: EvalOptions, given: tuple[Path, ...], reporter: Reporter
) -> tuple[tuple[Path, ...], Split]:
    """The annotation files and the split to evaluate. Raises DataError for missing ones."""
    wanted = request.split or preset.data.val
    pickles = tuple(find_pickles(preset.data.dataset, (wanted,), given))
    return pickles, find_split(open_stores(pickles, reporter), wanted, whole_lists=request.split is None)


def data_of_published(request: EvalOptions, reporter: Reporter) -> tuple[tuple[Path, ...], Split] | None:
    """What `open_data` gives for published weights, before they are downloaded; None for a file. Raises DataError."""
    entry = None if Path(request.checkpoint).exists() else catalog.find(request.checkpoint)
    if entry is None:
        return None
    return open_data(presets.load(request.preset or entry.preset, request.settings), request, request.data, reporter)


def _data_of_run(folder: Path, reporter: Reporter) -> tuple[Path, ...]:
    """Return the annotations that a run was trained on, for a checkpoint in its folder; empty where they are gone."""
    found = tuple(path for path in settings.recorded(folder)["data"] if path.is_file())
    if found:
        reporter.note(f"Data of the run: {', '.join(map(str, found))}. Choose others with --data.")
    return found
