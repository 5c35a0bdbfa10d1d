"""What readers share: the user's options, JSON texts, and numbers of untrusted files."""

import contextlib
import json
import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Layout

MAX_FRAMES, MAX_JOINTS, MAX_VALUES = 100_000, 1000, 1 << 28  # of one clip; above, counts in a file are taken for wrong
NAMES = tomllib.loads((Path(__file__).parent / "names.toml").read_text("utf-8"))  # usual ones in other programs' files
_FEW = 7  # frames that may have the same distance by chance
MAX_JSON = 1 << 30  # bytes
MAX_PERSONS = 2  # of a clip, unless the user gives another number


@dataclass(frozen=True)
class Options:
    """What a file does not say itself. `image_size` is (height, width) in pixels.

    `max_persons` is the user's, for every format; without it `usual_persons` are kept of clips that are no records of a
    pickle. `axes` is the order of the axes of an array, as `axes.parse_axes` gives it; `score_last` says whether the last
    value of a joint is its score (None: as the values look). `format` is a name in FORMATS that every file is read as.
    """

    max_persons: int | None = None
    image_size: tuple[int, int] | None = None
    layout: Layout | None = None
    axes: str | None = None
    score_last: bool | None = None
    layout_is_model: bool = False  # the layout is that of a model, not one the user named: files may have another one
    format: str | None = None
    usual_persons: int = MAX_PERSONS

    @property
    def most_persons(self) -> int:
        """Persons kept of a clip that is no record of a pickle."""
        return self.max_persons or self.usual_persons

    @property
    def joints(self) -> int | None:
        """Those of the layout."""
        return len(self.layout.joints) if self.layout else None


def load_json(path: Path) -> Any:
    """The value in a JSON file, which is held whole; of a file with one value in each line their list. Raises ValueError, OSError."""
    if (size := path.stat().st_size) > MAX_JSON:
        raise ValueError(f"{size:,} bytes of JSON; more than {MAX_JSON:,} are not read")
    content = path.read_bytes()
    try:
        return json.loads(content)
    except (UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no JSON text: {error}") from error
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            with contextlib.suppress(ValueError, RecursionError):
                return [json.loads(line) for line in content.splitlines() if line.strip()]
        raise ValueError(f"no JSON text: {error.msg} in line {error.lineno}, column {error.colno}") from error


def dicts_in(value: Any, what: str) -> list[dict[str, Any]]:
    """`value`, which has to be a list of objects. Raises ValueError."""
    if not isinstance(value, list):
        raise ValueError(f"{what} is a {type(value).__name__}, not a list")
    if odd := [type(item).__name__ for item in value if not isinstance(item, dict)]:
        raise ValueError(f"{what} holds a {odd[0]} where an object should be")
    return value


def numbers(value: Any, what: str) -> np.ndarray:
    """`value`, a list of numbers or of rows of them, as float32; null is NaN. Raises ValueError."""
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} is no regular list of numbers") from error
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def triples(value: Any, width: int, what: str) -> np.ndarray:
    """(V, width) of a flat list x, y, score, x, y, score, ... Raises ValueError."""
    array = numbers(value, what).ravel()
    if len(array) % width or len(array) > width * MAX_JOINTS:
        raise ValueError(f"{what} has {len(array)} numbers, no multiple of {width}")
    return array.reshape(-1, width)


def frame_span(found: Iterable[int]) -> range:
    """Every frame number from the lowest to the highest found; of a video of which each n-th frame was kept only those.

    Raises ValueError for numbers that are no frames'.
    """
    numbers = sorted(set(found))
    if not numbers:
        return range(0)
    first, last = numbers[0], numbers[-1]
    if last - first >= MAX_FRAMES:
        raise ValueError(f"its frames run from {first} to {last}: more than {MAX_FRAMES:,} are not taken as one clip")
    return range(first, last + 1, math.gcd(*(number - first for number in numbers)) if len(numbers) > _FEW else 1)
