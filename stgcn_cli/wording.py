"""Words for people: nearest known word, text safe for a terminal. Plain Python, for every room."""

import difflib
import re
from collections.abc import Sequence

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: object) -> str:
    """`text` without terminal control characters, which file contents must not send to the terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))


def nearest(word: str, known: Sequence[str]) -> str:
    """' Did you mean "x"?' for the known word most like `word`, else an empty string."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
