"""From an input to a picture or a page of one clip, as the suffix of the file says."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.config.skeletons import Layout, find_layout
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.records import Clip
from stgcn_cli.errors import CheckpointError, DataError, UsageError
from stgcn_cli.evaluation import metrics
from stgcn_cli.io.files import atomic_write
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.io.text import printable
from stgcn_cli.runs import checkpoint, resolve
from stgcn_cli.runs.checkpoint import Checkpoint
from stgcn_cli.viz import animation, select
from stgcn_cli.viz import layout as layout_drawing
from stgcn_cli.viz.html.clip import Prediction, clip_page, layout_page
from stgcn_cli.viz.layout import Importance
from stgcn_cli.viz.skeleton import Motion, layout_for, motion_of

FORMATS = (".html", ".gif", ".png")
_LIKELIEST, _CAPTIONED = 5, 2  # classes shown in a page, in a picture


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """How to show a clip. `clip` is a name or an index; `frames` those drawn in a GIF or PNG; `rate` frames a second."""

    source: str
    clip: str | None = None
    out: Path | None = None
    checkpoint: str | None = None
    layout: str | None = None
    frames: int | None = None
    rate: float = 30.0
    device: str = "auto"


def view(wishes: ViewOptions, reporter: Reporter) -> Path:
    """Draw the clip as wished and return the file. Raises StgcnError."""
    if wishes.out:
        check_name(wishes.out, FORMATS)
    layout = find_layout(wishes.layout) if wishes.layout else None
    chosen = select.choose(wishes.source, wishes.clip, Options(layout=layout), reporter)
    name = chosen.clip.name
    if chosen.among:
        reporter.note(
            f"{wishes.source} holds {chosen.among}; this is {name}. Another is chosen with --clip NAME or INDEX."
        )
    said, layout, classes = _asked(wishes, chosen.clip, layout, reporter)
    motion = _motion(chosen.clip, name, layout, wishes)
    if motion.layout is None:
        joints = motion.points.shape[2]
        reporter.warn(
            f"Which skeleton has these {joints} joints is not known: no bones are drawn. Name it with --layout."
        )
    path = wishes.out or Path(f"{file_name(name)}.html")
    _write(motion, path, _about(chosen.clip, classes), said, wishes.frames, reporter)
    return path


def check_name(path: Path, formats: Sequence[str]) -> None:
    """Raise UsageError for a suffix that cannot be written."""
    if path.suffix not in formats:
        raise UsageError(
            f"--out {path}: written are {', '.join(formats)}.", f"For example: --out {path.with_suffix(formats[0])}"
        )


def _asked(
    wishes: ViewOptions, clip: Clip, layout: Layout | None, reporter: Reporter
) -> tuple[Prediction | None, Layout | None, Sequence[str]]:
    """What the checkpoint says of the clip, its skeleton where none was named, and its class names."""
    if not wishes.checkpoint:
        return None, layout, ()
    from stgcn_cli.config import presets
    from stgcn_cli.evaluation import predict

    predictor = predict.load(wishes.checkpoint, wishes.device, reporter)
    shares = metrics.probabilities(predictor.scores([clip]))[0]
    best = np.argsort(-shares, kind="stable")[:_LIKELIEST]
    likeliest = [(predictor.classes[index], float(shares[index])) for index in best]
    warnings = predictor.warnings(clip)
    for warning in warnings:
        reporter.warn(warning)
    said = Prediction(f"{Path(wishes.checkpoint).name} ({predictor.preset.name})", likeliest, warnings)
    return said, layout or presets.layout_of(predictor.preset), predictor.classes


def _motion(clip: Clip, name: str, layout: Layout | None, wishes: ViewOptions) -> Motion:
    keypoint, frames = clip.record["keypoint"], int(clip.record["total_frames"])
    joints, coordinates = keypoint.shape[2:]
    if coordinates not in (2, 3):
        raise DataError(f"{clip.source}: {name} has {coordinates} coordinates a joint; two or three can be drawn.")
    if layout and len(layout.joints) != joints:
        raise DataError(
            f"{clip.source}: {name} has {joints} joints, the skeleton {layout.name} has {len(layout.joints)}.",
            "Name the skeleton of these data with --layout, or leave it out.",
        )
    score = clip.record.get("keypoint_score")
    return motion_of(
        name, keypoint[:, :frames], layout or layout_for(joints, coordinates),
        None if score is None else score[:, :frames], wishes.rate,
    )  # fmt: skip


def _about(clip: Clip, classes: Sequence[str]) -> list[tuple[str, object]]:
    told: list[tuple[str, object]] = [("file", clip.source.name)]
    label = clip.record.get("label")
    if label is None:
        return told
    is_index = isinstance(label, int | np.integer)
    named = classes[label] if is_index and 0 <= label < len(classes) else f"class {label}" if is_index else label
    return [*told, ("label", printable(named))]


def _write(
    motion: Motion,
    path: Path,
    about: list[tuple[str, object]],
    said: Prediction | None,
    frames: int | None,
    reporter: Reporter,
) -> None:
    if path.suffix == ".html":
        write_text(path, clip_page(motion, about, said))
        return
    caption = ", ".join(f"{name} {100 * share:.0f} %" for name, share in said.likeliest[:_CAPTIONED]) if said else ""
    if path.suffix == ".gif":
        animation.write_gif(motion, path, caption, frames or animation.GIF_FRAMES, reporter)
    else:
        animation.write_sheet(motion, path, caption, frames or animation.SHEET_FRAMES)


def write_text(path: Path, content: str) -> None:
    """Write a page whole; what UTF-8 cannot hold becomes a question mark. Raises RunError."""
    with atomic_write(path) as stream:
        stream.write(content.encode("utf-8", "replace"))


def file_name(name: str) -> str:
    """The name as a file here is called: what a path, a shell or a system could take for something else becomes a dash."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80] or "clip"


