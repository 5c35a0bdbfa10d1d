"""`stgcn runs`: the runs there are."""

import dataclasses
import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from stgcn_cli.cli import console, options
from stgcn_cli.errors import UsageError

if TYPE_CHECKING:
    from stgcn_cli.runs.overview import RunRow

_COLUMNS = ["run", "preset", "data", "lr", "seed", "epochs", "best top-1", "at epoch", "state", "written"]
_OPTIONAL = ["written", "seed", "at epoch", "data", "preset"]  # in a narrow terminal


def runs(
    folders: Annotated[
        list[Path] | None, Argument(help="Run folders, or folders of runs.", show_default="./runs")
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """List runs: preset, data, epochs, best result, state.

    Example: stgcn runs
    """
    from stgcn_cli.runs.overview import overview

    roots = folders or [Path("runs")]
    if missing := next((path for path in folders or () if not path.is_dir()), None):
        raise UsageError(f"{missing} is not a folder.", "Give run folders, or folders that hold runs: stgcn runs runs")
    rows = overview(roots)
    if as_json:
        console.print_json(list(map(dataclasses.asdict, rows)))
        return
    if not rows:
        console.note(f"No runs in {', '.join(map(str, roots))}. Start one: stgcn train PRESET")
        return
    console.table("Runs, newest first", _COLUMNS, [_cells(row) for row in rows], optional=_OPTIONAL)
    stopped = next((row for row in rows if row.state == "stopped"), None)
    if stopped:
        console.note(f"Resume: stgcn train --resume {stopped.folder}")
    if len(rows) > 1:
        console.note(f"Compare: stgcn report {rows[0].folder} {rows[1].folder} --out comparison.html")


def _cells(row: "RunRow") -> list[object]:
    written = datetime.datetime.fromtimestamp(row.written).strftime("%Y-%m-%d %H:%M")
    best = ["-", "-"] if row.best is None else [f"{100 * row.best:.2f} %", row.best_epoch]
    data = ", ".join(path.name for path in row.data) or "?"
    seed = "?" if row.seed is None else row.seed
    lr = "?" if row.lr is None else f"{row.lr:g}"
    return [row.folder, row.preset, data, lr, seed, f"{row.epochs}/{row.of or '?'}", *best, row.state, written]
