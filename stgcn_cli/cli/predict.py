"""`stgcn predict`: what a model says of skeletons in any file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from stgcn_cli.cli import console, options
from stgcn_cli.errors import UsageError
from stgcn_cli.io.outputs import OutputRule

if TYPE_CHECKING:
    from stgcn_cli.evaluation.results import Predictions


def predict(
    checkpoint: Annotated[
        str,
        Argument(
            help="A checkpoint file, or published weights by name (downloaded once).",
            autocompletion=options.checkpoints,
        ),
    ],
    inputs: Annotated[
        list[str],
        Argument(
            help="Skeletons: a .skeleton file, a zip or folder of them, an annotation pickle, .npy or .npz (T V C or "
            "M T V C), OpenPose, MMPose or COCO JSON, CSV, or a pattern in quotes."
        ),
    ],
    topk: Annotated[int, Option("--topk", "-k", help="Classes shown for each clip.", min=1)] = 3,
    out: Annotated[Path | None, Option(help="Write the predictions instead: .json or .csv.")] = None,
    preset: Annotated[
        str | None,
        Option(
            "--preset", "-p", help="When the checkpoint does not say, or against it.", autocompletion=options.presets
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        Option("--set", "--cfg-options", metavar="KEY=VALUE", help="Change the preset: --set data.clip_len=100"),
    ] = None,
    axes: options.AxesOption = None,
    score_last: options.ScoreLastOption = None,
    image_size: options.ImageSizeOption = None,
    layout: options.LayoutOption = None,
    batch_size: Annotated[int | None, Option(help="Clips computed at a time; changes speed only.", min=1)] = None,
    device: Annotated[str, Option(help="auto, cpu or cuda.", autocompletion=options.devices)] = "auto",
    precision: Annotated[
        str, Option(help="auto (float32), float32, tf32, bf16 or float64.", autocompletion=options.precisions)
    ] = "auto",
    base_url: Annotated[str | None, Option("--base-url", help="A mirror to download published weights from.")] = None,
    force: options.Force = False,
    as_json: Annotated[bool, Option("--json", help="For scripts.")] = False,
    as_csv: Annotated[bool, Option("--csv", help="One line a clip, for tables.")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only warnings and results.")] = False,
) -> None:
    """Name the action in skeletons of any file.

    Example: stgcn predict stgcn-demo/run/best.pth clip.skeleton
    """
    console.set_quiet(quiet)
    if as_json + as_csv + (out is not None) > 1:
        raise UsageError(
            "--json, --csv and --out exclude each other.", "--out FILE.json and --out FILE.csv write files."
        )
    from stgcn_cli.data.readers.inputs import expand
    from stgcn_cli.runs.resolve import EvalOptions, require

    read_as = options.reading(axes=axes, score_last=score_last, image_size=image_size, layout=layout)
    files = expand(inputs)  # missing files are refused before torch is imported
    require(checkpoint)
    from stgcn_cli.evaluation import results

    if out:
        results.check_name(out)  # before the work
        console.set_results_aside(out)
        out = OutputRule(
            inputs=[Path(checkpoint), *map(Path, [preset] if preset else []), *files], command="predict", force=force
        ).place(out)
    from stgcn_cli.evaluation.predict import predict

    wishes = EvalOptions(
        checkpoint=checkpoint, preset=preset, settings=tuple(settings or ()), batch_size=batch_size, device=device,
        precision=precision, base_url=base_url,
    )  # fmt: skip
    said = predict(inputs, wishes, console.reporter(), read_as)
    for line in said.axes:
        console.note(f"Read as: {line}")
    for warning in said.warnings:
        console.warn(warning)
    _render(said, topk, out, as_json, as_csv)


def _render(said: "Predictions", topk: int, out: Path | None, as_json: bool, as_csv: bool) -> None:
    from stgcn_cli.evaluation import results

    if out:
        results.write_predictions(said, topk, out)
        console.note(f"Wrote {out}: {len(said.facts):,} {'clip' if len(said.facts) == 1 else 'clips'}")
    elif as_json:
        console.print_json(results.as_dict(said, topk))
    elif as_csv:
        console.say(results.as_csv(said, topk).rstrip("\n"))
    else:
        _table(said, topk)


def _table(said: "Predictions", topk: int) -> None:
    """One clip: a line a class. Several: a line a clip."""
    shown = [[(said.classes[index], f"{100 * share:.1f} %") for index, share in best] for best in said.top(topk)]
    if len(shown) == 1:
        facts, persons = said.facts[0], "person" if said.facts[0].persons == 1 else "persons"
        console.note(f"{facts.frames} frames, {facts.persons} {persons}, asked of {said.preset.name}")
        console.table(facts.name, ["class", "probability"], shown[0])
        return
    columns = ["clip", *(f"{place}." for place in range(1, len(shown[0]) + 1))]
    rows = [
        [facts.name, *(f"{share:>7} {name}" for name, share in best)]
        for facts, best in zip(said.facts, shown, strict=True)
    ]
    console.table(f"{said.preset.name}: the likeliest classes", columns, rows)
