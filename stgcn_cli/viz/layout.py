"""A drawing of a skeleton layout: joint names, bones, the centre, and the edge importance that a model learned.

Shapes: V joints, K partitions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.viz.plots import new_figure
from stgcn_cli.viz.skeleton import bone_sides, person_colours, side_of

_PLACES = {  # metres; a standing person who faces the viewer, so that their left is to the right
    "nose": (0, 1.66), "head": (0, 1.8), "neck": (0, 1.48), "spine": (0, 1.36), "mid spine": (0, 1.17),
    "base of spine": (0, 0.95), "mid hip": (0, 0.95), "left eye": (0.09, 1.73), "left ear": (0.2, 1.68),
    "left shoulder": (0.24, 1.4), "left elbow": (0.42, 1.15), "left wrist": (0.56, 0.93), "left hand": (0.62, 0.83),
    "left hand tip": (0.68, 0.72), "left thumb": (0.5, 0.79), "left hip": (0.18, 0.89), "left knee": (0.24, 0.49),
    "left ankle": (0.27, 0.1), "left foot": (0.41, 0.02), "left big toe": (0.38, -0.05), "left small toe": (0.48, 0.03),
    "left heel": (0.21, 0.0), "hip": (0, 0.95), "hip centre": (0, 0.95), "shoulder centre": (0, 1.48),
}  # fmt: skip
_NAMED = 25  # joints; of a larger skeleton only the indices are written, its names would cover each other
_UP = 4  # points from a joint up to its name


@dataclass(frozen=True)
class Importance:
    """Learned factors of each bone and of each joint's own past; 1 is as initialised. `what` is a caption with their source."""

    bones: np.ndarray
    joints: np.ndarray
    what: str


def positions(layout: Layout) -> np.ndarray:
    """(V, 2) where to draw the joints: as a person stands if all their names are known, else as a tree by their bones."""
    known = dict(_PLACES)
    known |= {f"right {name[5:]}": (-x, y) for name, (x, y) in _PLACES.items() if name.startswith("left ")}
    if all(name in known for name in layout.joints):
        return np.array([known[name] for name in layout.joints], float)
    return _radial(layout)


def _radial(layout: Layout) -> np.ndarray:
    """(V, 2) a tree around the centre: a joint is as far from it as there are bones between, the ends are spread evenly."""
    count = len(layout.joints)
    path: dict[int, tuple[int, ...]] = {}  # joints after the centre on the shortest way to a joint
    for root in (layout.centre, *range(count)):  # what no bones connect to the centre has roots of its own
        queue = [] if root in path else [root]
        path.setdefault(root, () if root == layout.centre else (root,))
        for joint in queue:
            new = {i + j - joint for i, j in layout.bones if joint in (i, j)} - path.keys()
            path |= {other: (*path[joint], other) for other in new}
            queue += sorted(new)
    ends = sorted({*path} - {way[-2] for way in path.values() if len(way) > 1} - {layout.centre}, key=lambda i: path[i])
    turn = np.pi / 2 + 2 * np.pi * np.arange(len(ends)) / max(len(ends), 1)
    angle = [
        np.mean([t for t, end in zip(turn, ends, strict=True) if joint in path[end]] or [0]) for joint in range(count)
    ]
    radius = [len(path[joint]) for joint in range(count)]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def importance(layout: Layout, a: np.ndarray, learned: np.ndarray, what: str) -> Importance:
    """The learned factors of `learned` (blocks, K, V, V), weighted by the adjacency `a` (K, V, V), averaged over blocks.

    A bone's factor is that of both directions together.
    """
    weight, sum_ = np.abs(a).sum(axis=0), (np.abs(a) * learned).sum(axis=1).mean(axis=0)
    weight, sum_ = weight + weight.T, sum_ + sum_.T
    factor = np.divide(sum_, weight, out=np.full_like(sum_, np.nan), where=weight > 0)
    return Importance(np.array([factor[i, j] for i, j in layout.bones]), np.diagonal(factor).copy(), what)


