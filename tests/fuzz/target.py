"""What a target says of itself, and the words in which it tells what became of an input."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stgcn_cli.errors import StgcnError
from stgcn_cli.io.text import printable

HANG_S = 2.0


@dataclass(frozen=True)
class Target:
    """What is fuzzed. `attempt` gives a short word for what became of an input; anything but StgcnError is a finding."""

    name: str
    seeds: Callable[[], list[bytes]]
    mutate: Callable[[random.Random, bytes, list[bytes]], bytes]
    attempt: Callable[[bytes, Path], str]
    guided_by: tuple[str, ...] = ()  # source files whose branches are looked at
    memory_mb: int = 1500  # that the process may take beside what it has when it begins
    early: Callable[[str], bool] = lambda outcome: False  # whether an outcome is that of the first line
    hang_s: float = HANG_S
    network: bool = False  # whether it may connect to this machine


def refused(error: StgcnError, place: Path | None = None) -> str:
    """A refusal as a word, once it has been looked at: fit for a terminal, short, and naming the file."""
    text = printable(error)  # as it comes to the terminal
    assert text.count("\n") < 20, f"a message of too many lines: {text!r}"
    assert 10 < len(text) < 3000, f"{len(text)} characters of message"
    assert "Traceback" not in text and "Errno" not in text, text
    if place is not None:
        assert str(place) in text or place.name in text, f"the file is not named: {text}"
    return text.split("\n")[0]


def kind_of(outcome: str) -> str:
    """An outcome without the numbers, names and quotations in it."""
    plain = re.sub(r"'[^']*'|\"[^\"]*\"|/\S+|\[.*?\]", "_", outcome)
    return " ".join(re.sub(r"\d[\d,.]*", "#", plain).split())[:90].rstrip(":._ ")
