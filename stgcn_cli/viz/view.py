"""`stgcn view`: one clip or a skeleton layout as a page or a picture. torch is imported only where a checkpoint is read."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.config.skeletons import Layout, find_layout
from stgcn_cli.data.axes import summaries
from stgcn_cli.data.clips import Clip
from stgcn_cli.data.locations import beside
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.errors import CheckpointError, DataError, UsageError, refuse_first
from stgcn_cli.evaluation import metrics
from stgcn_cli.io.outputs import OutputRule, expect_suffix, suffix_of
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.io.text import printable
from stgcn_cli.runs import resolve
from stgcn_cli.viz import animation, plots, select
from stgcn_cli.viz import layout as layouts
from stgcn_cli.viz.html.clip import ClipPrediction, clip_page, layout_page
from stgcn_cli.viz.html.page import write_page
from stgcn_cli.viz.skeleton import Motion, motion_of

if TYPE_CHECKING:
    from stgcn_cli.evaluation.predict import Predictor
    from stgcn_cli.evaluation.windows import Timelines

CLIP_FORMATS, LAYOUT_FORMATS = (".html", ".gif", ".png"), (".html", ".png", ".svg", ".pdf")
_LIKELIEST, _CAPTIONED = 5, 2  # classes shown in a page, in a picture


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """Options of `stgcn view`. `clip` is a name or an index; `frames` are those drawn in a picture, `rate` is per second.

    Without a `source` the layout is drawn, with the `edge_importance` of a checkpoint: of one `block`, else the mean of all.
    """

    source: str | None = None
    clip: str | None = None
    out: Path | None = None
    checkpoint: str | None = None
    layout: str | None = None
    edge_importance: str | None = None
    block: int | None = None
    frames: int | None = None
    rate: float = 30.0
    read_as: Options = field(default_factory=Options)
    device: str = "auto"
    window: int | None = None  # frames: show what happens when, by windows of the checkpoint
    stride: int | None = None
    force: bool = False  # write over files that `view` did not make

    def place(self, default: str) -> Path:
        """Return where the drawing goes: --out, else the file `default` here. Raises UsageError."""
        words = (self.source, self.checkpoint, self.layout, self.edge_importance)
        inputs = [Path(word) for word in words if word and Path(word).is_file()]
        return OutputRule(inputs=inputs, command="view", force=self.force).place(self.out or Path(default))

    def check(self) -> None:
        """Raise StgcnError for options that do not go together and for files that do not exist."""
        nothing = self.source is None and self.layout is None and self.edge_importance is None
        refuse_first(
            (nothing, "Missing INPUT or --layout.", "Type: stgcn view FILE, or: stgcn view --layout ntu"),
            (self.source is not None and self.edge_importance is not None,
             "--edge-importance is drawn over a layout, not over a clip.", "Leave INPUT out."),
            (self.source is None and (self.clip or self.checkpoint), "--clip and --checkpoint need an INPUT.",
             "Type: stgcn view FILE --checkpoint CHECKPOINT"),
            (self.window and not self.checkpoint, "--window needs --checkpoint, the model to ask.",
             "Type: stgcn view FILE --checkpoint CHECKPOINT --window 64"),
            (self.stride and not self.window, "--stride needs --window.", "For example: --window 64 --stride 16"),
            (self.block is not None and self.edge_importance is None, "--block needs --edge-importance CHECKPOINT.", ""),
        )  # fmt: skip
        if self.out:
            self.place("")
            expect_suffix(self.out, LAYOUT_FORMATS if self.source is None else CLIP_FORMATS)
        if word := self.checkpoint or self.edge_importance:
            resolve.require(word)


def view(options: ViewOptions, reporter: Reporter) -> Path:
    """Draw a clip or a layout and return the file written. Raises StgcnError."""
    options.check()
    layout = find_layout(options.layout) if options.layout else None
    if options.source is None:
        return _view_layout(options, layout, reporter)
    read_as, predictor = replace(options.read_as, layout=layout), None
    if options.checkpoint:
        from stgcn_cli.evaluation import predict

        request = resolve.EvalOptions(
            checkpoint=options.checkpoint, device=options.device, image_size=read_as.image_size
        )
        predictor = predict.load(request, reporter)
        read_as = predictor.reading(read_as)
    clip, among = select.choose(options.source, options.clip, read_as, reporter)
    own = beside(clip.source)
    if among:
        reporter.note(f"{options.source} holds {among}; this is {clip.name}. Choose another with --clip NAME or INDEX.")
    for line in summaries([clip.understood] if clip.understood else []):
        reporter.note(f"Read as: {line}")
    for line in clip.notes:
        reporter.note(line)
    classes, prediction = own.classes, None
    if predictor:
        layout = layout or presets.layout_of(predictor.preset)
        if not clip.raw or predictor.preset.data.dataset.startswith(("ntu", "demo")):  # file names count theirs
            classes = tuple(predictor.classes)
        prediction = _predict(predictor, Path(str(options.checkpoint)).name, clip, reporter)
    if own.layout and len(own.layout.joints) == clip.shape[0]:
        layout = layout or own.layout
    layout = layout or clip.layout_or(None)
    motion = _motion(clip, layout, options.rate)
    if motion.layout is None:
        reporter.warn(f"Unknown skeleton of {clip.shape[0]} joints: no bones are drawn. Give it with --layout.")
    path = options.place(f"{file_name(clip.name)}.html")
    suffix = suffix_of(path, CLIP_FORMATS)
    if suffix == ".html":
        write_page(path, clip_page(motion, _about(clip, classes), prediction, _timelines(predictor, clip, options)))
        return path
    best = prediction.likeliest[:_CAPTIONED] if prediction else ()
    caption = ", ".join(f"{name} {100 * share:.0f} %" for name, share in best)
    if suffix == ".gif":
        animation.write_gif(motion, path, caption, options.frames or animation.GIF_FRAMES, reporter)
    else:
        animation.write_sheet(motion, path, caption, options.frames or animation.SHEET_FRAMES)
    return path


def _predict(predictor: "Predictor", name: str, clip: Clip, reporter: Reporter) -> ClipPrediction:
    logits, facts = predictor.answer([clip])
    shares = metrics.probabilities(logits)[0]
    best = np.argsort(-shares, kind="stable")[:_LIKELIEST]
    likeliest = [(predictor.classes[index], float(shares[index])) for index in best]
    warnings = predictor.oddities(facts)
    for warning in warnings:
        reporter.warn(warning)
    return ClipPrediction(f"{name} ({predictor.preset.name})", likeliest, warnings)


def _timelines(predictor: "Predictor | None", clip: Clip, options: ViewOptions) -> "Timelines | None":
    """What each person does when, where --window asks for it."""
    if predictor is None or options.window is None:
        return None
    from stgcn_cli.evaluation.timeline import WindowOptions
    from stgcn_cli.evaluation.windows import timelines

    windows = WindowOptions(window=options.window, stride=options.stride or 0, fps=options.rate)
    return timelines(predictor, [clip], windows)


def _motion(clip: Clip, layout: Layout | None, rate: float) -> Motion:
    """The frames in use. Raises DataError for coordinates that cannot be drawn and for a layout of other joints."""
    joints, coordinates, _ = clip.shape
    where = f"{clip.source}: {clip.name}"
    if coordinates not in (2, 3):
        raise DataError(f"{where} has {coordinates} coordinates for each joint; expected 2 or 3.")
    if layout and len(layout.joints) != joints:
        raise DataError(
            f"{where} has {joints} joints, the skeleton {layout.name} has {len(layout.joints)}.",
            "Give the skeleton of these data with --layout, or leave it out.",
        )
    frames, score = slice(int(clip.record["total_frames"])), clip.record.get("keypoint_score")
    keypoint = clip.record["keypoint"][:, frames]
    score = None if score is None else score[:, frames]
    return motion_of(clip.name, keypoint, layout, score, rate)


def _about(clip: Clip, classes: tuple[str, ...]) -> list[tuple[str, object]]:
    """Names and values to list beside the clip."""
    label = clip.record.get("label")
    if isinstance(label, int | np.integer):
        label = classes[label] if 0 <= label < len(classes) else f"class {label}"
    return [("file", clip.source.name), *([] if label is None else [("label", printable(label))])]


def file_name(name: str) -> str:
    """A file name for a clip: characters with a meaning in a path or a shell become dashes."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80] or "clip"


