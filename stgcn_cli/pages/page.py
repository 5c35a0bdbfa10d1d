"""One page out of the template: sections, and what the script needs, as data that no name in them can break out of."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from stgcn_cli import __version__
from stgcn_cli.pages.markup import text

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
    return files("stgcn_cli.pages").joinpath(name).read_text("utf-8").strip()
