"""`stgcn data inspect`: what is in a file."""

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from stgcn_cli import console

_WIDTH, _LISTED, _SPLITS = 40, 10, 4  # characters of a bar; unusable records shown; splits with a column of their own


def inspect(
    inputs: Annotated[list[str], Argument(metavar="FILE", help="Annotation pickles, or files to convert.")],
    classes: Annotated[Path | None, Option(help="Class names, one a line. Default: those in FILE.toml.")] = None,
    as_json: Annotated[bool, Option("--json", help="For scripts.")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only warnings and results.")] = False,
) -> None:
    """Show what is in a file: clips, classes, lengths, gaps.

    Example: stgcn data inspect own.pkl
    """
    console.set_quiet(quiet)
    from stgcn_cli.data.own.class_names import read_names
    from stgcn_cli.data.own.survey import survey

    names = read_names(classes) if classes else None
    found = [survey(word, names, console.screen()) for word in inputs]
    if as_json:
        console.print_json({"files": found})
        return
    for index, facts in enumerate(found):
        if index:
            console.gap()
        _render(facts)


def _render(facts: dict[str, Any]) -> None:
    console.table(facts["source"], ["", ""], _rows(facts))
    if facts["splits"]:
        lost = ["names without a record"] if facts["missing_names"] else []
        _table("Splits", ["split", "clips", "classes", *lost], _splits(facts))
    if facts["classes"]:
        shown = list(facts["splits"]) if 1 < len(facts["splits"]) <= _SPLITS else []
        named = ["name"] if any(each["name"] for each in facts["classes"]) else []
        rows = [
            [
                each["label"],
                *([each["name"]] if named else []),
                f"{each['clips']:,}",
                *(f"{each['splits'][s]:,}" for s in shown),
            ]
            for each in facts["classes"]
        ]
        _table("Classes", ["label", *named, "clips", *shown], rows)
    if len(facts["histogram"]) > 1:
        _table("Lengths", ["frames", "clips", ""], _bars(facts["histogram"]))
    if bad := facts["unusable"]:
        more = [[f"and {len(bad) - _LISTED:,} more", "see --json"]] if len(bad) > _LISTED else []
        _table("Not usable", ["record", "cause"], [[*each.values()] for each in bad[:_LISTED]] + more)


def _table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """One below others."""
    console.gap()
    console.table(title, columns, rows)


def _rows(f: dict[str, Any]) -> list[list[object]]:
    rows: list[list[object]] = [
        ["holds", f["kind"]],
        ["clips", f"{f['clips']:,}" + (f", {len(f['unusable']):,} of them not usable" if f["unusable"] else "")],
    ]
    if not f["lengths"]:
        return rows
    length, empty = f["lengths"], f["frames_without_anybody"]
    hidden = f", {f['hidden_labels']:,} clips without a label" if f["hidden_labels"] else ""
    images: list[list[object]] = [["image size", _counted(f["image_sizes"])]] if f["image_sizes"] else []
    return [
        *rows,
        ["skeleton", _counted(f["skeletons"]) + (f": {f['layout']}" if f["layout"] else "; no built-in layout fits")],
        ["type", _counted(f["dtypes"])],
        *images,
        ["classes", f"{len(f['classes']):,}{hidden}"],
        [
            "frames a clip",
            f"{length['min']} to {length['max']}, median {length['median']}; 95 % at most {length['most']}",
        ],
        ["persons a clip", ", ".join(f"{n} (in {clips:,})" for n, clips in f["persons"].items())],
        ["without anybody", f"{empty:,} of {f['frames']:,} frames{_share(empty / f['frames'])}"],
        ["missing joints", _missing(f)],
        ["values", ", ".join(f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in f["values"].items()) or "-"],
        ["NaN or infinite", f"values: {f['not_finite']:,}" if f["not_finite"] else "none"],
        ["clips twice", _named(f["twice"])],
        ["several labels", _named(f["several_labels"])],
    ]


def _counted(counts: dict[str, int]) -> str:
    """What there is; with counts where there is more than one."""
    if len(counts) == 1:
        return next(iter(counts))
    shown = [f"{what} ({count:,})" for what, count in list(counts.items())[:3]]
    return ", ".join(shown) + (f" and {len(counts) - 3} more" if len(counts) > 3 else "")


def _share(share: float) -> str:
    return f" ({100 * share:.1f} %)" if share else ""


def _missing(f: dict[str, Any]) -> str:
    if f["missing_joints"] is None:
        return "-"
    most = ", ".join(f"{joint} {100 * share:.1f} %" for joint, share in f["missing_most"].items())
    always = ", ".join(f["always_zero"])
    zero = f"; always zero: {always} (the origin, or never recorded)" if always else ""
    return f"{100 * f['missing_joints']:.1f} %" + (f"; most: {most}" if most else "") + zero


def _named(found: dict[str, Any]) -> str:
    if not found:
        return "none"
    return f"{len(found):,}: {', '.join(list(found)[:3])}" + (", ..." if len(found) > 3 else "")


def _splits(f: dict[str, Any]) -> list[list[Any]]:
    lost = f["missing_names"]
    return [
        [split, f"{counts['clips']:,}", counts["classes"], *([f"{lost.get(split, 0):,}"] if lost else [])]
        for split, counts in f["splits"].items()
    ]


def _bars(rows: list[dict[str, int]]) -> list[list[str]]:
    most = max(row["clips"] for row in rows)
    return [
        [_span(row["from"], row["to"]), f"{row['clips']:,}", "#" * -(-row["clips"] * _WIDTH // most)] for row in rows
    ]


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"