def _view_layout(options: ViewOptions, layout: Layout | None, reporter: Reporter) -> Path:
    over = None
    if options.edge_importance:
        layout, over = learned(options.edge_importance, layout, options.block, reporter)
    assert layout is not None  # checked: one of the two is given
    path = options.place(f"{file_name(layout.name)}.html")
    if suffix_of(path, LAYOUT_FORMATS) == ".html":
        write_page(path, layout_page(layout, over))
    else:
        plots.save(layouts.draw(layout, over), path, "stgcn view")
    return path


def learned(
    word: str, layout: Layout | None, block: int | None, reporter: Reporter
) -> tuple[Layout, layouts.Importance]:
    """The layout, else that of the checkpoint `word`, and the learned factors of one block or the mean of all.

    Raises CheckpointError for a network without such factors or of other joints, UsageError for an unknown block.
    """
    from stgcn_cli.runs import checkpoint

    options = resolve.EvalOptions(checkpoint=word)
    read = checkpoint.read(resolve.locate(options, reporter))
    layout = layout or presets.layout_of(resolve.preset_of(read, options, reporter))
    checkpoint.check_values(read)
    a, factors = read.state.get(read.keys.graph), read.keys.factors(read.state)
    if a is None or not factors or any(value.shape != a.shape for value in factors.values()):
        raise CheckpointError(f"{read.path} holds no edge importance.", "Networks of the kind stgcn have it.")
    if tuple(a.shape[1:]) != (len(layout.joints),) * 2:
        raise CheckpointError(
            f"{read.path} was trained on {a.shape[-1]} joints, the skeleton has {len(layout.joints)}.",
            "Leave --layout out.",
        )
    if block is not None and block not in factors:
        raise UsageError(f"Block {block} not found: {word} has the blocks 0 to {max(factors)}.")
    chosen = [factors[index].double().numpy() for index in (sorted(factors) if block is None else [block])]
    which = "mean of all blocks" if block is None else f"block {block}"
    what = f"edge importance of {Path(word).name}, {which}"
    return layout, layouts.importance(layout, a.double().numpy(), np.stack(chosen), what)
