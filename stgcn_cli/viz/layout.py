"""A skeleton layout as a picture: joint names, bones, the centre, and how much a model learned to listen to each.

Shapes: V joints, K partitions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.io.files import atomic_write
from stgcn_cli.models.graph import hops
from stgcn_cli.viz import skeleton
from stgcn_cli.viz.skeleton import bone_sides, side_of

_PLACES = {  # where the joints of a standing person are, in metres, who looks at us: their left is our right
    "nose": (0, 1.66), "head": (0, 1.72), "neck": (0, 1.48), "spine": (0, 1.36), "mid spine": (0, 1.17),
    "base of spine": (0, 0.95), "mid hip": (0, 0.95), "left eye": (0.09, 1.73), "left ear": (0.2, 1.68),
    "left shoulder": (0.24, 1.4), "left elbow": (0.42, 1.15), "left wrist": (0.56, 0.93), "left hand": (0.62, 0.83),
    "left hand tip": (0.68, 0.72), "left thumb": (0.5, 0.79), "left hip": (0.18, 0.89), "left knee": (0.24, 0.49),
    "left ankle": (0.27, 0.1), "left foot": (0.41, 0.02), "left big toe": (0.38, -0.05), "left small toe": (0.48, 0.03),
    "left heel": (0.21, 0.0),
}  # fmt: skip
_UP = 4  # points that a name stands above its joint
_LINES: Any = {"svg.fonttype": "none", "svg.hashsalt": "stgcn"}


@dataclass(frozen=True)
class Importance:
    """Learned factors: of each bone, of each joint's own past; 1 is untouched. `what` says where they come from."""

    bones: np.ndarray
    joints: np.ndarray
    what: str


def places(layout: Layout) -> np.ndarray:
    """(V, 2) where to draw the joints: as a person stands where all are known by name, else spread by their bones."""
    known = dict(_PLACES)
    known |= {f"right {name[5:]}": (-x, y) for name, (x, y) in _PLACES.items() if name.startswith("left ")}
    if all(name in known for name in layout.joints):
        return np.array([known[name] for name in layout.joints], float)
    return _spread(layout)


def _spread(layout: Layout) -> np.ndarray:
    """(V, 2) distances as near as possible to the number of bones between joints: stress majorisation (Gansner 2004)."""
    wanted = hops(layout)
    wanted = np.where(np.isfinite(wanted), wanted, len(wanted) ** 0.5 + 1)
    count = len(wanted)
    if count == 1:
        return np.zeros((1, 2))
    np.fill_diagonal(wanted, 1)
    weight = wanted**-2.0
    np.fill_diagonal(weight, 0)
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1) * wanted[layout.centre, :, None]
    solve = np.linalg.pinv(np.diag(weight.sum(axis=1)) - weight)
    for _ in range(300):
        apart = x[:, None] - x[None]
        distance = np.maximum(np.linalg.norm(apart, axis=-1), 1e-9)
        pull = (weight * wanted / distance)[..., None] * apart
        x = solve @ pull.sum(axis=1)
    return x - x[layout.centre]


def importance(layout: Layout, a: np.ndarray, learned: np.ndarray, what: str) -> Importance:
    """The learned factors of `learned` (blocks, K, V, V), weighted by the adjacency `a` (K, V, V), averaged over blocks.

    A bone's factor is that of both directions together.
    """
    weight, sum_ = np.abs(a).sum(axis=0), (np.abs(a) * learned).sum(axis=1).mean(axis=0)
    weight, sum_ = weight + weight.T, sum_ + sum_.T
    factor = np.divide(sum_, weight, out=np.full_like(sum_, np.nan), where=weight > 0)
    return Importance(np.array([factor[i, j] for i, j in layout.bones]), np.diagonal(factor).copy(), what)


