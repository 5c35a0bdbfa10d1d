"""CSV, a row for each joint: clip,frame,person,joint,x,y[,z][,score][,label][,subject]. Held whole.

`frame` counts from any number, a number left out is a frame without a person, and so is a row with an empty joint; `person` is
any word that stays with a person; `joint` is an index from 0, or a name of --layout; an empty x is a joint not seen; `label`
is an index or a class name. Other columns are not read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.formats.reading import MAX_FRAMES, MAX_JOINTS, MAX_VALUES, Options
from stgcn_cli.wording import nearest

HEADER = ("clip", "frame", "person", "joint", "x", "y", "z", "score", "label", "subject")
_NEEDED = ("clip", "frame", "joint", "x", "y")


def fits(head: bytes) -> bool:
    """Whether the first line has the columns that are needed."""
    first = head.removeprefix(b"\xef\xbb\xbf").splitlines()[:1]
    words = (
        [word.strip().strip('"').lower() for word in first[0].decode("utf-8", "replace").split(",")] if first else []
    )
    return {"clip", "joint", "x"} <= set(words)


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clips in the order of their first rows. Raises ValueError naming the line."""
    import pandas as pd

    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"no readable CSV: {error}".strip()) from error
    rows.columns = rows.columns.str.strip().str.lower()
    _check_header(list(rows.columns))
    columns = {name: rows[name].str.strip() for name in HEADER if name in rows}
    coordinates = [name for name in ("x", "y", "z") if name in columns]
    values = {name: _numbers(columns[name], name) for name in [*coordinates, "score"] if name in columns}
    joint = _joints(columns["joint"], options)
    joints = len(options.layout.joints) if options.layout else int(joint.max(initial=-1)) + 1
    if not 0 < joints <= MAX_JOINTS:
        raise ValueError(f"joint counts up to {joints - 1}; 1 to {MAX_JOINTS} joints are taken")
    frame = _whole(columns["frame"], "frame")
    person = columns["person"].to_numpy() if "person" in columns else np.zeros(len(rows), str)
    xyz = np.stack([values[name] for name in coordinates], axis=-1)
    for clip, index in rows.groupby(columns["clip"], sort=False).indices.items():
        score = values["score"][index] if "score" in values else None
        try:
            record = _clip(frame[index], person[index], joint[index], xyz[index], score, joints, options)
            words = {key: _one(columns[key].to_numpy()[index], key) for key in ("label", "subject") if key in columns}
        except ValueError as error:
            raise ValueError(f"clip {clip!r:.60}: {error}") from error
        yield {"frame_dir": str(clip), **record, **{key: word for key, word in words.items() if word is not None}}


def _check_header(names: list[str]) -> None:
    if twice := next((name for name in HEADER if names.count(name) > 1), None):
        raise ValueError(f"two columns are called {twice}")
    if missing := [name for name in _NEEDED if name not in names]:
        raise ValueError(
            f"there is no column {missing[0]!r}.{nearest(missing[0], names)} "
            "Expected clip,frame,person,joint,x,y[,z][,score][,label][,subject]"
        )


def _numbers(column: Any, name: str) -> np.ndarray:
    """float32, NaN where empty. Raises ValueError naming the line."""
    import pandas as pd

    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    wrong = np.isnan(values) & ~column.str.lower().isin(("", "nan", "na", "null")).to_numpy()
    if wrong.any():
        line = int(wrong.argmax())
        raise ValueError(f"line {line + 2}: {name} is {column.iloc[line]!r:.40}, not a number")
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _whole(column: Any, name: str) -> np.ndarray:
    import pandas as pd

    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    wrong = ~(np.abs(values) < 2**53) | (values != np.floor(values))
    if wrong.any():
        line = int(wrong.argmax())
        raise ValueError(f"line {line + 2}: {name} is {column.iloc[line]!r:.40}, not a whole number")
    return values.astype(np.int64)


def _joints(column: Any, options: Options) -> np.ndarray:
    """Joint indices, -1 where the field is empty."""
    names = {name.lower(): str(index) for index, name in enumerate(options.layout.joints)} if options.layout else {}
    words = column.str.lower().map(lambda word: names.get(word, word))
    known = words.eq("") | words.str.isdecimal()
    if not known.all():
        line = int((~known).to_numpy().argmax())
        word, close = column.iloc[line], nearest(column.iloc[line].lower(), list(names))
        raise ValueError(f"line {line + 2}: joint {word!r:.40} is no index from 0, nor a name in --layout.{close}")
    index = _whole(words.where(words.ne(""), "-1"), "joint")
    if options.layout and index.max(initial=0) >= len(options.layout.joints):
        line = int(index.argmax())
        raise ValueError(
            f"line {line + 2}: joint {index[line]}, but the layout has {len(options.layout.joints)} joints"
        )
    return index


def _clip(frame, person, joint, xyz, score, joints: int, options: Options) -> dict[str, Any]:  # type: ignore[no-untyped-def]
    """The arrays of one clip; its persons are those in most frames."""
    first, frames = int(frame.min()), int(frame.max() - frame.min()) + 1
    if frames > MAX_FRAMES:
        raise ValueError(f"its frames run from {first} to {frame.max()}: more than {MAX_FRAMES:,} are not taken")
    seen = joint >= 0
    who, code = np.unique(person[seen], return_inverse=True)
    counts = [len(np.unique(frame[seen][code == one])) for one in range(len(who))]
    place = np.full(max(1, len(who)), options.max_persons)
    order = sorted(range(len(who)), key=lambda one: -counts[one])[: options.max_persons]
    place[order] = np.arange(len(order))
    kept = place[code] < options.max_persons
    at = (place[code][kept], (frame[seen] - first)[kept], joint[seen][kept])
    shape = (max(1, len(order)), frames, joints, xyz.shape[1])
    if np.prod(shape) > MAX_VALUES:
        raise ValueError(f"{frames} frames of {joints} joints are too much for one clip")
    flat = np.ravel_multi_index(at, shape[:3])
    if len(np.unique(flat)) < len(flat):
        raise ValueError("a joint of a person stands twice in one frame; is the column person missing?")
    keypoint, record = np.zeros(shape, np.float32), {}
    keypoint[at] = xyz[seen][kept]
    if score is not None:
        record["keypoint_score"] = np.zeros(shape[:3], np.float32)
        record["keypoint_score"][at] = score[seen][kept]
    size = {"img_shape": options.image_size} if options.image_size and xyz.shape[1] == 2 else {}
    return {"keypoint": keypoint, **record, **size}


def _one(words: np.ndarray, key: str) -> str | int | None:
    """The word all rows of a clip agree on, a label that is a number as one; None when they are empty."""
    found = sorted({word for word in words if word})
    if len(found) > 1:
        raise ValueError(f"it has more than one {key}: {', '.join(found)[:80]}")
    word = found[0] if found else None
    return int(word) if word and key == "label" and word.isascii() and word.lstrip("-").isdigit() else word
