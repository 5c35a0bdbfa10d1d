"""Runs at a glance: what `stgcn runs` lists, from the files of each run folder."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stgcn_cli.config import presets
from stgcn_cli.errors import StgcnError
from stgcn_cli.io import locks
from stgcn_cli.runs import folder as run_folders
from stgcn_cli.runs import settings
from stgcn_cli.runs.log import is_number, numbers_of, read_log


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run. `best` is its best validation top-1 accuracy (fraction), `state` finished, training or stopped."""

    folder: Path
    preset: str
    data: tuple[Path, ...]
    epochs: int
    of: int  # epochs of the preset, 0 when unknown
    best: float | None
    best_epoch: int | None
    lr: float | None  # of the preset
    seed: int | None
    state: str
    written: float  # seconds since 1970


def overview(roots: Sequence[Path]) -> list[RunRow]:
    """Return the runs in `roots`, each a run folder or a folder of runs; the one last written to first."""
    found: dict[Path, None] = {}
    for root in roots:
        found |= dict.fromkeys([root] if run_folders.is_run(root) else run_folders.list_runs(root))
    return sorted(map(_row, found), key=lambda row: row.written, reverse=True)


def _row(folder: Path) -> RunRow:
    preset, recorded, log = None, settings.recorded(folder), numbers_of(read_log(folder / "log.jsonl"))
    with contextlib.suppress(StgcnError):
        preset = presets.load(str(folder / "preset.toml"))
    checks = [record for record in log if record["mode"] == "val" and is_number(record.get("top1_acc"))]
    best = max(checks, key=lambda record: record["top1_acc"], default=None)
    epochs = max((record["epoch"] for record in log if record["mode"] == "epoch"), default=0)
    of = preset.train.epochs if preset else 0
    state = "training" if locks.is_held(folder / run_folders.NAME) else "stopped"
    return RunRow(
        folder=folder, preset=preset.name if preset else "?", data=recorded["data"], epochs=epochs, of=of,
        best=best["top1_acc"] if best else None, best_epoch=best["epoch"] if best else None,
        lr=preset.optim.lr if preset else None, seed=recorded.get("seed"),
        state="finished" if of and epochs >= of else state, written=run_folders.last_written(folder),
    )  # fmt: skip
