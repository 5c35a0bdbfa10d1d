"""`stgcn data`: your own data, from files of any format to an annotation pickle that trains."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from stgcn_cli.cli import console, options
from stgcn_cli.cli.commands import Command
from stgcn_cli.cli.convert import convert, merge
from stgcn_cli.errors import DataError
from stgcn_cli.io.text import some

if TYPE_CHECKING:
    from stgcn_cli.data.facts import Facts

_WIDTH, _LISTED, _SPLITS = 40, 10, 4  # characters of a bar; unusable records shown; splits with a column of their own


def inspect(
    inputs: Annotated[list[str], Argument(metavar="FILE", help="Annotation pickles, or files to convert.")],
    classes: Annotated[
        Path | None, Option(help="File of class names, one per line. Default: those in FILE.toml.")
    ] = None,
    axes: options.AxesOption = None,
    score_last: options.ScoreLastOption = None,
    image_size: options.ImageSizeOption = None,
    layout: options.LayoutOption = None,
    max_persons: options.MaxPersonsOption = None,
    source_format: options.FromOption = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show what a file contains: clips, classes, lengths, gaps.

    Example: stgcn data inspect own.pkl
    """
    from stgcn_cli.data.convert.labels import read_names
    from stgcn_cli.data.facts import survey

    names = read_names(classes) if classes else None
    read_as = options.reading(
        axes=axes, score_last=score_last, image_size=image_size, layout=layout, max_persons=max_persons,
        format=source_format,
    )  # fmt: skip
    found = [survey(word, names, console.reporter(), read_as) for word in inputs]
    if as_json:
        console.print_json({"files": [asdict(facts) for facts in found]})
        return
    for index, facts in enumerate(found):
        if index:
            console.gap()
        _render(facts)


def _render(facts: "Facts") -> None:
    console.table(facts.source, ["", ""], _rows(facts))
    if facts.splits:
        lost = ["names without a record"] if facts.missing_names else []
        _table("Splits", ["split", "clips", "classes", *lost], _splits(facts))
    if facts.classes:
        shown = list(facts.splits) if 1 < len(facts.splits) <= _SPLITS else []
        named = ["name"] if any(each["name"] for each in facts.classes) else []
        rows = [
            [
                each["label"],
                *([each["name"]] if named else []),
                f"{each['clips']:,}",
                *(f"{each['splits'][s]:,}" for s in shown),
            ]
            for each in facts.classes
        ]
        _table("Classes", ["label", *named, "clips", *shown], rows)
    if len(facts.histogram) > 1:
        _table("Lengths", ["frames", "clips", ""], _bars(facts.histogram))
    if bad := facts.unusable:
        more = [[f"and {len(bad) - _LISTED:,} more", "see --json"]] if len(bad) > _LISTED else []
        _table("Not usable", ["record", "cause"], [[*each.values()] for each in bad[:_LISTED]] + more)
    for line in facts.problems:
        console.warn(line)


def _table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """One below others."""
    console.gap()
    console.table(title, columns, rows)


def _rows(facts: "Facts") -> list[list[object]]:
    rows: list[list[object]] = [
        ["holds", facts.kind],
        ["clips", f"{facts.clips:,}" + (f", {len(facts.unusable):,} of them not usable" if facts.unusable else "")],
    ]
    if not facts.lengths:
        return rows
    length, empty, several = facts.lengths, facts.frames_without_anybody, facts.several_labels
    hidden = f", {facts.hidden_labels:,} clips without a label" if facts.hidden_labels else ""
    notes: list[list[object]] = [["read as", line] for line in facts.axes]
    notes += [["note", line] for line in facts.notes]
    images: list[list[object]] = [["image size", _counted(facts.image_sizes)]] if facts.image_sizes else []
    return [
        *rows,
        [
            "skeleton",
            _counted(facts.skeletons) + (f": {facts.layout}" if facts.layout else "; no built-in layout fits"),
        ],
        *notes,
        ["type", _counted(facts.dtypes)],
        *images,
        ["classes", f"{len(facts.classes):,}{hidden}"],
        [
            "frames a clip",
            f"{length['min']} to {length['max']}, median {length['median']}; 95 % at most {length['most']}",
        ],
        ["persons a clip", ", ".join(f"{n} (in {clips:,})" for n, clips in facts.persons.items())],
        [
            "without a person",
            f"{empty:,} of {facts.frames:,} frames" + (f" ({100 * empty / facts.frames:.1f} %)" if empty else ""),
        ],
        ["missing joints", _missing(facts)],
        ["values", ", ".join(f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in facts.values.items()) or "-"],
        ["NaN or infinite", _not_finite(facts)],
        ["clips twice", f"{len(facts.twice):,}: {some([*facts.twice], 3)}" if facts.twice else "none"],
        ["several labels", f"{len(several):,}: {some([*several], 3)}" if several else "none"],
    ]


