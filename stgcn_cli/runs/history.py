"""The checkpoints a run goes on from: last.pth, the two before it, and what is done when one of them is damaged."""

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stgcn_cli.errors import CheckpointError
from stgcn_cli.runs import checkpoint
from stgcn_cli.runs.checkpoint import Checkpoint

KEPT = ("last.pth", "last-1.pth", "last-2.pth")  # the newest first


def save_last(folder: Path, value: dict[str, Any]) -> None:
    """Write last.pth; the one before becomes last-1.pth, that before it last-2.pth."""
    checkpoint.save(folder / KEPT[0], value, before_naming=lambda: _move_on(folder))


def _move_on(folder: Path) -> None:
    """Make last-1.pth another name of last.pth, which so is never absent; where there are no links, move it."""
    last, first, second = (folder / name for name in KEPT)
    if not last.is_file():
        return
    if first.is_file():
        os.replace(first, second)
    try:
        os.link(last, first)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.replace(last, first)


def progress_of(read: Checkpoint) -> tuple[int, int]:
    """(epochs done, steps done of the next), 0 where the checkpoint does not say."""
    return tuple(value if isinstance(value := read.meta.get(key), int) else 0 for key in ("epoch", "step"))  # type: ignore[return-value]


def newest(folder: Path, warn: Callable[[str], None] = lambda text: None) -> Checkpoint | None:
    """The checkpoint a run goes on from, None before the first; a damaged one is told and passed over.

    Raises CheckpointError when there are checkpoints and all are damaged.
    """
    damaged: list[CheckpointError] = []
    sound: list[Checkpoint] = []
    for path in candidates(folder):
        try:
            sound.append(checkpoint.read(path))
        except CheckpointError as error:
            damaged.append(error)
        if sound and not damaged:
            return sound[0]
    if not damaged:
        return None
    if not sound:
        raise CheckpointError(
            f"No checkpoint in {folder} can be read: {damaged[0].message}",
            "Start anew in another folder: --work-dir, with --load-from when you have weights elsewhere.",
        )
    chosen = max(sound, key=progress_of)
    for one in damaged:
        warn(f"{one.message} Going on from {chosen.path.name}.")
    return chosen


def candidates(folder: Path) -> list[Path]:
    """The files of a run that could be gone on from: last.pth and its history, then epoch_N.pth, the newest first."""
    numbered = {int(found[1]): path for path in folder.glob("epoch_*.pth") if (found := _EPOCH.fullmatch(path.name))}
    kept = [folder / name for name in KEPT if (folder / name).is_file()]
    return kept + [numbered[epoch] for epoch in sorted(numbered, reverse=True)]


_EPOCH = re.compile(r"epoch_(\d{1,9})\.pth")
