"""Small pieces of HTML. Every text from outside goes through `text`."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from stgcn_cli.wording import printable


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
