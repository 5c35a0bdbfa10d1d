"""Render a page from its templates: texts are escaped, data stay data, and a policy lets only the page's own script run."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from stgcn_cli import __version__
from stgcn_cli.io.files import atomic_write
from stgcn_cli.io.text import printable
from stgcn_cli.viz import plots

_INK = "#010203"  # a colour that nothing else has; replaced by the text colour of the page, which may be light or dark
_TEXT_KEYS = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "legend.labelcolor")


@dataclass(frozen=True)
class Cell:
    """A cell of a table: text, the value to sort by, and the length of a bar (0 to 1)."""

    shown: object
    value: float | None = None
    share: float | None = None

    @classmethod
    def of_share(cls, share: float | None) -> "Cell":
        """A share in percent with its bar; empty for None."""
        return cls("") if share is None else cls(f"{100 * share:.1f} %", share, min(max(share, 0.0), 1.0))


@dataclass(frozen=True)
class Column:
    """Heading of a column; numbers are aligned to the right."""

    heading: str
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """A table; a `sortable` one is sorted by a click on a heading."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    sortable: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a page: its address in the page, its heading, and the macro that draws it with its arguments."""

    anchor: str
    heading: str
    macro: str
    values: Mapping[str, Any]


def page(parts: str, title: str, lead: str, sections: Sequence[Section], data: Mapping[str, Any]) -> str:
    """The whole page. `parts` is the template with the macros of the sections, `lead` a text below the title.

    `data` is what the script reads: {"clips": …, "matrices": …}.
    """
    environment = Environment(
        loader=PackageLoader("stgcn_cli.viz", "html"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=lambda value: value if isinstance(value, Markup) else printable(value),
    )  # fmt: skip
    scripts = "\n".join(map(_part, ("page.js", "matrix.js", "player.js")))
    script = f'"use strict";\n(() => {{\n{scripts}\nbegin();\n}})();'
    return environment.get_template("page.html").render(
        parts=parts, title=title, lead=lead, sections=sections, version=__version__, policy=Markup(policy(script)),
        style=Markup(_part("page.css")), data=Markup(as_data(data)), script=Markup(script),
    )  # fmt: skip


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8").strip()


def policy(script: str) -> str:
    """Content security policy: run this script and no other, show pictures that are in the page, load nothing."""
    digest = base64.b64encode(hashlib.sha256(f"\n{script}\n".encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def as_data(value: Any) -> str:
    """`value` as JSON that stays inside its script element, whatever texts are in it. ASCII only."""
    dumped = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return dumped.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def write_page(path: Path, content: str) -> None:
    """Write a page atomically; what UTF-8 cannot hold becomes a question mark. Raises RunError."""
    with atomic_write(path) as stream:
        stream.write(content.encode("utf-8", "replace"))


def drawing(draw: Callable[[], Any | None], salt: str = "stgcn") -> Markup:
    """The matplotlib figure that `draw` returns as SVG in the text colour of the page; empty for None.

    Drawings of one page need different salts, since the identifiers of their marks follow from it.
    """
    import matplotlib

    settings: Any = dict.fromkeys(_TEXT_KEYS, _INK) | plots.SVG_SETTINGS | {"svg.hashsalt": salt}
    with matplotlib.rc_context(settings):
        figure = draw()
        if figure is None:
            return Markup("")
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[\w.]*_\d+"', "", svg)  # names that would be in the page twice
    return Markup(svg.replace(_INK, "currentColor"))
