"""`stgcn predict`: classify the skeletons in any file."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from stgcn_cli.cli import console, options
from stgcn_cli.errors import refuse_first
from stgcn_cli.io.files import atomic_write
from stgcn_cli.io.outputs import OutputRule, expect_suffix

if TYPE_CHECKING:
    from stgcn_cli.data.readers.parsing import Options as Reading
    from stgcn_cli.evaluation.predictions import Predictions
    from stgcn_cli.evaluation.timeline import WindowOptions
    from stgcn_cli.evaluation.windows import Timelines
    from stgcn_cli.runs.resolve import EvalOptions


def predict(
    checkpoint: options.Checkpoint,
    inputs: Annotated[
        list[str] | None,
        Argument(
            help="Skeletons: a .skeleton file, a zip or folder of them, an annotation pickle, .npy or .npz (T V C or "
            "M T V C), OpenPose, MMPose or COCO JSON, CSV, or a pattern in quotes."
        ),
    ] = None,
    topk: Annotated[int, Option("--topk", "-k", help="Classes shown for each clip.", min=1)] = 3,
    out: Annotated[
        Path | None, Option(help="Write the predictions instead: .json or .csv; with --window also .srt.")
    ] = None,
    features: Annotated[
        Path | None,
        Option(help="Also write the features before the head: .npz of features (N, 256), logits, names."),
    ] = None,
    window: options.Window = None,
    stride: options.Stride = None,
    smooth: Annotated[int, Option(help="Average over N windows; an odd number.", min=1)] = 1,
    min_score: Annotated[float, Option(help="Frames with a lower probability get no class.", min=0, max=1)] = 0.0,
    fps: Annotated[float, Option(help="Frames per second, for the times of --window.", min=0.1, max=1000)] = 30.0,
    stream: Annotated[
        bool, Option("--stream", help="Read one JSON frame per line from stdin and write JSON lines.")
    ] = False,
    every: Annotated[
        int, Option(help="With --stream: also answer every N frames.", min=0, show_default="changes only")
    ] = 0,
    preset: options.Preset = None,
    settings: options.Settings = None,
    axes: options.AxesOption = None,
    score_last: options.ScoreLastOption = None,
    image_size: options.ImageSizeOption = None,
    layout: options.LayoutOption = None,
    max_persons: options.MaxPersonsOption = None,
    source_format: options.FromOption = None,
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    base_url: options.BaseUrl = None,
    force: options.Force = False,
    as_json: options.Json = False,
    as_csv: Annotated[bool, Option("--csv", help="Print CSV: one line per clip.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict the action in skeleton files.

    Example: stgcn predict stgcn-demo/run/best.pth clip.skeleton
    """
    as_file, in_windows = out is not None or as_json or as_csv, stream or window
    like = "For example: --window 64 --stride 16"
    later = next((word for word in inputs or () if word.endswith((".pth", ".onnx", ".pt2"))), None)
    refuse_first(
        (as_json + as_csv + (out is not None) > 1, "--json, --csv and --out exclude each other.",
         "--out FILE.json and --out FILE.csv write files."),
        (stream and inputs, "--stream reads stdin; it takes no INPUT.",
         "For example: camera.py | stgcn predict MODEL --stream"),
        (stream and as_file, "--stream writes JSON lines to stdout; --out, --json and --csv are for clips.",
         "For example: --stream > FILE"),
        (not stream and not inputs, "Missing input.",
         "For example: stgcn predict best.pth clip.npy, or --stream for stdin."),
        (features and in_windows, "--features is for whole clips, not for --window and --stream.", ""),
        (stride and not in_windows, "--stride needs --window or --stream.", like),
        (smooth > 1 and not in_windows, "--smooth needs --window or --stream.", like),
        (min_score and not in_windows, "--min-score needs --window or --stream.", like),
        (every and not stream, "--every needs --stream.", ""),
        (later and not checkpoint.endswith((".pth", ".pt", ".onnx", ".pt2")), "The checkpoint comes before the clips.",
         f"Type: stgcn predict {later} {checkpoint}"),
    )  # fmt: skip
    from stgcn_cli.data.readers.units import list_units
    from stgcn_cli.runs.resolve import EvalOptions, require

    read_as = options.reading(
        axes=axes, score_last=score_last, image_size=image_size, layout=layout, max_persons=max_persons,
        format=source_format,
    )  # fmt: skip
    files = {
        unit.path for unit in list_units(inputs or [], read_as)
    }  # missing files are refused before torch is imported
    require(checkpoint)
    from stgcn_cli.evaluation import predictions

    form = ".json" if as_json else ".csv" if as_csv else ""  # of the text that is written; "" for a table
    rule = OutputRule(inputs=options.with_preset(checkpoint, preset, *files), command="predict", force=force)
    console.set_results_aside(out, features)
    if out:
        form = expect_suffix(out, (".json", ".csv", *([".srt"] if window else [])))  # before the work
        out = rule.place(out)
    if features:
        expect_suffix(features, (".npz",), "--features")
        features = OutputRule(inputs=rule.inputs, force=force).place(features)
    request = EvalOptions(
        checkpoint=checkpoint, preset=preset, settings=tuple(settings or ()), batch_size=batch_size, device=device,
        precision=precision, base_url=base_url,
    )  # fmt: skip
    from stgcn_cli.evaluation.timeline import WindowOptions

    windows = partial(WindowOptions, stride=stride or 0, smooth=smooth, min_score=min_score, fps=fps)
    if stream:
        _stream(request, window, windows, every, read_as)
        return
    if window:
        _windows(inputs or [], request, windows(window=window), read_as, out, form)
        return
    from stgcn_cli.evaluation.predict import predict

    found = predict(inputs or [], request, console.reporter(), read_as)
    _note(found)
    if features:
        predictions.write_features(found, features)
        console.note(f"Wrote {features}: {len(found.facts):,} x {found.features.shape[1]} features")
    if form:
        count = f"{len(found.facts):,} {'clip' if len(found.facts) == 1 else 'clips'}"
        _give(predictions.WRITERS[form](found, topk), out, count)
    else:
        _table(found, topk)


