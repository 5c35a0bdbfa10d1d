"""From a skeleton layout, and what a model learned on it, to a picture or a page."""

from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli import checkpoint, evaluating, layout_drawing, presets
from stgcn_cli.checkpoint import Checkpoint
from stgcn_cli.errors import CheckpointError, UsageError
from stgcn_cli.layout_drawing import Importance
from stgcn_cli.pages.clip_page import layout_page
from stgcn_cli.screen import Screen
from stgcn_cli.skeleton import Layout
from stgcn_cli.skeleton_file import find_layout
from stgcn_cli.viewing import check_name, file_name, write_text

FORMATS = (".html", ".png", ".svg")
_MOST_BLOCKS = 1000


def view_layout(word: str | None, out: Path | None, learned: str | None, block: int | None, screen: Screen) -> Path:
    """Draw the layout `word`, with the edge importance of the checkpoint `learned` over it, and return the file.

    Without `word` it is the layout of the checkpoint; without `block` all blocks are averaged. Raises StgcnError.
    """
    if out:
        check_name(out, FORMATS)
    layout, over = find_layout(word) if word else None, None
    if learned:
        layout, over = _learned(learned, layout, block, screen)
    assert layout is not None  # the command asks for one or the other
    path = out or Path(f"{file_name(layout.name)}.html")
    if path.suffix == ".html":
        write_text(path, layout_page(layout, over))
    else:
        layout_drawing.write(layout, path, over)
    return path


def _learned(word: str, layout: Layout | None, block: int | None, screen: Screen) -> tuple[Layout, Importance]:
    """The layout, else the checkpoint's own, and the learned factors of one block or of all."""
    wishes = evaluating.Wishes(word)
    read = checkpoint.read(evaluating.locate(wishes, screen))
    layout = layout or presets.layout_of(evaluating.preset_of(read, wishes, screen))
    a, learned = _arrays(read, len(layout.joints))
    if block is not None and not 0 <= block < len(learned):
        raise UsageError(f"--block {block}: {word} has the blocks 0 to {len(learned) - 1}.")
    which = "mean of all blocks" if block is None else f"block {block}"
    chosen = learned if block is None else learned[[block]]
    return layout, layout_drawing.importance(layout, a, chosen, f"edge importance of {Path(word).name}, {which}")


def _arrays(read: Checkpoint, joints: int) -> tuple[np.ndarray, np.ndarray]:
    """(K, V, V) adjacency and (blocks, K, V, V) edge importance. Raises CheckpointError."""
    a: Any = read.state.get("backbone.A")
    found = [
        value
        for index in range(_MOST_BLOCKS)
        if (value := read.state.get(f"backbone.edge_importance.{index}")) is not None
    ]
    if a is None or not found or any(value.shape != a.shape for value in found):
        raise CheckpointError(f"{read.path} holds no edge importance.")
    if tuple(a.shape[1:]) != (joints, joints):
        raise CheckpointError(
            f"{read.path} was trained on {a.shape[-1]} joints, the skeleton has {joints}.", "Leave --layout out."
        )
    return a.double().numpy(), np.stack([value.double().numpy() for value in found])
