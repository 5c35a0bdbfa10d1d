"""Text tables, a row for each frame or for each joint (over 250 lines: both share roles, header and refusals).

A row a joint: clip,frame,person,joint,x,y[,z][,score][,label][,subject], also under other usual names. A row a frame: columns
that name joints and axes (`wide_columns`). Without a column that tells the clip, the file is the clip; where the label changes
inside it, each run of rows with one label is. `frame` counts from any number, a number left out is a frame without a person;
a time in its place tells the order only; without both the rows are the frames. An empty x is a joint not seen. Other columns
are not read. The table is held whole.
"""

import contextlib
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import LAYOUTS, Layout, layout_for
from stgcn_cli.data import axes
from stgcn_cli.data.readers import arrays, frame_list, list_cells
from stgcn_cli.data.readers.parsing import MAX_JOINTS, MAX_VALUES, NAMES, Options, load_json
from stgcn_cli.data.readers.persons import JOINTS
from stgcn_cli.data.readers.table_clips import Entries, clips_of, rows_of, values_of
from stgcn_cli.data.readers.table_text import Table, decimals, parsed, read_table, refuse, table_of
from stgcn_cli.data.readers.wide_columns import Joints, joint_words, joints_in, order_of, with_axes
from stgcn_cli.errors import DataError
from stgcn_cli.io.text import nearest, one_line

_ROLES = NAMES["columns"]  # what a column tells -> its usual names
_IDS = ("id", "object id", "obj id", "instance", "instance id", "human id", "tid", "idx")  # persons where frames repeat
_EXPECTED = (
    "Expected a row a joint (clip,frame,person,joint,x,y[,z][,score][,label][,subject]) or a row a frame (frame,nose_x,nose_y,… "
    "or x1,y1,x2,y2,…)"
)
_SHOWN = 8  # columns in a message
_KEY = re.compile(rb'"([^"\\]{1,80})"\s*[:,\]]')  # of JSON, or a name in a list of columns


def fits(head: bytes) -> bool:
    """Whether the first lines have columns of joints, or are rows of numbers only; or unclear, to be refused."""
    try:
        return has_joints(head)
    except ValueError:
        return "x" in head[:4096].decode("utf-8", "replace").lower()


def has_joints(head: bytes) -> bool:
    """Whether the first lines have columns of joints, or are rows of numbers only. Raises ValueError."""
    table = _beginning(head)
    if not any(table.names):
        return len(table.names) > _SHOWN
    lists = list_cells.list_columns(table) or any(name.strip().lower() in JOINTS for name in table.names)
    return bool(lists) or "joint" in _roles(table.names) or joints_in(table.names, None) is not None


def fits_text(head: bytes) -> bool:
    """Whether a text of any name has columns of joints, or as many numbers as a skeleton has."""
    try:
        table = _beginning(head)
        if any(table.names):
            return bool(list_cells.list_columns(table)) or joints_in(table.names, None) is not None
        return bool(axes.understand(_counted(_numbers(table))[0], "T(VC)"))
    except (ValueError, DataError):
        return False


def is_frame(head: bytes) -> bool:
    """Whether a text is one row of numbers: the joints of a frame."""
    rows = [row for row in head.splitlines() if row.strip()]
    return len(rows) == 1 and not re.search(rb"[A-Za-df-z]", rows[0])


def read_frames(numbers: Sequence[int], files: Sequence[Path], options: Options) -> dict[str, Any]:
    """The clip of such texts."""
    return arrays.clip_of_frames(numbers, [_numbers(read_table(file))[0] for file in files], options)


def _beginning(head: bytes) -> Table:
    """The first lines as a table. Raises ValueError."""
    lines = head.decode("utf-8", "replace").splitlines(keepends=True)
    return table_of("".join(lines[: max(1, min(6, len(lines) - (len(head) >= 1 << 16)))]))


def fits_json(head: bytes) -> bool:
    """Whether the keys of a JSON text are columns of joints, or the names of joints."""
    keys = list(dict.fromkeys(key.decode("utf-8", "replace") for key in _KEY.findall(head)))
    words = {joint_words(key) for key in keys}
    if any(len(words & {joint_words(joint) for joint in each.joints}) > _SHOWN for each in LAYOUTS.values()):
        return True
    try:
        return {"joint", "x", "y"} <= _roles(keys).keys() or joints_in(keys, None) is not None
    except ValueError:
        return True  # to be refused