def draw(layout: Layout, over: Importance | None = None) -> Any:
    """A figure of the layout; with `over`, colours and widths show what was learned."""
    at = positions(layout)
    span = np.maximum(np.ptp(at, axis=0), 1e-9)
    height = float(np.clip(8.5 * span[1] / max(span), 5, 9))
    figure = new_figure(8.5 if over is None else 9.6, height, dpi=110)
    axis = figure.subplots()
    axis.set(aspect="equal")
    axis.axis("off")
    axis.margins(0.14, 0.06)
    if over is None:
        _bones(axis, layout, at)
    else:
        _learned(figure, axis, layout, at, over)
    ring = person_colours(0)["left"]
    axis.plot(*at[layout.centre], "o", markersize=15, markerfacecolor="none", markeredgecolor=ring)
    _names(axis, layout, at)
    joints = f"{layout.name}: {len(layout.joints)} joints, {len(layout.bones)} bones"
    axis.set_title(f"{joints}, centre {layout.joints[layout.centre]}" + (f"\n{over.what}" if over else ""))
    return figure


def _bones(axis: Any, layout: Layout, at: np.ndarray) -> None:
    colours = person_colours(0)
    for (i, j), side in zip(layout.bones, bone_sides(layout), strict=True):
        axis.plot(*at[[i, j]].T, color=colours[side], linewidth=3, solid_capstyle="round", zorder=1)
    for name, place in zip(layout.joints, at, strict=True):
        axis.plot(*place, "o", color=colours[side_of(name)], markersize=7, zorder=2)


def _learned(figure: Any, axis: Any, layout: Layout, at: np.ndarray, over: Importance) -> None:
    """Bones and joints in the colour of their factor; bones with a larger factor are wider."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    both = np.concatenate([over.bones, over.joints])
    both = both[np.isfinite(both)]
    low, high = (float(both.min()), float(both.max())) if len(both) else (0.0, 1.0)
    seen = ListedColormap(
        colormaps["viridis"](np.linspace(0.25, 0.95, 256))
    )  # its ends cannot be seen on a dark or a light ground
    colour = ScalarMappable(Normalize(low, high if high > low else low + 1e-6), seen)
    for (i, j), factor in zip(layout.bones, over.bones, strict=True):
        share = (factor - low) / (high - low) if high > low else 0.5
        width = 2 + 6 * share
        axis.plot(*at[[i, j]].T, color=colour.to_rgba(factor), linewidth=width, solid_capstyle="round", zorder=1)
    axis.scatter(*at.T, c=colour.to_rgba(over.joints), s=90, zorder=2, edgecolors="#7a7f87", linewidths=0.8)
    bar = figure.colorbar(colour, ax=axis, shrink=0.6, label="learned factor; 1 is as initialised")
    bar.ax.ticklabel_format(
        useOffset=False
    )  # after few steps all are near 1; an offset "+1" above the scale is overlooked


def label_of(layout: Layout, index: int) -> str:
    """What is written beside a joint: its index and name, of a large skeleton the index."""
    return f"{index} {layout.joints[index]}" if len(layout.joints) <= _NAMED else str(index)


def _names(axis: Any, layout: Layout, at: np.ndarray) -> None:
    """Index and name of every joint, on its side without neighbours, else on the outer side."""
    middle = at[:, 0].mean() - 1e-9
    for index, (x, y) in enumerate(at):
        beside = at[[i + j - index for i, j in layout.bones if index in (i, j)]] - (x, y)
        up = _clear_of(beside)
        inwards = beside[:, 0].mean() if len(beside) and up == _UP else 0.0
        right = x >= middle if abs(inwards) < 1e-6 else inwards < 0
        axis.annotate(
            label_of(layout, index), (x, y), xytext=(9 if right else -9, up), textcoords="offset points",
            ha="left" if right else "right", va="center", fontsize=8.5 if len(at) <= _NAMED else 5, zorder=3,
        )  # fmt: skip


def _clear_of(beside: np.ndarray) -> int:
    """Points from a joint up to its name. `beside` (N, 2) are the neighbours, relative to the joint.

    Between two bones that both rise or both fall, one to each side, the name would cover a bone: it moves below or above.
    """
    aside = beside[np.abs(beside[:, 0]) > 1e-6]
    if len({*np.sign(aside[:, 0])}) < 2 or len({*np.sign(aside[:, 1])}) > 1:
        return _UP
    return -11 if aside[0, 1] > 0 else 11
