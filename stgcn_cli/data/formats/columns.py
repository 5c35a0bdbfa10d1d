"""Columns of a table, read as texts -> numbers and indices; what cannot be one is named by its line (the header is line 1).

Columns are pandas Series of str.
"""

from typing import Any

import numpy as np

from stgcn_cli.data.formats.reading import MAX_JOINTS
from stgcn_cli.skeleton import Layout
from stgcn_cli.wording import nearest


def decimals(column: Any, name: str) -> np.ndarray:
    """float32, NaN where empty. Raises ValueError."""
    values = _parsed(column)
    wrong = np.isnan(values) & ~column.str.lower().isin(("", "nan", "na", "null")).to_numpy()
    _refuse(column, wrong, f"{name} is", ", not a number")
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def whole_numbers(column: Any, name: str) -> np.ndarray:
    """int64. Raises ValueError."""
    values = _parsed(column)
    _refuse(column, ~(np.abs(values) < 2**53) | (values != np.floor(values)), f"{name} is", ", not a whole number")
    return values.astype(np.int64)


def joint_indices(column: Any, layout: Layout | None) -> tuple[np.ndarray, int]:
    """Indices, or names in the layout, as indices, -1 where empty; and how many joints there are. Raises ValueError."""
    names = {name.lower(): str(index) for index, name in enumerate(layout.joints)} if layout else {}
    words = column.str.lower().map(lambda word: names.get(word, word))
    unknown = ~(words.eq("") | words.str.isdecimal()).to_numpy()
    close = nearest(column.iloc[int(unknown.argmax())].lower(), list(names)) if unknown.any() else ""
    _refuse(column, unknown, "joint", f" is no index from 0, nor a name in --layout.{close}")
    index = whole_numbers(words.where(words.ne(""), "-1"), "joint")
    count = len(layout.joints) if layout else int(index.max(initial=-1)) + 1
    if (highest := int(index.max(initial=-1))) >= count:
        raise ValueError(f"line {int(index.argmax()) + 2}: joint {highest}, but the layout has {count} joints")
    if not 0 < count <= MAX_JOINTS:
        raise ValueError(f"joint counts up to {count - 1}; 1 to {MAX_JOINTS} joints are taken")
    return index, count


def the_word(words: np.ndarray, key: str) -> str | int | None:
    """The word all rows of a clip agree on, a label that is a number as one; None when they are empty."""
    found = sorted({word for word in words if word})
    if len(found) > 1:
        raise ValueError(f"it has more than one {key}: {', '.join(found)[:80]}")
    word = found[0] if found else None
    return int(word) if word and key == "label" and word.isascii() and word.lstrip("-").isdigit() else word


def _parsed(column: Any) -> np.ndarray:
    import pandas as pd

    return pd.to_numeric(column, errors="coerce").to_numpy(np.float64)


def _refuse(column: Any, wrong: np.ndarray, before: str, after: str) -> None:
    """Raise ValueError for the first line that is wrong: what stands there, between `before` and `after`."""
    if wrong.any():
        line = int(wrong.argmax())
        raise ValueError(f"line {line + 2}: {before} {column.iloc[line]!r:.40}{after}")