def _give(text: str, out: Path | None, count: str) -> None:
    """Write the text of a file to --out, else print it."""
    if out is None:
        console.say(text.rstrip("\n"))
        return
    with atomic_write(out, "w") as stream:
        stream.write(text)
    console.note(f"Wrote {out}: {count}")


def _note(found: "Predictions | Timelines") -> None:
    for line in found.axes:
        console.note(f"Read as: {line}")
    for warning in found.warnings:
        console.warn(warning)


def _windows(
    inputs: list[str],
    request: "EvalOptions",
    given: "WindowOptions",
    read_as: "Reading",
    out: Path | None,
    form: str,
) -> None:
    from stgcn_cli.evaluation import windows

    found = windows.predict_windows(inputs, request, given, console.reporter(), read_as)
    _note(found)
    segments = windows.rows(found)
    if form:
        _give(windows.WRITERS[form](found), out, f"{len(segments):,} segments")
        return
    rows = [
        [row["clip"], row["person"], f"{row['start']}-{row['end']}", f"{row['start_s']:.2f}-{row['end_s']:.2f} s",
         row["name"], f"{100 * float(str(row['score'])):.1f} %"]
        for row in segments
    ]  # fmt: skip
    console.table("Timeline", ["clip", "person", "frames", "time", "class", "probability"], rows)


def _stream(
    request: "EvalOptions", window: int | None, options: "partial[WindowOptions]", every: int, read_as: "Reading"
) -> None:
    import json
    import sys

    from stgcn_cli.evaluation import live
    from stgcn_cli.evaluation.predict import load

    reporter = console.reporter()
    predictor = load(dataclasses.replace(request, image_size=read_as.image_size), reporter)
    windows = options(window=window or predictor.preset.data.clip_len or 64)
    state = live.Live(predictor, live.LiveOptions(windows=windows, every=every, reading=read_as))
    console.note(f"Reading frames from stdin: windows of {windows.window} frames, every {windows.stride}.")
    lines = (line.decode("utf-8", "replace") for line in iter(lambda: sys.stdin.buffer.readline(live.LONGEST + 1), b""))

    def write(answer: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    try:
        for answer in live.stream(state, lines, reporter):
            write(answer)
    except KeyboardInterrupt:
        for answer in state.end():
            write(answer)
        raise


def _table(found: "Predictions", topk: int) -> None:
    """One clip: a line a class. Several: a line a clip."""
    from stgcn_cli.evaluation.predictions import top

    best = top(found.scores, topk)
    shown = [[(found.classes[index], f"{100 * share:.1f} %") for index, share in each] for each in best]
    if len(shown) == 1:
        facts, persons = found.facts[0], "person" if found.facts[0].persons == 1 else "persons"
        console.note(f"{facts.frames} frames, {facts.persons} {persons}; model {found.preset.name}")
        console.table(facts.name, ["class", "probability"], shown[0])
        return
    columns = ["clip", *(f"{place}." for place in range(1, len(shown[0]) + 1))]
    rows = [
        [facts.name, *(f"{share:>7} {name}" for name, share in best)]
        for facts, best in zip(found.facts, shown, strict=True)
    ]
    console.table(f"{found.preset.name}: the most likely classes", columns, rows)
