"""`stgcn fuse`: several results added up, and measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from stgcn_cli.cli import console, options
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.outputs import OutputRule

if TYPE_CHECKING:
    from stgcn_cli.evaluation.fuse import FuseOptions, Fusion


def fuse(
    results: Annotated[list[Path], Argument(help="Result files (.pkl, .npz, .json, .csv) or run folders.")],
    weights: Annotated[
        str | None, Option(metavar="W:W", help="One number per result, for example 2:2:1:1. Default: equal.")
    ] = None,
    softmax: Annotated[bool, Option("--softmax", help="Turn logits into probabilities first.")] = False,
    search: Annotated[
        bool, Option("--search", help="Find the weights on one half of the clips; evaluate the other half.")
    ] = False,
    data: Annotated[list[Path] | None, Option("--data", help="Annotations with the labels; repeatable.")] = None,
    split: Annotated[str | None, Option(help="Split of the annotations. Default: the split of the results.")] = None,
    metrics: options.Metrics = None,
    preset: Annotated[
        str | None,
        Option("--preset", "-p", help="Class names and metrics for bare lists.", autocompletion=options.presets),
    ] = None,
    out: Annotated[
        Path | None, Option(help="Write the fused scores (.pkl, .npz, .json, .csv), classes and confusions.")
    ] = None,
    per_class: Annotated[bool, Option("--per-class", help="Also show the accuracy of each class.")] = False,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fuse the scores of several results, and evaluate the sum.

    Example: stgcn fuse joint.npz bone.npz --weights 2:1
    """
    options.check_there(DataError, results, "Make a result: stgcn eval CHECKPOINT --out FILE")
    from stgcn_cli.data.locations import data_folder
    from stgcn_cli.evaluation import fuse as fusing
    from stgcn_cli.evaluation import results as files
    from stgcn_cli.viz import figures

    if out:
        console.set_results_aside(out)
        rule = OutputRule(inputs=[*results, *(data or [data_folder()])], command="eval", force=force)
        out = figures.place_result(out, rule)  # refused before the work
    request = fusing.FuseOptions(
        inputs=tuple(results), weights=_weights(weights), softmax=softmax, search=search,
        data=tuple(data or ()), split=split, preset=preset, metrics=options.metric_names(metrics),
    )  # fmt: skip
    fusion = fusing.fuse(request, console.reporter())
    written: list[Path] = []
    if out:
        files.write(fusion.result, out)
        written = [out, *figures.write_class_files(fusion.result, out.with_suffix(""))]
    if as_json:
        _print_json(fusion, request, written)
    else:
        _show(fusion, request, per_class)
        for path in written:
            console.note(f"Wrote {path}")


def _weights(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(map(float, text.split(":"))) if text else ()
    except ValueError:
        raise UsageError(f"--weights {text}: expected numbers with colons between, for example 2:1.") from None


def _print_json(fusion: "Fusion", request: "FuseOptions", written: list[Path]) -> None:
    from stgcn_cli.evaluation import results as files

    singles = [
        {"result": str(path), "weight": weight, **single.metrics}
        for path, weight, single in zip(request.inputs, fusion.weights, fusion.singles, strict=True)
    ]
    equal = {"equal_weights": fusion.equal.metrics} if fusion.equal else {}
    console.print_json(
        {"split": fusion.result.split, "clips": len(fusion.result.labels), "measured_on": fusion.measured_on,
         "weights": fusion.weights, "singles": singles, **equal, "fusion": fusion.result.metrics,
         "per_class": files.per_class(fusion.result), "files": [str(path) for path in written]}
    )  # fmt: skip


def _show(fusion: "Fusion", request: "FuseOptions", per_class: bool) -> None:
    from stgcn_cli.evaluation import results as files
    from stgcn_cli.evaluation.metrics import informative

    classes = fusion.result.preset.model.num_classes
    names = list(informative(fusion.result.metrics, classes))
    lines = [
        (str(path), f"{weight:g}", single.metrics)
        for path, weight, single in zip(request.inputs, fusion.weights, fusion.singles, strict=True)
    ]
    if fusion.equal:
        lines.append(("equal weights", "", fusion.equal.metrics))
    lines.append(("fusion", ":".join(f"{weight:g}" for weight in fusion.weights), fusion.result.metrics))
    rows = [[name, weight, *(f"{100 * values[key]:.2f} %" for key in names)] for name, weight, values in lines]
    title = f"{fusion.measured_on:,} clips of {fusion.result.split}"
    console.table(title, ["result", "weight", *names], rows)
    if fusion.equal:
        console.note(
            f"The weights were found on the other {len(fusion.result.labelled.labels) - fusion.measured_on:,} clips."
        )
    if per_class:
        console.gap()
        rows = [[row["name"], row["clips"], f"{100 * row['accuracy']:.2f} %"] for row in files.per_class(fusion.result)]
        console.table("Per class, all clips", ["class", "clips", "accuracy"], rows)
