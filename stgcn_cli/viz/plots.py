"""Pictures of a run: learning curves and a confusion matrix."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stgcn_cli.io.files import atomic_write
from stgcn_cli.io.text import one_line, shortened

_MOST_CHANGES = 5  # of the learning rate that are marked
_MOST_NAMES, _LONGEST = 30, 28  # class names that can still be read along an axis; characters of one
_BLUE, _ORANGE, _GREY = "#1f6fb2", "#d9822b", "#8a8a8a"
SVG_SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "stgcn"}  # text stays text; equal drawings, equal bytes


def new_figure(
    width: float, height: float, dpi: int = 130, layout: Literal["constrained"] | None = "constrained"
) -> Any:
    """A figure without a window, of this size in inches. matplotlib is slow to import, so only here."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["text.parse_math"] = False  # a class may be called $1
    return Figure(figsize=(width, height), dpi=dpi, layout=layout)


def save(figure: Any, path: Path, made_by: str = "stgcn eval") -> None:
    """Write a figure as its suffix says: .png, .svg or .pdf; equal figures give equal bytes. Raises RunError."""
    import matplotlib

    format = path.suffix.removeprefix(".")
    about = {"png": {"Software": made_by}, "svg": {"Creator": made_by, "Date": None}}.get(
        format, {"Creator": made_by, "CreationDate": None}
    )
    with matplotlib.rc_context(SVG_SETTINGS), atomic_write(path) as stream:
        figure.savefig(stream, format=format, metadata=about)


def curves(
    records: Sequence[Mapping[str, Any]], title: str, published: Sequence[Mapping[str, Any]] = (), stacked: bool = False
) -> Any | None:
    """A figure of loss and accuracy over epochs, from the records of log.jsonl; None before the first epoch.

    `published` are the records of the published run (`runs.log.read_published`), drawn in grey. `stacked`: one above the
    other, for narrow pages.
    """
    epochs = [record for record in records if record["mode"] == "epoch"]
    if not epochs:
        return None
    left, right, figure = _two_axes(11 if published else 9, stacked)
    x = [record["epoch"] for record in epochs]
    _published_curves(left, right, published)
    mark = "o" if len(x) < 30 else ""
    left.plot(x, [record["loss"] for record in epochs], color=_BLUE, marker=mark, markersize=3, label="this run")
    left.set(title="training loss", xlabel="epoch")
    right.plot(x, [100 * r["top1_acc"] for r in epochs], color=_BLUE, marker=mark, markersize=3, label="training top-1")
    checks = [record for record in records if record["mode"] == "val"]
    for key, style, label in (
        ("top1_acc", "-", "validation top-1"),
        ("mean_class_accuracy", "--", "validation mean class"),
    ):
        points = [(record["epoch"], 100 * record[key]) for record in checks if key in record]
        if points:
            right.plot(*zip(*points, strict=True), style, color=_ORANGE, marker="o", markersize=3, label=label)
    right.set(title="accuracy in %", xlabel="epoch", ylim=(0, 102))
    if published and not stacked:  # twice as many lines: the legend is beside the axes
        right.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
        left.legend(loc="upper right", frameon=False, fontsize=8)
    else:
        right.legend(loc="best", frameon=False, fontsize=8)
    _tidy(figure, [left, right], x, [r["lr"] for r in epochs], bool(published))
    if title:
        figure.suptitle(title)
    return figure


def _two_axes(width: float, stacked: bool) -> tuple[Any, Any, Any]:
    figure = new_figure(4, 6) if stacked else new_figure(width, 3.6)
    left, right = figure.subplots(2, 1) if stacked else figure.subplots(1, 2)
    return left, right, figure


