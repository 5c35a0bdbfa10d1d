"""The checkpoints that a run resumes from: last.pth, the one before it, and the choice when one is damaged."""

import contextlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgcn_cli.errors import CheckpointError
from stgcn_cli.io.text import shown
from stgcn_cli.runs import checkpoint
from stgcn_cli.runs.checkpoint import Checkpoint
from stgcn_cli.runs.log import is_number

KEPT = ("last.pth", "last-1.pth")  # the newest first
_EPOCH = re.compile(r"epoch_(\d{1,9})\.pth")


def save_last(folder: Path, value: dict[str, Any]) -> None:
    """Write last.pth; the one before becomes last-1.pth. Raises RunError when it cannot be written."""
    checkpoint.save(folder / KEPT[0], value, before_naming=lambda: _keep_previous(folder))


def _keep_previous(folder: Path) -> None:
    """Make last-1.pth another name of last.pth, so that last.pth is never absent; without hard links, rename it."""
    last, previous = (folder / name for name in KEPT)
    if not last.is_file():
        return
    previous.unlink(missing_ok=True)
    try:
        os.link(last, previous)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.replace(last, previous)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run was: epochs done, steps done of the next with their `sums`, steps left out, the best epoch."""

    epoch: int = 0
    step: int = 0
    skipped: int = 0
    sums: tuple[float, ...] = ()
    best: Mapping[str, Any] | None = None


def progress_in(read: Checkpoint) -> Progress:
    """Return the progress that a checkpoint tells; zero where it does not. Raises CheckpointError for invalid values."""
    meta = read.meta
    for key in ("epoch", "step", "skipped"):
        if not (type(meta.get(key, 0)) is int and 0 <= meta.get(key, 0) <= checkpoint.MOST):
            raise _invalid(read, key, "a whole number from 0")
    sums, best = meta.get("sums", ()), meta.get("best")
    if not (isinstance(sums, list | tuple) and all(map(is_number, sums))):
        raise _invalid(read, "sums", "finite numbers")
    if best is not None and not (
        isinstance(best, Mapping) and all(isinstance(each, str) or is_number(each) for each in best.values())
    ):
        raise _invalid(read, "best", "metrics as finite numbers")
    counts = {key: meta.get(key, 0) for key in ("epoch", "step", "skipped")}
    return Progress(**counts, sums=tuple(sums), best=dict(best) if best else None)


def _invalid(read: Checkpoint, key: str, expected: str) -> CheckpointError:
    return CheckpointError(
        f"{read.path}: meta {key!r} is {shown(read.meta[key])}; expected {expected}.",
        "A run cannot be resumed from it; take its weights with --load-from.",
    )


def newest(folder: Path, warn: Callable[[str], None] = lambda text: None) -> Checkpoint | None:
    """Return the checkpoint that a run resumes from, None before the first; warn about damaged ones.

    Raises CheckpointError when there are checkpoints and all are damaged.
    """
    damaged: list[CheckpointError] = []
    sound: list[Checkpoint] = []
    for path in candidates(folder):
        try:
            read = checkpoint.read(path)
            checkpoint.check_values(read)
            progress_in(read)
            sound.append(read)
        except CheckpointError as error:
            damaged.append(error)
        if sound and not damaged:
            return sound[0]
    if not damaged:
        return None
    if not sound:
        raise CheckpointError(
            f"No checkpoint in {folder} can be read: {damaged[0].message}",
            "Start a run in another folder (--work-dir), with --load-from if you have weights elsewhere.",
        )
    chosen = max(sound, key=lambda read: (progress_in(read).epoch, progress_in(read).step))
    for one in damaged:
        warn(f"{one.message} Resuming from {chosen.path.name}.")
    return chosen


def candidates(folder: Path) -> list[Path]:
    """Return the files that a run could resume from: last.pth and the one before, then epoch_N.pth, the newest first."""
    numbered = {int(found[1]): path for path in folder.glob("epoch_*.pth") if (found := _EPOCH.fullmatch(path.name))}
    kept = [folder / name for name in KEPT if (folder / name).is_file()]
    return kept + [numbered[epoch] for epoch in sorted(numbered, reverse=True)]
