"""How the lower rooms speak to the user without knowing rich: the command hands them a Reporter."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Advance = Callable[..., None]


@contextlib.contextmanager
def no_progress(description: str, total: int | None, shown: bool = True) -> Iterator[Advance]:
    """A progress display that shows nothing."""
    yield lambda n=1, is_log_point=False, **words: None


def no_words(text: str) -> None:
    """Discard a note."""


@dataclass(frozen=True)
class Reporter:
    """progress(description, total, shown) yields advance(n, is_log_point, **words); note and warn print one line. Silent by default.

    The three are module-level functions, so that a Reporter crosses process borders.
    """

    progress: Callable[..., Any] = no_progress
    note: Callable[[str], None] = no_words
    warn: Callable[[str], None] = no_words


SILENT = Reporter()
