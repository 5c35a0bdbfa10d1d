"""Evaluate what the user asked for: find preset, file and split, and compute the scores."""

from pathlib import Path

from stgcn_cli.config import catalog, presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data import preflight
from stgcn_cli.data.locations import find_pickles
from stgcn_cli.data.splits import find_split, open_stores
from stgcn_cli.evaluation.score import EvalPlan, EvalResult, evaluate_in_world
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.runs import checkpoint as checkpoints
from stgcn_cli.runs import exported, settings
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
        _find_data_first(request)
        path = locate(request, reporter)
        read, preset = None, exported_preset(path, request)
        if preset is None:
            read = checkpoints.read(path)
            preset = preset_of(read, request, reporter)
        wanted = request.split or preset.data.val
        given = request.data or _data_of_run(path.parent, reporter)
        pickles = tuple(find_pickles(preset.data.dataset, (wanted,), given))
        with reporter.progress("read the annotations", None) as advance:
            split = find_split(
                open_stores(pickles, advance, note=reporter.warn), wanted, whole_lists=request.split is None
            )
        for warning in preflight.check(preset, split, training=False) + preflight.findings(preset, [split]):
            reporter.warn(warning)
        plan = EvalPlan(
            preset=preset,
            checkpoint=path,
            pickles=pickles,
            split=wanted,
            precision=precision,
            batch_size=request.batch_size,
            reporter=reporter,
            read=read if place.world == 1 else None,
        )
    return launch(evaluate_in_world, plan, place)


def exported_preset(path: Path, request: EvalOptions) -> Preset | None:
    """The preset of an exported model; None for a checkpoint. Raises UsageError for what an export cannot change."""
    if not exported.is_exported(path):
        return None
    exported.check_options(request)
    return with_metrics(exported.read(path)[1].preset, request)


def _find_data_first(options: EvalOptions) -> None:
    """Raise DataError for missing annotations before published weights are downloaded."""
    entry = None if Path(options.checkpoint).exists() else catalog.find(options.checkpoint)
    if entry:
        data = presets.load(options.preset or entry.preset, options.settings).data
        find_pickles(data.dataset, (options.split or data.val,), options.data)


def _data_of_run(folder: Path, reporter: Reporter) -> tuple[Path, ...]:
    """Return the annotations that a run was trained on, for a checkpoint in its folder; empty where they are gone."""
    found = tuple(path for path in settings.recorded(folder)["data"] if path.is_file())
    if found:
        reporter.note(f"Data of the run: {', '.join(map(str, found))}. Choose others with --data.")
    return found


def place_for_pictures(checkpoint: Path, out: Path | None, split: str) -> Path:
    """The stem for the per-class table and the confusion matrix: that of --out, else beside a checkpoint of a run."""
    if out:
        return out.with_suffix("")
    name = f"{checkpoint.stem}.{split}"
    return checkpoint.parent / name if (checkpoint.parent / "preset.toml").is_file() else Path(name)
