"""CSV, a row for each joint: clip,frame,person,joint,x,y[,z][,score][,label][,subject]. Held whole.

`frame` counts from any number, a number left out is a frame without a person, and so is a row with an empty joint; `person` is
any word that stays with a person; `joint` is an index from 0, or a name of --layout; an empty x is a joint not seen; `label`
is an index or a class name. Other columns are not read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.formats.columns import decimals, joint_indices, the_word, whole_numbers
from stgcn_cli.data.formats.joint_rows import Rows, arrays_of
from stgcn_cli.data.formats.reading import Options
from stgcn_cli.wording import nearest

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
