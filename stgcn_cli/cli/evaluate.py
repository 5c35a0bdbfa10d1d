"""`stgcn eval`: scores and metrics of a checkpoint."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from stgcn_cli.cli import console, options
from stgcn_cli.errors import UsageError
from stgcn_cli.io.files import is_stream
from stgcn_cli.io.outputs import OutputRule

if TYPE_CHECKING:
    from stgcn_cli.evaluation.compare import Comparison
    from stgcn_cli.evaluation.score import EvalResult
    from stgcn_cli.io.reporter import Reporter
    from stgcn_cli.runs.resolve import EvalOptions


def evaluate(
    checkpoint: Annotated[
        str,
        Argument(
            help="A checkpoint, published weights by name (downloaded once), or a saved result to measure again.",
            autocompletion=options.checkpoints,
        ),
    ],
    data: options.Data = None,
    split: Annotated[
        str | None,
        Option(help="Split to evaluate. Default: the validation split of the preset; all clips of a bare list."),
    ] = None,
    out: Annotated[Path | None, Option(help="Write the scores: .pkl (as MMAction2), .json, .csv or .npz.")] = None,
    metrics: options.Metrics = None,
    preset: options.Preset = None,
    settings: options.Settings = None,
    stream: options.Stream = None,
    batch_size: options.BatchSize = None,
    gpus: Annotated[int, Option(help="Processes on this machine, one per GPU.")] = 1,
    device: options.Devices = "auto",
    precision: options.Precision = "auto",
    base_url: options.BaseUrl = None,
    report: Annotated[bool, Option(help="Write a report page beside the table.")] = True,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    launcher: Annotated[str | None, Option(hidden=True)] = None,
    fuse_conv_bn: Annotated[bool, Option("--fuse-conv-bn", hidden=True)] = False,
    average_clips: Annotated[str | None, Option(hidden=True)] = None,
    gpu_collect: Annotated[bool, Option("--gpu-collect", hidden=True)] = False,
    tmpdir: Annotated[str | None, Option(hidden=True)] = None,
) -> None:
    """Evaluate a checkpoint: scores and metrics.

    Example: stgcn eval stgcn-demo/run/best.pth --data stgcn-demo --out result.pkl
    """
    options.note_unused({
        "--launcher": launcher, "--fuse-conv-bn": fuse_conv_bn, "--average-clips": average_clips,
        "--gpu-collect": gpu_collect, "--tmpdir": tmpdir,
    })  # fmt: skip
    wanted = options.metric_names(metrics)
    checkpoint, settings = options.with_stream(checkpoint, settings or [], stream)
    from stgcn_cli.data.locations import data_folder
    from stgcn_cli.evaluation.saved import is_result
    from stgcn_cli.runs import resolve

    is_saved = is_result(Path(checkpoint))
    if not is_saved:
        resolve.require(checkpoint)
    from stgcn_cli.evaluation import evaluate as evaluating
    from stgcn_cli.evaluation import results
    from stgcn_cli.viz import figures

    inputs = options.with_preset(checkpoint, preset, *(data or [data_folder()]))
    rule = OutputRule(inputs=inputs, command="eval", force=force)
    console.set_results_aside(out)
    if out:
        out = figures.place_result(out, rule)  # refused before the work
    request = resolve.EvalOptions(
        checkpoint=checkpoint, data=tuple(data or ()), split=split, preset=preset, settings=tuple(settings or ()),
        metrics=wanted, batch_size=batch_size, gpus=gpus, device=device, precision=precision, base_url=base_url,
    )  # fmt: skip
    reporter = console.reporter()
    result = _measured_again(request, reporter) if is_saved else evaluating.evaluate(request, reporter)
    if result is None:
        return
    if out:
        results.write(result, out)
        _warn_of_challenge(result)
    beside = [] if out and is_stream(out) else _write_beside(result, Path(checkpoint), out, rule, report)
    _render(result, [*([out] if out else []), *beside], as_json)


def _write_beside(
    result: "EvalResult", checkpoint: Path, out: Path | None, rule: OutputRule, report: bool
) -> list[Path]:
    """The table, the picture and the page beside the result; those that would replace a file of the user are left out."""
    from stgcn_cli.viz import figures
    from stgcn_cli.viz import report as reporting

    folder = checkpoint.parent if (checkpoint.parent / "preset.toml").is_file() else Path()  # of a run, or here
    stem = out.with_suffix("") if out else folder / f"{checkpoint.stem}.{result.split}"
    try:
        rule.check(*figures.files_beside(stem))
    except UsageError as error:
        console.warn(f"{error.message} {error.hint}")
        return []
    written = figures.write_class_files(result, stem)
    return written + (reporting.write_beside(result, stem, checkpoint.name, console.reporter()) if report else [])


def _measured_again(request: "EvalOptions", reporter: "Reporter") -> "EvalResult":
    """Measure a saved result, without a model. Raises UsageError for settings, which only a model can follow."""
    from stgcn_cli.evaluation import fuse

    if request.settings:
        raise UsageError("--set has no effect on saved scores.", "Evaluate the checkpoint again.")
    options = fuse.FuseOptions(
        inputs=(Path(request.checkpoint),), data=request.data, split=request.split, preset=request.preset,
        metrics=request.metrics,
    )  # fmt: skip
    return fuse.rescore(options, reporter)


def _render(result: "EvalResult", written: list[Path], as_json: bool) -> None:
    from stgcn_cli.evaluation import compare, results

    clips, known = len(result.labels), result.labelled
    comparison = compare.with_published(
        result.preset, result.split, len(known.labels), len(set(known.labels.tolist())), result.metrics
    )
    absent = results.classes_without_clips(result) if "top1_norm" in result.metrics else []
    if as_json:
        missing = {"classes_without_clips": absent} if absent else {}
        beside = missing | {"published": dataclasses.asdict(comparison)} if comparison else missing
        files = [str(path) for path in written]
        console.print_json(
            {"preset": result.preset.name, "split": result.split, "clips": clips, **result.metrics, "files": files}
            | beside
        )
        return
    _table(result, clips, comparison)
    if absent:
        console.note(
            f"top1_norm: the mean of {result.preset.model.num_classes - len(absent)} classes; BABEL's program gives NaN "
            f"here, since {len(absent)} classes have no clip: {', '.join(absent)}."
        )
    if len(known.labels) < clips:
        console.note(f"{clips - len(known.labels)} clips have no label; they are in the scores, not in the metrics.")
    for path in written:
        console.note(f"Wrote {path}")


def _warn_of_challenge(result: "EvalResult") -> None:
    """BABEL's challenge expects scores for every clip of its test split, in the order of its labels."""
    from stgcn_cli.data.prepare.babel import BABEL

    wanted = BABEL.get(result.preset.data.dataset, {}).get("test")
    if result.split == "test" and wanted and len(result.labels) != wanted:
        console.warn(
            f"BABEL's challenge expects the scores of {wanted:,} test clips; these are {len(result.labels):,}."
        )


def _table(result: "EvalResult", clips: int, comparison: "Comparison | None") -> None:
    from stgcn_cli.evaluation.compare import TOLERANCE
    from stgcn_cli.evaluation.metrics import informative

    title = f"{result.preset.name} on {result.split}"
    shown = informative(result.metrics, result.preset.model.num_classes)
    rows = [["clips", f"{clips:,}"], *([name, f"{100 * value:.2f} %"] for name, value in shown.items())]
    if comparison is None or not comparison.metrics:
        console.table(title, ["metric", "value"], rows)
        return
    words = {"within": f"within {TOLERANCE:g} points"}
    beside = {c.metric: [f"{100 * c.published:.2f} %", words.get(c.verdict, c.verdict)] for c in comparison.metrics}
    rows = [[*row, *beside.get(row[0], ["", ""])] for row in rows]
    console.table(title, ["metric", "value", "published", "compared"], rows)
    if comparison.released:
        console.note(comparison.released)
    if comparison.differs:
        console.note("Not as published, so compare with care: " + "; ".join(comparison.differs) + ".")
