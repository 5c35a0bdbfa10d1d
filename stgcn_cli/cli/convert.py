"""`stgcn data convert | merge`: files of any kind -> annotation pickles."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from stgcn_cli.cli import console, options
from stgcn_cli.errors import UsageError
from stgcn_cli.io.text import nearest, nearest_file

if TYPE_CHECKING:
    from stgcn_cli.data.convert.writer import ConversionResult
    from stgcn_cli.data.output import Target

_LISTED = 10  # things left out that are shown
_FOLDERS = "folders"  # --classes folders

_Out = Annotated[Path, Option(help="The annotation pickle to write; its preset goes beside it, as .toml.")]
_Format = Annotated[
    Literal["single", "list"], Option(help="single: one file with all splits; list: OUT_train.pkl, OUT_val.pkl.")
]
_NoPreset = Annotated[bool, Option("--no-preset", help="Write no preset.")]
_Force = Annotated[bool, Option("--force", help="Overwrite existing files.")]


def convert(
    inputs: Annotated[
        list[str],
        Argument(
            metavar="INPUT",
            help="Files, folders or globs: .skeleton (or a zip of them), .pkl, .npy, .npz, .csv, pose JSON.",
        ),
    ],
    out: _Out,
    source_format: options.FromOption = None,
    format: _Format = "single",
    classes: Annotated[
        str | None,
        Option(
            metavar="PATH|folders",
            help="File of class names, one per line; or folders: INPUT/CLASS/... holds the clips of a class.",
        ),
    ] = None,
    labels: Annotated[Path | None, Option(help="CSV with the header name,label[,subject].")] = None,
    val_subjects: Annotated[str | None, Option(help="Subjects of the validation split: 6,7,8")] = None,
    val_list: Annotated[
        Path | None, Option(help="File with the clips of the validation split, one name per line.")
    ] = None,
    val_fraction: Annotated[
        float | None,
        Option(help="Share of the validation split, whole subjects where known. Default: 0.2", min=0, max=1),
    ] = None,
    seed: Annotated[int, Option(help="Seed of the random split for --val-fraction.", min=0)] = 0,
    split: Annotated[str | None, Option(help="Put all clips into one split of this name.")] = None,
    layout: options.LayoutOption = None,
    max_persons: options.MaxPersonsOption = None,
    image_size: options.ImageSizeOption = None,
    pre_normalize: Annotated[
        Literal["auto", "ntu", "none"],
        Option(help="ntu: centre and rotate 25 Kinect joints; none: leave as they are; auto: ntu for raw ones."),
    ] = "auto",
    axes: options.AxesOption = None,
    score_last: options.ScoreLastOption = None,
    skip_bad: Annotated[bool, Option("--skip-bad", help="Skip unusable clips with a warning.")] = False,
    no_preset: _NoPreset = False,
    force: _Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write an annotation pickle of your own clips.

    Example: stgcn data convert clips/ --classes folders --out own.pkl

    With one folder for each class: --classes folders. A preset to train with goes beside the pickle. Frames without a
    person are zeros.

    A CSV has a row for each joint: clip,frame,person,joint,x,y[,z][,score][,label][,subject]
    """
    from stgcn_cli.data.convert.collect import Rules
    from stgcn_cli.data.convert.convert import ConvertOptions
    from stgcn_cli.data.convert.convert import convert as make
    from stgcn_cli.data.convert.labels import read_labels, read_names
    from stgcn_cli.data.convert.split import division

    target = _target(out, format, no_preset, force, layout, labels, val_list, classes)
    folders = classes == _FOLDERS
    read_as = options.reading(
        axes=axes, score_last=score_last, image_size=image_size, layout=layout, max_persons=max_persons,
        format=source_format,
    )  # fmt: skip
    if labels and folders:
        raise UsageError("--labels and --classes folders both say the labels.", "Give one of them.")
    table = read_labels(labels) if labels else None
    rules = Rules(labels=table, from_folders=folders, pre_normalize=pre_normalize, options=read_as)
    if classes and not folders and not Path(classes).exists():
        hint = "Give a file with one name a line, or --classes folders: then INPUT/CLASS/... is of that class."
        meant = nearest(classes, [_FOLDERS]) or nearest_file(Path(classes))
        raise UsageError(f"List of classes {classes} not found.{meant}", hint)
    names = read_names(Path(classes)) if classes and not folders else None
    divided = division(val_subjects, val_list, val_fraction, split, seed)
    converting = ConvertOptions(
        inputs=inputs,
        target=target,
        rules=rules,
        division=divided,
        names=names,
        skip_bad=skip_bad,
    )
    _render(make(converting, console.reporter()), out, as_json)


def merge(
    files: Annotated[list[Path], Argument(metavar="FILE", help="Annotation pickles of either dialect.")],
    out: _Out,
    format: _Format = "single",
    classes: Annotated[
        list[Path] | None, Option(help="Class names of each FILE, in order; repeatable. Default: those in FILE.toml.")
    ] = None,
    layout: options.LayoutOption = None,
    no_preset: _NoPreset = False,
    force: _Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Merge annotation pickles into one.

    Example: stgcn data merge a.pkl b.pkl --out c.pkl

    Classes are merged by name where the files have names, else by number. Splits of one name become one.
    """
    from stgcn_cli.data.convert.convert import MergeOptions
    from stgcn_cli.data.convert.convert import merge as make
    from stgcn_cli.data.convert.labels import read_names

    target = _target(out, format, no_preset, force, layout, *(classes or ()))
    names = [read_names(path) for path in classes or ()]
    _render(make(MergeOptions(files=files, target=target, names=names), console.reporter()), out, as_json)


def _target(
    out: Path, format: str, no_preset: bool, force: bool, layout: str | None, *others: Path | str | None
) -> "Target":
    """Where to write; `others` are files that are read besides the inputs."""
    from stgcn_cli.config.skeletons import find_layout
    from stgcn_cli.data.output import Target

    console.set_results_aside(out)
    also_read = tuple(Path(word) for word in (layout, *others) if word and Path(word).is_file())
    return Target(out, format, not no_preset, force, find_layout(layout) if layout else None, also_read)


def _render(result: "ConversionResult", out: Path, as_json: bool) -> None:
    if as_json:
        console.print_json(asdict(result))
    else:
        console.table(str(out), ["", ""], _rows(result))
        if result.left_out:
            more = len(result.left_out) - _LISTED
            rows = [*result.left_out[:_LISTED], *([("...", f"and {more:,} more: --json")] if more > 0 else [])]
            console.gap()
            console.table("Left out", ["what", "why"], rows)
    for warning in result.warnings:
        console.warn(warning)
    if not as_json:
        console.note(f"Next: {result.next}")


def _rows(result: "ConversionResult") -> list[list[object]]:
    shortest, median, longest = result.frames
    splits = ", ".join(f"{split} {count:,}" for split, count in result.splits.items()) or "none"
    counts = result.class_counts
    few = f", {min(counts):,} to {max(counts):,} clips each" if counts else ""
    few = few if len(set(counts)) != 1 else f", {counts[0]:,} clips each"
    rows: list[list[object]] = [
        ["clips", f"{result.clips:,}"],
        ["classes", f"{len(result.classes):,}{few}"],
        ["skeleton", result.skeleton + (f": {result.layout}" if result.layout else "")],
        ["frames a clip", f"{shortest} to {longest}, median {median}"],
        ["persons", f"at most {result.persons}"],
        ["splits", f"{splits} ({result.divided})"],
    ]
    rows[3:3] = [["read as", line] for line in result.axes]
    return rows + [["written", file] for file in result.files]