def compared_curves(runs: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], stacked: bool = False) -> Any | None:
    """A figure of the training loss and the validation accuracy of several runs (name, records); None without epochs."""
    import matplotlib

    drawn = [(name, records) for name, records in runs if any(each["mode"] == "epoch" for each in records)]
    if not drawn:
        return None
    left, right, figure = _two_axes(11, stacked)
    colours = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    for index, (name, records) in enumerate(drawn):
        style = {"color": colours[index % len(colours)], "label": shortened(one_line(name), _LONGEST)}
        losses = [(each["epoch"], each["loss"]) for each in records if each["mode"] == "epoch"]
        checks = [(r["epoch"], 100 * r["top1_acc"]) for r in records if r["mode"] == "val" and "top1_acc" in r]
        left.plot(*zip(*losses, strict=True), marker="o" if len(losses) < 30 else "", markersize=3, **style)
        if checks:
            right.plot(*zip(*checks, strict=True), marker="o", markersize=3, **style)
    left.set(title="training loss", xlabel="epoch")
    right.set(title="validation top-1 in %", xlabel="epoch", ylim=(0, 102))
    left.legend(loc="upper right", frameon=False, fontsize=8)
    _tidy(figure, [left, right], [], [], False)
    return figure


def _published_curves(left: Any, right: Any, records: Sequence[Mapping[str, Any]]) -> None:
    """The published run's loss and accuracies, as far as its log has them."""
    for axis, mode, key, style, scale, label in (
        (left, "epoch", "loss", "-", 1, "published"),
        (right, "epoch", "top1_acc", "-", 100, "training top-1, published"),
        (right, "val", "top1_acc", "--", 100, "validation top-1, published"),
        (right, "val", "mean_class_accuracy", ":", 100, "validation mean class, published"),
    ):
        points = [(r["epoch"], scale * r[key]) for r in records if r["mode"] == mode and key in r]
        if points:
            axis.plot(*zip(*points, strict=True), style, color=_GREY, linewidth=1, label=label)


def _tidy(figure: Any, axes: Sequence[Any], epochs: Sequence[int], rates: Sequence[float], published: bool) -> None:
    """Grid, whole epochs, and a line where the learning rate changes, named where no legend stands."""
    from matplotlib.ticker import MaxNLocator

    changes = [(e, r) for e, r, before in zip(epochs[1:], rates[1:], rates[:-1], strict=True) if r != before]
    changes = changes if len(changes) <= _MOST_CHANGES else []  # a cosine changes it at every epoch
    for axis in axes:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        for epoch, _ in changes:
            axis.axvline(epoch, color=_GREY, linewidth=0.8, linestyle=":")
    for epoch, rate in changes:
        text = f"learning rate {rate:.3g}"
        axis, height, side = (axes[1], 0.03, "bottom") if published else (axes[0], 0.97, "top")
        axis.annotate(text, (epoch, height), xycoords=("data", "axes fraction"), rotation=90, va=side, ha="right",
                      fontsize=7, color=_GREY)  # fmt: skip


def confusion_matrix(matrix: np.ndarray, names: Sequence[str], title: str) -> Any:
    """A figure of the confusion matrix `matrix` (classes, classes), which holds counts.

    Rows are labels, columns predictions, each row in % of its clips; classes without clips and predictions are left out.
    """
    shown = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
    counts = matrix[np.ix_(shown, shown)]
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    named = len(shown) <= _MOST_NAMES
    size = 3.2 + 0.32 * min(len(shown), _MOST_NAMES)
    figure = new_figure(size + 1.2, size)
    axis = figure.subplots()
    picture = axis.imshow(share, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(picture, ax=axis, label="% of the class's clips", shrink=0.8)
    ticks = np.arange(len(shown)) if named else np.arange(0, len(shown), 10)
    labels = [shortened(one_line(names[shown[i]]), _LONGEST) if named else str(shown[i]) for i in ticks]
    axis.set_xticks(ticks, labels, rotation=90 if named else 0)
    axis.set_yticks(ticks, labels)
    axis.set(xlabel="predicted", ylabel="labelled", title=title)
    if len(shown) <= 12:
        for row, column in np.ndindex(counts.shape):
            if counts[row, column]:
                color = "white" if share[row, column] > 55 else "black"
                axis.text(column, row, str(counts[row, column]), ha="center", va="center", color=color, fontsize=8)
    return figure