def _not_finite(facts: "Facts") -> str:
    gaps = f"{facts.joints_with_nan:,} joints with NaN, taken as not seen" if facts.joints_with_nan else ""
    return gaps or (f"{facts.not_finite:,} values" if facts.not_finite else "none")


def _counted(counts: dict[str, int]) -> str:
    """What there is; with counts where there is more than one."""
    if len(counts) == 1:
        return next(iter(counts))
    return some([f"{what} ({count:,})" for what, count in counts.items()], 3)


def _missing(facts: "Facts") -> str:
    if facts.missing_joints is None:
        return "-"
    most = ", ".join(f"{joint} {100 * share:.1f} %" for joint, share in facts.missing_most.items())
    always = ", ".join(facts.always_zero)
    zero = f"; always zero: {always} (the origin, or never recorded)" if always else ""
    return f"{100 * facts.missing_joints:.1f} %" + (f"; most: {most}" if most else "") + zero


def _splits(facts: "Facts") -> list[list[Any]]:
    lost = facts.missing_names
    return [
        [split, f"{counts['clips']:,}", counts["classes"], *([f"{lost.get(split, 0):,}"] if lost else [])]
        for split, counts in facts.splits.items()
    ]


def _bars(rows: list[dict[str, int]]) -> list[list[str]]:
    most, bars = max(row["clips"] for row in rows), []
    for row in rows:
        first, last, clips = row["from"], row["to"], row["clips"]
        span = str(first) if first == last else f"{first} to {last}"
        bars.append([span, f"{clips:,}", "#" * -(-clips * _WIDTH // most)])
    return bars


# `stgcn data validate`: what is wrong in an annotation pickle.

_MOST = 10  # lines of one kind


def validate(
    file: Annotated[Path, Argument(help="An annotation pickle of either dialect; or any file or folder of clips.")],
    preset: Annotated[
        str | None,
        Option("--preset", "-p", help="Also check that this preset can use it.", autocompletion=options.presets),
    ] = None,
    settings: options.Settings = None,
    classes: Annotated[
        Path | None, Option(help="File of class names, one per line. Default: those in FILE.toml.")
    ] = None,
    verify: Annotated[
        bool, Option("--verify", help="Also check every byte of its working copy; a damaged one is rebuilt.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check every record of an annotation pickle.

    Example: stgcn data validate own.pkl

    Errors (exit code 3) stop training or make its figures false; warnings are odd but possible.
    """
    from stgcn_cli.data.convert import validate as validating
    from stgcn_cli.data.convert.labels import read_names

    request = validating.ValidateOptions(
        file=file,
        preset=preset,
        settings=tuple(settings or ()),
        names=read_names(classes) if classes else None,
        verify=verify,
    )
    found = validating.validate(request, console.reporter())
    following = validating.next_command(request, found)
    if as_json:
        console.print_json(found.as_dict() | {"next": following})
    else:
        for line in found.shortened(_MOST):
            console.say(line)
        console.say(f"{file}: {found.summary()}")
    if errors := found.count("error"):
        counted = "1 error" if errors == 1 else f"{errors:,} errors"
        raise DataError(f"{file} cannot be used as it is: {counted}.", f"Correct it, then: {following}")
    if not as_json:
        console.note(f"Next: {following}")


data = typer.Typer(
    help="Inspect, validate, convert and merge your own skeletons.\n\nExample: stgcn data convert clips/ --classes folders --out own.pkl",
    no_args_is_help=True,
)
data.command("inspect", cls=Command)(inspect)
data.command("validate", cls=Command)(validate)
data.command("convert", cls=Command)(convert)
data.command("merge", cls=Command)(merge)
