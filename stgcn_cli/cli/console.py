"""The only room that knows rich: results on stdout; progress, notes and messages on stderr; plain when piped."""

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from stgcn_cli.io.files import is_stream
from stgcn_cli.io.reporter import Advance, Reporter, no_progress, no_words
from stgcn_cli.io.text import json_text, one_line, printable

_UNBROKEN = 30  # characters of a first column that is kept in one line, so that names can be read and copied
_LOG_SECONDS, _LINE_SECONDS = 2.0, 30.0  # between lines of progress without a terminal: at log points, elsewhere
_quiet = False
_aside = False  # an output file goes to stdout, so tables and the like go to stderr
_live: Any = None  # the console of the bar that is shown: its lines go above the bar


def open_streams() -> None:
    """Write nowhere where a stream was closed (`2>&-`, some services); else the next file opened would take its place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        with contextlib.suppress(AttributeError, OSError, ValueError):  # a terminal of another language than the names
            getattr(sys, name).reconfigure(errors="backslashreplace")


def set_quiet(quiet: bool) -> None:
    """With `quiet`, notes and progress are not shown; warnings, errors and results still are."""
    global _quiet
    _quiet = quiet


def set_results_aside(*outs: Path | None) -> None:
    """Show results on stderr when one of the outputs is stdout (`-`), which then takes nothing else."""
    global _aside
    _aside = any(out is not None and is_stream(out) and str(out) != os.devnull for out in outs)


def _results() -> IO[str]:
    return sys.stderr if _aside else sys.stdout


def reporter() -> Reporter:
    """What the lower rooms speak through, as quiet as the user asked for."""
    return Reporter(no_progress, no_words, warn) if _quiet else Reporter(progress, note, warn)


def note(text: str) -> None:
    """One line for the user's information, on stderr."""
    if not _quiet:
        _say(text, "")


def warn(text: str) -> None:
    """Something the user should look at, on stderr, also when quiet."""
    _say(f"Warning: {text}", "magenta")  # yellow cannot be read on a light ground


def fail(message: str, hint: str = "") -> None:
    """The one message an error gives, on stderr."""
    _say(f"Error: {message}", "bold red")
    if hint:
        _say(hint, "")


def _say(text: str, style: str) -> None:
    try:
        if not sys.stderr.isatty():
            print(printable(text), file=sys.stderr, flush=True)
            return
        from rich.text import Text

        (_live or _stderr()).print(Text(printable(text), style=style))
    except OSError:  # a full disk behind 2>, a terminal that was closed: no reason to stop working
        discard_stream(sys.stderr)


def discard_stream(stream: IO) -> None:
    """Send what is still to be written to `stream`, which cannot take it, nowhere: its closing fails no more."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _stderr() -> Any:
    from rich.console import Console
    from rich.theme import Theme

    # else cyan and green, pale on white; and the part to come nearly black, stronger there than the part that is done
    theme = Theme({"progress.remaining": "default", "progress.download": "default", "bar.back": "grey50"})
    return Console(stderr=True, highlight=False, theme=theme, color_system=_colours())


def _colours() -> Literal["auto"] | None:
    """None, without bold, too, where the user wants no colour."""
    return None if os.environ.get("NO_COLOR") else "auto"


def say(text: str) -> None:
    """One line of results, on stdout."""
    print(printable(text), file=_results(), flush=True)


def open_in_browser(path: Path) -> None:
    """Show a file in the browser of the user."""
    import webbrowser

    webbrowser.open(path.resolve().as_uri())


def print_json(value: object) -> None:
    """A result for scripts, on stdout."""
    print(json_text(value), file=_results(), flush=True)


def gap() -> None:
    """An empty line between results; in a terminal, every table ends with one."""
    if not _results().isatty():
        print(file=_results(), flush=True)


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    whole: bool = False,
    optional: Sequence[str] = (),
) -> None:
    """A table of results on stdout: drawn in a terminal, aligned plain text of any width when piped.

    `whole`: plain in a terminal, too, which breaks the lines itself: so long texts (links) can be clicked and copied.
    `optional` columns are left out in a terminal that is too narrow, the first first.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]  # a name with a line break would look like a row
    if _results().isatty() and not whole:
        _draw_table(title, columns, cells, optional)
    else:
        print("\n".join(_plain_table(title, columns, cells)), file=_results(), flush=True)