# From a skeleton layout, and what a model learned on it, to a picture or a page.

LAYOUT_FORMATS = (".html", ".png", ".svg")


def view_layout(word: str | None, out: Path | None, learned: str | None, block: int | None, reporter: Reporter) -> Path:
    """Draw the layout `word`, with the edge importance of the checkpoint `learned` over it, and return the file.

    Without `word` it is the layout of the checkpoint; without `block` all blocks are averaged. Raises StgcnError.
    """
    if out:
        check_name(out, LAYOUT_FORMATS)
    layout, over = find_layout(word) if word else None, None
    if learned:
        layout, over = _learned(learned, layout, block, reporter)
    assert layout is not None  # the command asks for one or the other
    path = out or Path(f"{file_name(layout.name)}.html")
    if path.suffix == ".html":
        write_text(path, layout_page(layout, over))
    else:
        layout_drawing.write(layout, path, over)
    return path


def _learned(word: str, layout: Layout | None, block: int | None, reporter: Reporter) -> tuple[Layout, Importance]:
    """The layout, else the checkpoint's own, and the learned factors of one block or of all."""
    wishes = resolve.EvalOptions(checkpoint=word)
    read = checkpoint.read(resolve.locate(wishes, reporter))
    layout = layout or presets.layout_of(resolve.preset_of(read, wishes, reporter))
    a, learned = _arrays(read, len(layout.joints))
    if block is not None and not 0 <= block < len(learned):
        raise UsageError(f"--block {block}: {word} has the blocks 0 to {len(learned) - 1}.")
    which = "mean of all blocks" if block is None else f"block {block}"
    chosen = learned if block is None else learned[[block]]
    return layout, layout_drawing.importance(layout, a, chosen, f"edge importance of {Path(word).name}, {which}")


def _arrays(read: Checkpoint, joints: int) -> tuple[np.ndarray, np.ndarray]:
    """(K, V, V) adjacency and (blocks, K, V, V) edge importance. Raises CheckpointError."""
    a: Any = read.state.get(read.keys.graph)
    factors = read.keys.factors(read.state)
    found = [factors[index] for index in sorted(factors)]
    if a is None or not found or any(value.shape != a.shape for value in found):
        raise CheckpointError(f"{read.path} holds no edge importance; networks of the kind stgcn have it.")
    if tuple(a.shape[1:]) != (joints, joints):
        raise CheckpointError(
            f"{read.path} was trained on {a.shape[-1]} joints, the skeleton has {joints}.", "Leave --layout out."
        )
    return a.double().numpy(), np.stack([value.double().numpy() for value in found])
