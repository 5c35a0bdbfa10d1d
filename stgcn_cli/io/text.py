"""Words for people: nearest known word, text safe for a terminal. Plain Python, for every room."""

import difflib
import itertools
import json
import os
import re
from collections.abc import Sequence
from numbers import Number
from pathlib import Path
from typing import Any

_FEW, _LONGEST, _LONGEST_NUMBER = 8, 60, 128  # values of a group; characters; bits
_TIMES = ((86_400, "d"), (3_600, "h"), (60, "min"))
_COMPUTED = ("=", "+", "-", "@")  # how cells begin that a spreadsheet computes
_NESTED = (tuple, list, dict, set, frozenset)
_CONTROL = re.compile(  # what moves the cursor; what turns the direction of writing; halves of characters
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: object) -> str:
    """`text` without terminal control characters, which file contents must not send to the terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))


def one_line(text: object) -> str:
    """A name out of a file, fit for the middle of a message: `printable`, and without line breaks and tabs."""
    return printable(text).replace("\n", "\N{REPLACEMENT CHARACTER}").replace("\t", " ")


def shortened(text: object, most: int) -> str:
    """The first `most` characters, the last of them … where there are more."""
    text = str(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few of many names."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(one_line, names[:most])) + more


def shown(value: object) -> str:
    """A value out of a file, fit for a message: short, without control characters, and at once.

    Values inside values are named by their type: a stranger may have nested them so that writing them out takes for ever.
    """
    if type(value) in (tuple, list) and len(value) <= _FEW and not any(isinstance(v, _NESTED) for v in value):  # type: ignore[arg-type,attr-defined]
        inside = ", ".join(map(shown, value))  # type: ignore[call-overload]
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER:
        return "a huge number"
    if isinstance(value, str | bytes):
        return repr(value[:_LONGEST]) + ("..." if len(value) > _LONGEST else "")
    if isinstance(value, Number | None):
        return str(value)
    return f"a {type(value).__name__}"


def shown_name(word: object) -> str:
    """A part of a name in a file, as it stands there where it can be printed."""
    return word[:_LONGEST] if isinstance(word, str) and word.isprintable() else shown(word)


def to_json(value: object, **options: Any) -> str:
    """`value` as JSON; NaN and infinity, which JSON does not have, become null."""
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:
        plain = json.loads(json.dumps(value, **options), parse_constant=lambda word: None)
        return json.dumps(plain, allow_nan=False, **options)


def json_text(value: object) -> str:
    """`value` as JSON that a terminal can show: control characters stay in it, in JSON's own spelling."""
    text = to_json(value, indent=2, ensure_ascii=False, default=str)
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def csv_cell(text: object) -> str:
    """A text for a table: one line, and with an apostrophe where a spreadsheet would compute it (=, +, -, @)."""
    cell = one_line(text).replace("\r", " ")
    return "'" + cell if cell.lstrip().startswith(_COMPUTED) else cell


def csv_text(cell: str) -> str:
    """What `csv_cell` was made of, but for control characters."""
    return cell[1:] if cell[:1] == "'" and cell[1:].lstrip().startswith(_COMPUTED) else cell


def nearest(word: str, known: Sequence[str]) -> str:
    """' Did you mean "x"?' for the known word most like `word`, else an empty string."""
    word = word[:_LONGEST]
    close = [each for each in known if len(word) > 2 and each.startswith(word)][:1]
    close = close or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    close = close or difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def nearest_file(path: Path) -> str:
    """' Did you mean "x"?' for the missing `path`: what is called most like its first part that is not there.

    An empty string when it is there after all, or nothing is called like it.
    """
    parts = [path, *path.parents]
    missing = next((part for part, folder in itertools.pairwise(parts) if folder.is_dir()), path)
    try:
        there = [] if os.path.lexists(missing) else os.listdir(missing.parent)
    except OSError:  # not ours to look into
        return ""
    close = difflib.get_close_matches(missing.name[:_LONGEST], there, n=1, cutoff=0.6)
    if not close:
        return ""
    found = missing.with_name(close[0])
    whole = found / path.relative_to(missing)
    return f" Did you mean {str(whole if whole.exists() else found)!r}?"


def duration(seconds: float) -> str:
    """Seconds for people: "45 s", "3 min 20 s", "2 d 4 h"."""
    for length, (unit, name) in enumerate(_TIMES):
        if seconds >= unit:
            smaller, small = [*_TIMES, (1, "s")][length + 1]
            return f"{seconds // unit:.0f} {name} {seconds % unit // smaller:.0f} {small}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"


def size(count: float) -> str:
    """Bytes for people: 3.2 GB (decimal)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} TB" if count < 1000 else f"{count:,.0f} TB"


_NUMBER = re.compile(r"(\d+)")


def natural(word: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers in texts by their value: class 2 before class 10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in _NUMBER.split(word)]
