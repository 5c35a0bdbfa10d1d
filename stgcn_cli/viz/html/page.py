"""One page out of the template: sections, and what the script needs, as data that no name in them can break out of."""

import base64
import hashlib
import html
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from stgcn_cli import __version__
from stgcn_cli.io.text import printable

# Small pieces of HTML. Every text from outside goes through `text`.


def text(value: object) -> str:
    """`value` as text in HTML, also inside a quoted attribute."""
    return html.escape(printable(value), quote=True)


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is shown, what it is sorted by, and a bar of this share (0 to 1) behind it."""

    shown: object
    value: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class Column:
    """A column's heading; one of numbers stands to the right."""

    heading: str
    is_number: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], sortable: bool = False) -> str:
    """A table; a `sortable` one is sorted by a click on a heading."""
    kind = "sortable" if sortable else "plain"
    heads = "".join(_head(column, sortable) for column in columns)
    body = "\n".join(
        f"<tr>{''.join(_cell(cell, column) for cell, column in zip(row, columns, strict=True))}</tr>" for row in rows
    )
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{heads}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _head(column: Column, sortable: bool) -> str:
    shown = f'<button type="button">{text(column.heading)}</button>' if sortable else text(column.heading)
    return f'<th scope="col"{_class(column)}>{shown}</th>'


def _cell(cell: Cell, column: Column) -> str:
    value = "" if cell.value is None else f' data-value="{cell.value:.6g}"'
    shown = text(cell.shown)
    if cell.share is not None:
        width = 100 * min(max(cell.share, 0.0), 1.0)
        shown = f'<span class="bar"><span style="width:{width:.1f}%"></span></span><span class="figure">{shown}</span>'
        return f'<td class="number barred"{value}>{shown}</td>'
    return f"<td{_class(column)}{value}>{shown}</td>"


def _class(column: Column) -> str:
    return ' class="number"' if column.is_number else ""


def tiles(pairs: Sequence[tuple[str, str, str]]) -> str:
    """Figures to see first: (what, figure, remark)."""
    return (
        '<dl class="tiles">'
        + "".join(
            f"<div><dt>{text(what)}</dt><dd>{text(figure)}</dd>"
            + (f"<p>{text(remark)}</p>" if remark else "")
            + "</div>"
            for what, figure, remark in pairs
        )
        + "</dl>"
    )


def paragraph(value: object) -> str:
    """A paragraph of text."""
    return f"<p>{text(value)}</p>"


def folded(summary: str, inside: str) -> str:
    """`inside` (markup) behind a line to click on."""
    return f"<details><summary>{text(summary)}</summary>{inside}</details>"


def verbatim(value: str) -> str:
    """A text as it stands in a file."""
    kept = "\n".join(text(line) for line in value.splitlines())
    return f"<pre>{kept}</pre>"


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """A list of names and values."""
    return (
        '<dl class="facts">'
        + "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in pairs)
        + "</dl>"
    )


# Figures of matplotlib as part of a page: vector graphics in the page's own text colour, light or dark.

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


_SLOT = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading. `html` is ready markup; `anchor` is its address within the page."""

    anchor: str
    heading: str
    html: str


def page(title: str, lead: str, sections: Sequence[Section], data: dict[str, Any]) -> str:
    """The whole page. `lead` is markup below the title, `data` what the script reads: {"clips": …, "matrices": …}."""
    script = _script()
    values = {
        "title": text(title),
        "lead": lead,
        "version": text(__version__),
        "policy": policy(script),
        "style": _part("page.css"),
        "contents": _contents(sections),
        "sections": "\n".join(map(_section, sections)),
        "data": as_data(data),
        "script": script,
    }
    return _SLOT.sub(lambda slot: values[slot[1]], _part("template.html"))


def _script() -> str:
    parts = "\n".join(_part(name) for name in ("page.js", "matrix.js", "player.js"))
    return f'"use strict";\n(() => {{\n{parts}\nbegin();\n}})();'


def policy(script: str) -> str:
    """What the browser may do: run this one script, show pictures that are in the page, and ask nobody for anything."""
    digest = base64.b64encode(hashlib.sha256(f"\n{script}\n".encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def as_data(value: Any) -> str:
    """`value` as JSON that stays inside its script element, whatever texts are in it. ASCII only."""
    dumped = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return dumped.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _contents(sections: Sequence[Section]) -> str:
    named = [section for section in sections if section.heading]
    links = " ".join(f'<a href="#{section.anchor}">{text(section.heading)}</a>' for section in named)
    return f'<nav aria-label="On this page">{links}</nav>' if len(named) > 2 else ""


def _section(section: Section) -> str:
    heading = f"<h2>{text(section.heading)}</h2>\n" if section.heading else ""
    return f'<section id="{section.anchor}">\n{heading}{section.html}\n</section>'


def _part(name: str) -> str:
    return files("stgcn_cli.viz.html").joinpath(name).read_text("utf-8").strip()