def draw(layout: Layout, over: Importance | None = None) -> Any:
    """A figure of the layout; with `over`, colours and widths tell what was learned."""
    from matplotlib.figure import Figure

    at = places(layout)
    span = np.maximum(np.ptp(at, axis=0), 1e-9)
    height = float(np.clip(8.5 * span[1] / max(span), 5, 9))
    figure = Figure(figsize=(8.5 if over is None else 9.6, height), dpi=110, layout="constrained")
    axis = figure.subplots()
    axis.set(aspect="equal")
    axis.axis("off")
    axis.margins(0.14, 0.06)
    if over is None:
        _bones(axis, layout, at)
    else:
        _learned(figure, axis, layout, at, over)
    axis.plot(*at[layout.centre], "o", markersize=15, markerfacecolor="none", markeredgecolor=skeleton.PERSONS[0][0])
    _names(axis, layout, at)
    joints = f"{layout.name}: {len(layout.joints)} joints, {len(layout.bones)} bones"
    axis.set_title(_plain(f"{joints}, centre {layout.joints[layout.centre]}" + (f"\n{over.what}" if over else "")))
    return figure


def write(layout: Layout, path: Path, over: Importance | None = None) -> None:
    """Write the drawing as .png or .svg."""
    import matplotlib

    with matplotlib.rc_context(_LINES), atomic_write(path) as stream:
        about = {"Date": None} if path.suffix == ".svg" else None
        draw(layout, over).savefig(stream, format=path.suffix[1:], metadata=about)


def _bones(axis: Any, layout: Layout, at: np.ndarray) -> None:
    colours = skeleton.of_person(0)
    for (i, j), side in zip(layout.bones, bone_sides(layout), strict=True):
        axis.plot(*at[[i, j]].T, color=colours[side], linewidth=3, solid_capstyle="round", zorder=1)
    for name, place in zip(layout.joints, at, strict=True):
        axis.plot(*place, "o", color=colours[side_of(name)], markersize=7, zorder=2)


def _learned(figure: Any, axis: Any, layout: Layout, at: np.ndarray, over: Importance) -> None:
    """Bones and joints in the colour of their factor, the wider the larger."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    both = np.concatenate([over.bones, over.joints])
    both = both[np.isfinite(both)]
    low, high = (float(both.min()), float(both.max())) if len(both) else (0.0, 1.0)
    seen = ListedColormap(colormaps["viridis"](np.linspace(0.25, 0.95, 256)))  # its ends are lost on dark or on light
    colour = ScalarMappable(Normalize(low, high if high > low else low + 1e-6), seen)
    for (i, j), factor in zip(layout.bones, over.bones, strict=True):
        share = (factor - low) / (high - low) if high > low else 0.5
        width = 2 + 6 * share
        axis.plot(*at[[i, j]].T, color=colour.to_rgba(factor), linewidth=width, solid_capstyle="round", zorder=1)
    axis.scatter(*at.T, c=colour.to_rgba(over.joints), s=90, zorder=2, edgecolors="#7a7f87", linewidths=0.8)
    bar = figure.colorbar(colour, ax=axis, shrink=0.6, label="learned factor; 1 is as at the beginning")
    bar.ax.ticklabel_format(useOffset=False)  # after few steps all are near to 1; "+1" above small numbers misleads


def _names(axis: Any, layout: Layout, at: np.ndarray) -> None:
    """Index and name of every joint, on the side where it has no neighbours; of equal sides, outwards."""
    middle = at[:, 0].mean() - 1e-9
    for index, (name, (x, y)) in enumerate(zip(layout.joints, at, strict=True)):
        beside = at[[i + j - index for i, j in layout.bones if index in (i, j)]] - (x, y)
        up = _clear_of(beside)
        inwards = beside[:, 0].mean() if len(beside) and up == _UP else 0.0
        right = x >= middle if abs(inwards) < 1e-6 else inwards < 0
        axis.annotate(
            _plain(f"{index} {name}"), (x, y), xytext=(9 if right else -9, up), textcoords="offset points",
            ha="left" if right else "right", va="center", fontsize=8.5, zorder=3,
        )  # fmt: skip


def _clear_of(beside: np.ndarray) -> int:
    """How many points above its joint a name stands; `beside` (N, 2) are the neighbours as seen from there.

    Under two that go up to both sides, or over two that go down, it would lie on a bone: it stands on the other side of them.
    """
    aside = beside[np.abs(beside[:, 0]) > 1e-6]
    if len({*np.sign(aside[:, 0])}) < 2 or len({*np.sign(aside[:, 1])}) > 1:
        return _UP
    return -11 if aside[0, 1] > 0 else 11


def _plain(text: str) -> str:
    return text.replace("$", r"\$")