def read_json(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clips of a table in JSON, in the order of their first rows."""
    rows, stream = list_cells.rows_of(load_json(path)), io.StringIO()
    writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    yield from _clips(table_of(stream.getvalue()), path.stem, options)


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clips in the order of their first rows. Raises ValueError naming the line or the columns."""
    yield from _clips(read_table(path), path.stem, options)


def _clips(table: Table, stem: str, options: Options) -> Iterator[dict[str, Any]]:
    if not any(table.names):
        yield from _without_header(table, stem, options)
        return
    roles, lists = _roles(table.names), list_cells.list_columns(table)
    with contextlib.suppress(ValueError):  # raised below, where there are no lists
        wide = joints_in(table.names, options.layout) if lists else None
        lists = [] if (wide and len(wide.names) > len(lists) + 2) or {"joint", "x"} <= roles.keys() else lists
    if lists:
        rows = list_cells.objects(table, lists, roles, with_axes(table.names))
        for clip in frame_list.clips_in_value(rows, options, stem):
            name = clip.get("frame_dir", "").removeprefix(f"{stem}/")
            yield clip | ({"frame_dir": name} if name else {})
        return
    if "person" not in roles and "frame" in roles and not table.columns[roles["frame"]].is_unique:
        ids = [index for index, name in enumerate(table.names) if _plain(name) in _IDS]
        roles |= {"person": ids[0]} if ids else {}
    if {"joint", "x"} <= roles.keys():
        for key in ("frame", "x", "y"):
            if key not in roles and not (key == "frame" and "time" in roles):
                close = nearest(key, table.names)
                raise ValueError(f"column {key!r} not found.{close} {_EXPECTED}; found {_listed(table)}")
        yield from _of_joints(table.take(np.flatnonzero(~table.is_empty())), roles, stem, options)
        return
    joints = joints_in(table.names, options.layout)
    if joints is None:
        raise ValueError(f"its columns name no joints: {_listed(table)}. {_EXPECTED}")
    used = {index for columns in joints.columns.values() for values in columns for index in values.values()}
    roles = {key: index for key, index in roles.items() if index not in used}
    yield from _of_bodies(table, roles, joints, stem, options)


def _without_header(table: Table, stem: str, options: Options) -> Iterator[dict[str, Any]]:
    """The clip of rows of numbers: x, y, … of the only known skeleton that has as many. Raises ValueError, DataError."""
    columns, is_counted = _counted(_numbers(table))
    notes = (f"{stem}: the first column counts rows and is left out.",) if is_counted else ()
    if columns.shape[1] in (2, 3, 4):  # a row a joint, one frame below the other
        if options.joints is None or len(columns) % options.joints:
            held = f"line 1 holds numbers only, {columns.shape[1]} in each of {len(columns)} rows"
            raise ValueError(f"{held}; if a row is a joint, name the skeleton with --layout")
        columns = columns.reshape(-1, options.joints * columns.shape[1])
    try:
        reading = arrays.understand(columns, options.axes or "T(VC)", options)
        reading = reading if options.axes else arrays.untwisted(columns, reading, options.layout)
        found = list(arrays.clips_read(columns, reading, options, stem))
    except DataError as error:
        raise ValueError(
            f"line 1 holds numbers only: no header names joints, and {error.message}. {_EXPECTED}"
        ) from error
    order, other = ("all x before all y", "T(VC)") if "CV" in reading.order else ("one after the other", "T(CV)")
    said = f"{stem}: there is no header; each row is taken for the joints of a frame, {order} (else --axes '{other}')."
    yield from (clip | {"notes": (*notes, said)} for clip in found)


def _numbers(table: Table) -> np.ndarray:
    """(R, columns) float32. Raises ValueError naming the line."""
    return np.stack([decimals(table, index, f"column {index + 1}") for index in range(len(table.names))], axis=1)


def _counted(columns: np.ndarray) -> tuple[np.ndarray, bool]:
    """Columns (R, C) without the first one where it counts the rows, and whether it does."""
    is_counted = len(columns) > 2 and bool((np.diff(columns[:, 0]) == 1).all())
    return columns[:, 1:] if is_counted else columns, is_counted


def _listed(table: Table) -> str:
    more = f" and {len(table.names) - _SHOWN} more" if len(table.names) > _SHOWN else ""
    return ", ".join(one_line(name)[:40] or "(no name)" for name in table.names[:_SHOWN]) + more


def _roles(names: Sequence[str]) -> dict[str, int]:
    """The column of each role. Raises ValueError where the documented name of one stands twice."""
    plain, roles = list(map(_plain, with_axes(names))), {}
    for role, usual in _ROLES.items():
        if plain.count(usual[0]) > 1:
            raise ValueError(f"two columns are called {usual[0]}")
        if found := next((name for name in usual if name in plain), None):
            roles[role] = plain.index(found)
    return roles


def _plain(name: str) -> str:
    """A name of a column in lower case, with spaces between its words."""
    return " ".join(re.sub(r"[_.-]", " ", name.lower()).split())


def _of_joints(table: Table, roles: dict[str, int], stem: str, options: Options) -> Iterator[dict[str, Any]]:
    """The clips of rows of a joint each."""
    xyz = np.stack([decimals(table, roles[key], key) for key in "xyz" if key in roles], axis=-1)
    score = decimals(table, roles["score"], "score") if "score" in roles else None
    joint, joints, layout = joint_indices(table, roles["joint"], xyz.shape[-1], options.layout)
    person = table.words(roles["person"]).to_numpy(object) if "person" in roles else np.zeros(len(joint), str)
    rows, values = rows_of(table, roles, person), values_of(xyz, score, options)
    notes = values.notes + (() if (joint == 0).any() else ("Joint 0 is in no row: joints are taken to count from 0.",))
    entries = Entries(np.arange(len(joint)), person, joint >= 0, values, joints, np.maximum(joint, 0))
    yield from clips_of(entries, rows, stem, options, {"notes": notes, "layout": layout})


def _of_bodies(
    table: Table, roles: dict[str, int], joints: Joints, stem: str, options: Options
) -> Iterator[dict[str, Any]]:
    """The clips of rows of all joints of a person; several persons side by side are put one below the other."""
    count, length = len(joints.names), len(table.lines)
    if count > MAX_JOINTS or length * count * 4 > MAX_VALUES:
        raise ValueError(f"{length:,} rows of {count:,} joints are too much")
    if not length:
        raise ValueError("it has a header and no rows")

    def stacked(axis: str) -> np.ndarray:
        """(R, V) of one value of all persons; a score without a column is 1."""
        columns = [[values.get(axis) for values in person] for person in joints.columns.values()]
        ones = np.ones(length, np.float32)
        each = [[ones if c is None else decimals(table, c, table.names[c]) for c in person] for person in columns]
        return np.concatenate([np.stack(person, axis=1) for person in each])

    xyz = np.stack([stacked(axis) for axis in ("xyz" if joints.has_z else "xy")], axis=-1)
    if any("%" in table.names[values["x"]] for person in joints.columns.values() for values in person):
        xyz /= 100
    values = values_of(xyz, stacked("score") if joints.scored else None, options)
    names = list(joints.columns)
    person = np.repeat(np.array(names), length)
    if len(names) == 1 and "person" in roles:
        person = table.words(roles["person"]).to_numpy(object)
    rows = rows_of(table, roles, person[:length] if len(names) == 1 else np.zeros(length, str))
    seen = np.nan_to_num(values.keypoint).any(axis=(1, 2))
    notes = values.notes
    if 0 < joints.scored < count:
        notes += (f"{joints.scored} of {count} joints have a column of scores; the score of the others is taken as 1.",)
    entries = Entries(np.tile(np.arange(length), len(names)), person, seen, values, count)
    facts = {"notes": notes} | ({} if joints.layout is None else {"layout": joints.layout})
    yield from clips_of(entries, rows, stem, options, facts)


def joint_indices(
    table: Table, column: int, coordinates: int, layout: Layout | None
) -> tuple[np.ndarray, int, Layout | None]:
    """Index of the joint of each row, -1 where empty; how many joints there are, and the skeleton that their names tell.

    Joints are indices from 0 (from 1 where the skeleton fits so only), names in `layout`, or without one any names. Raises ValueError.
    """
    words = table.words(column).str.lower()
    unique = [word for word in dict.fromkeys(table.words(column)) if word]
    known: dict[str, int] = {}
    if layout is not None:
        places = {joint_words(name): index for index, name in enumerate(layout.joints)}
        known = {word.lower(): places[joint_words(word)] for word in unique if joint_words(word) in places}
    elif not any(word.isdecimal() for word in unique):
        order, layout = order_of(unique, (coordinates,), None)
        known = {word.lower(): index for index, word in enumerate(order)}
    found = words.map(lambda word: str(known.get(word, word)))
    unknown = ~(found.eq("") | found.str.isdecimal()).to_numpy()
    wrong = words.iloc[int(unknown.argmax())] if unknown.any() else ""
    close = f".{near}" if (near := nearest(wrong, list(layout.joints if layout else known))) else ""
    refuse(table, column, unknown, "joint", f", neither an index from 0 nor a name in --layout{close}")
    index = parsed(found.where(found.ne(""), "-1"))
    refuse(table, column, ~(index < 1e9), "joint", " is no index")
    index = index.astype(np.int64)
    highest, is_0 = int(index.max(initial=-1)), bool((index == 0).any())
    if layout is not None and not known:
        from_1 = highest == len(layout.joints)
    else:
        fits_from_0, fits_from_1 = (layout_for((max(n, 0), coordinates, False)) for n in (highest + 1, highest))
        every = len(np.unique(index[index > 0])) == highest
        from_1 = layout is None and every and (fits_from_1 is not None or fits_from_0 is None)
    if from_1 and not is_0 and highest > 0:
        index, highest = np.where(index > 0, index - 1, -1), highest - 1
    count = max(len(layout.joints) if layout else 0, len(known)) or highest + 1
    if highest >= count:
        raise ValueError(f"line {table.lines[int(index.argmax())]}: joint {highest}, but the layout has {count} joints")
    if not 0 < count <= MAX_JOINTS:
        raise ValueError(f"joint counts up to {count - 1}; 1 to {MAX_JOINTS} joints are taken")
    return index, count, layout
