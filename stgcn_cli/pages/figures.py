"""Figures of matplotlib as part of a page: vector graphics in the page's own text colour, light or dark."""

import io
import re
from collections.abc import Callable
from typing import Any

_INK = "#010203"  # a colour nothing else has, which becomes the page's
AS_TEXT: Any = {"svg.fonttype": "none", "svg.hashsalt": "stgcn"}  # words stay words; the same drawing, the same bytes
_TEXT_KEYS = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "legend.labelcolor")


def figure(draw: Callable[[], Any | None]) -> str:
    """The figure that `draw` makes, as markup; empty when it makes none."""
    import matplotlib

    settings: Any = {key: _INK for key in _TEXT_KEYS} | AS_TEXT
    with matplotlib.rc_context(settings):
        drawn = draw()
        if drawn is None:
            return ""
        stream = io.StringIO()
        drawn.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return f"<figure>{svg_in_page(stream.getvalue())}</figure>"


def svg_in_page(svg: str) -> str:
    """The drawing without what only a file needs (prologue, metadata, names that would stand twice in the page)."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[a-z]+[\d._]*_\d+"', "", svg)
    return svg.replace(_INK, "currentColor")