def _draw_table(title: str, columns: Sequence[str], rows: list[list[str]], optional: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, left_out = Console(file=_results(), highlight=False, color_system=_colours()), 0
    widths = dict(zip(columns, (max(map(len, column)) for column in zip(columns, *rows, strict=True)), strict=False))
    while left_out < len(optional) and sum(width + 3 for width in widths.values()) > console.width:
        del widths[optional[left_out]]
        left_out += 1
    if left_out:
        kept = [index for index, column in enumerate(columns) if column in widths]
        columns, rows = [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]
    named = any(columns)  # without, no line for names that are not there
    drawn = Table(box=box.SIMPLE_HEAD, show_header=named)
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(_is_number(row[index]) for row in rows)
        short = index == 0 and max((len(row[0]) for row in rows), default=0) <= _UNBROKEN
        justify: Literal["left", "right"] = "right" if numeric else "left"
        drawn.add_column(Text(column), justify=justify, overflow="fold", no_wrap=short)
    for row in rows:
        drawn.add_row(*map(Text, row))
    console.print(Text(title, style="italic"))  # a title of the table would be broken to its width
    console.print(drawn)
    if left_out:
        note(
            f"Left out in {console.width} columns: {', '.join(optional[:left_out])}. A wider terminal or --json has them."
        )


def _plain_table(title: str, columns: Sequence[str], rows: list[list[str]]) -> list[str]:
    named = [columns] if any(columns) else []  # without, no line for names that are not there
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [*named, *rows]]
    return [title, *(line.rstrip() for line in lines)]


def _is_number(cell: str) -> bool:
    return bool(re.fullmatch(r"[-+]?[\d,.]+ ?%?|-|", cell))


def _progress_lines(description: str, total: int | None) -> Advance:
    """Return an advance that prints lines, for logs of schedulers: at log points, else when half a minute has passed."""
    done, printed = 0, time.monotonic()

    def advance(n: int = 1, is_log_point: bool = False, **words: object) -> None:
        nonlocal done, printed
        done += n
        seconds = time.monotonic() - printed
        if seconds >= (_LOG_SECONDS if is_log_point else _LINE_SECONDS):
            printed += seconds
            count = f"{done:,}/{total:,}" if total is not None else f"{done:,}"
            note(f"{description}: {count}" + "".join(f"  {key} {value}" for key, value in words.items()))

    return advance


@contextlib.contextmanager
def _live_bar(bar: Any) -> Iterator[Any]:
    """Show a bar, and other lines above it: printed past it they would stand behind it in its line."""
    global _live
    before, _live = _live, bar.console
    try:
        with bar:
            yield bar
    finally:
        _live = before


@contextlib.contextmanager
def progress(description: str, total: int | None, shown: bool = True) -> Iterator[Advance]:
    """Show how far a task of `total` steps is. Yields advance(n=1, is_log_point=False, **words); words stand to the right.

    Without a terminal it is a line at log points and every half minute. Nothing is shown when `shown` is false or the
    user asked for quiet.
    """
    if not shown or _quiet:
        yield lambda n=1, is_log_point=False, **words: None
        return
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield _progress_lines(description, total)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn()]
    columns += [TextColumn("{task.fields[words]}", markup=False)]
    columns += [TimeRemainingColumn(), TextColumn("left")] if total is not None else []
    with _live_bar(Progress(*columns, console=_stderr(), transient=True)) as bar:
        task = bar.add_task(printable(description), total=total, words="")

        def advance(n: int = 1, is_log_point: bool = False, **words: object) -> None:
            text = {"words": " ".join(f"{key} {value}" for key, value in words.items())} if words else {}
            bar.update(task, advance=n, **text)  # type: ignore[arg-type]  # fields of our own

        yield advance
