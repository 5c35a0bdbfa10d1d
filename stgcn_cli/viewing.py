"""From an input to a picture or a page of one clip, as the suffix of the file says."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stgcn_cli import clip_choice, drawing, metrics
from stgcn_cli.data.formats.reading import Options
from stgcn_cli.data.inputs import Input
from stgcn_cli.data.records import name_of
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.files import written_whole
from stgcn_cli.pages.clip_page import Said, clip_page
from stgcn_cli.poses import Motion, layout_for, motion_of
from stgcn_cli.screen import Screen
from stgcn_cli.skeleton import Layout
from stgcn_cli.skeleton_file import find_layout
from stgcn_cli.wording import printable

FORMATS = (".html", ".gif", ".png")
_LIKELIEST, _CAPTIONED = 5, 2  # classes shown in a page, in a picture


@dataclass(frozen=True)
class Wishes:
    """How to show a clip. `clip` is a name or an index; `frames` those drawn in a GIF or PNG; `rate` frames a second."""

    source: str
    clip: str | None = None
    out: Path | None = None
    checkpoint: str | None = None
    layout: str | None = None
    frames: int | None = None
    rate: float = 30.0
    device: str = "auto"


def view(wishes: Wishes, screen: Screen) -> Path:
    """Draw the clip as wished and return the file. Raises StgcnError."""
    if wishes.out:
        check_name(wishes.out, FORMATS)
    layout = find_layout(wishes.layout) if wishes.layout else None
    chosen = clip_choice.choose(wishes.source, wishes.clip, Options(layout=layout), screen)
    name = name_of(chosen.clip.record, 0)
    if chosen.among:
        screen.note(
            f"{wishes.source} holds {chosen.among}; this is {name}. Another is chosen with --clip NAME or INDEX."
        )
    said, layout, classes = _asked(wishes, chosen.clip, layout, screen)
    motion = _motion(chosen.clip, name, layout, wishes)
    if motion.layout is None:
        joints = motion.points.shape[2]
        screen.warn(
            f"Which skeleton has these {joints} joints is not known: no bones are drawn. Name it with --layout."
        )
    path = wishes.out or Path(f"{file_name(name)}.html")
    _write(motion, path, _about(chosen.clip, classes), said, wishes.frames, screen)
    return path


def check_name(path: Path, formats: Sequence[str]) -> None:
    """Raise UsageError for a suffix that cannot be written."""
    if path.suffix not in formats:
        raise UsageError(
            f"--out {path}: written are {', '.join(formats)}.", f"For example: --out {path.with_suffix(formats[0])}"
        )


def _asked(
    wishes: Wishes, clip: Input, layout: Layout | None, screen: Screen
) -> tuple[Said | None, Layout | None, Sequence[str]]:
    """What the checkpoint says of the clip, its skeleton where none was named, and its class names."""
    if not wishes.checkpoint:
        return None, layout, ()
    from stgcn_cli import predicting, presets

    predictor = predicting.load(wishes.checkpoint, wishes.device, screen)
    shares = metrics.probabilities(predictor.scores([clip]))[0]
    best = np.argsort(-shares, kind="stable")[:_LIKELIEST]
    likeliest = [(predictor.classes[index], float(shares[index])) for index in best]
    warnings = predictor.warnings(clip)
    for warning in warnings:
        screen.warn(warning)
    said = Said(f"{Path(wishes.checkpoint).name} ({predictor.preset.name})", likeliest, warnings)
    return said, layout or presets.layout_of(predictor.preset), predictor.classes


def _motion(clip: Input, name: str, layout: Layout | None, wishes: Wishes) -> Motion:
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


def _about(clip: Input, classes: Sequence[str]) -> list[tuple[str, object]]:
    told: list[tuple[str, object]] = [("file", clip.source.name)]
    label = clip.record.get("label")
    if label is None:
        return told
    is_index = isinstance(label, int | np.integer)
    named = classes[label] if is_index and 0 <= label < len(classes) else f"class {label}" if is_index else label
    return [*told, ("label", printable(named))]


def _write(
    motion: Motion, path: Path, about: list[tuple[str, object]], said: Said | None, frames: int | None, screen: Screen
) -> None:
    if path.suffix == ".html":
        write_text(path, clip_page(motion, about, said))
        return
    caption = ", ".join(f"{name} {100 * share:.0f} %" for name, share in said.likeliest[:_CAPTIONED]) if said else ""
    if path.suffix == ".gif":
        drawing.write_gif(motion, path, caption, frames or drawing.GIF_FRAMES, screen)
    else:
        drawing.write_sheet(motion, path, caption, frames or drawing.SHEET_FRAMES)


def write_text(path: Path, content: str) -> None:
    """Write a page whole; what UTF-8 cannot hold becomes a question mark. Raises RunError."""
    with written_whole(path) as stream:
        stream.write(content.encode("utf-8", "replace"))


def file_name(name: str) -> str:
    """The name as a file here is called: what a path, a shell or a system could take for something else becomes a dash."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80] or "clip"
