"""CSV, a row for each joint: clip,frame,person,joint,x,y[,z][,score][,label][,subject]. Held whole.

`frame` counts from any number, a number left out is a frame without a person, and so is a row with an empty joint; `person` is
any word that stays with a person; `joint` is an index from 0, or a name of --layout; an empty x is a joint not seen; `label`
is an index or a class name. Other columns are not read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.data.readers.parsing import MAX_FRAMES, MAX_JOINTS, MAX_VALUES, Options
from stgcn_cli.io.text import nearest

# Columns of a table, read as texts -> numbers and indices; what cannot be one is named by its line (the header is line 1).
#
# Columns are pandas Series of str.


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


# Rows, each of a frame, a person and a joint -> the arrays of a clip.
#
# Shapes: R rows, C coordinates.


class Rows(NamedTuple):
    """frame (R,), person (R,) any words, joint (R,) with -1 = nobody, xyz (R, C), and score (R,) where there is one."""

    frame: np.ndarray
    person: np.ndarray
    joint: np.ndarray
    xyz: np.ndarray
    score: np.ndarray | None

    def take(self, index: np.ndarray) -> "Rows":
        """Those at `index`."""
        return Rows(*(None if part is None else part[index] for part in self))  # type: ignore[arg-type]


def arrays_of(rows: Rows, joints: int, options: Options) -> dict[str, Any]:
    """keypoint, keypoint_score and img_shape of one clip. Raises ValueError."""
    first, frames = int(rows.frame.min()), int(rows.frame.max() - rows.frame.min()) + 1
    if frames > MAX_FRAMES:
        raise ValueError(f"its frames run from {first} to {rows.frame.max()}: more than {MAX_FRAMES:,} are not taken")
    seen = rows.take(rows.joint >= 0)
    persons, place = _places(seen, options.max_persons)
    shape = (persons, frames, joints, rows.xyz.shape[1])
    if np.prod(shape) > MAX_VALUES:
        raise ValueError(f"{frames} frames of {joints} joints are too much for one clip")
    kept = place < options.max_persons
    at = (place[kept], (seen.frame - first)[kept], seen.joint[kept])
    flat = np.ravel_multi_index(at, shape[:3])
    if len(np.unique(flat)) < len(flat):
        raise ValueError("a joint of a person stands twice in one frame; is the column person missing?")
    record: dict[str, Any] = {"keypoint": np.zeros(shape, np.float32)}
    record["keypoint"][at] = seen.xyz[kept]
    if seen.score is not None:
        record["keypoint_score"] = np.zeros(shape[:3], np.float32)
        record["keypoint_score"][at] = seen.score[kept]
    size = {"img_shape": options.image_size} if options.image_size and shape[3] == 2 else {}
    return record | size


def _places(seen: Rows, most: int) -> tuple[int, np.ndarray]:
    """How many persons are kept, and which of them each row is of, `most` for none: those in most frames, in this order."""
    who, code = np.unique(seen.person, return_inverse=True)
    counts = [len(np.unique(seen.frame[code == one])) for one in range(len(who))]
    order = sorted(range(len(who)), key=lambda one: -counts[one])[:most]
    place = np.full(max(1, len(who)), most)
    place[order] = np.arange(len(order))
    return max(1, len(order)), place[code]


HEADER = ("clip", "frame", "person", "joint", "x", "y", "z", "score", "label", "subject")
_NEEDED = ("clip", "frame", "joint", "x", "y")


def fits(head: bytes) -> bool:
    """Whether the first line has the columns that are needed."""
    first = b"".join(head.removeprefix(b"\xef\xbb\xbf").splitlines()[:1]).decode("utf-8", "replace")
    return {"clip", "joint", "x"} <= {word.strip().strip('"').lower() for word in first.split(",")}


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clips in the order of their first rows. Raises ValueError naming the line."""
    columns = _columns(path)
    values = {name: decimals(columns[name], name) for name in ("x", "y", "z", "score") if name in columns}
    joint, joints = joint_indices(columns["joint"], options.layout)
    person = columns["person"].to_numpy() if "person" in columns else np.zeros(len(joint), str)
    xyz = np.stack([values[name] for name in "xyz" if name in values], axis=-1)
    rows = Rows(whole_numbers(columns["frame"], "frame"), person, joint, xyz, values.get("score"))
    for clip, index in columns["clip"].groupby(columns["clip"], sort=False).indices.items():
        try:
            record = arrays_of(rows.take(index), joints, options)
            words = {
                key: the_word(columns[key].to_numpy()[index], key) for key in ("label", "subject") if key in columns
            }
        except ValueError as error:
            raise ValueError(f"clip {clip!r:.60}: {error}") from error
        yield {"frame_dir": str(clip), **record, **{key: word for key, word in words.items() if word is not None}}


def _columns(path: Path) -> dict[str, Any]:
    """The columns that are read, as texts. Raises ValueError."""
    import pandas as pd

    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"no readable CSV: {error}".strip()) from error
    names = list(rows.columns.str.strip().str.lower())
    if twice := next((name for name in HEADER if names.count(name) > 1), None):
        raise ValueError(f"two columns are called {twice}")
    if missing := [name for name in _NEEDED if name not in names]:
        raise ValueError(
            f"there is no column {missing[0]!r}.{nearest(missing[0], names)} "
            "Expected clip,frame,person,joint,x,y[,z][,score][,label][,subject]"
        )
    return {name: rows.iloc[:, index].str.strip() for index, name in enumerate(names) if name in HEADER}
