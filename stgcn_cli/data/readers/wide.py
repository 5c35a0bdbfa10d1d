"""Text tables with a row for each frame, or for each person in a frame: columns name joints and axes.

Shapes: R rows, V joints, C coordinates. Rows of several persons side by side are put one below the other.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from stgcn_cli.data.readers.parsing import MAX_JOINTS, MAX_VALUES, Options
from stgcn_cli.data.readers.table_clips import places, rows_of, span
from stgcn_cli.data.readers.table_text import Table, decimals
from stgcn_cli.data.readers.table_values import Values, values_of
from stgcn_cli.data.readers.wide_columns import Joints


def clips_of(
    table: Table, roles: dict[str, int], joints: Joints, stem: str, options: Options
) -> Iterator[dict[str, Any]]:
    """The clips in the order of their first rows. Raises ValueError naming the line."""
    count = len(joints.names)
    if count > MAX_JOINTS or len(table.lines) * count * 4 > MAX_VALUES:
        raise ValueError(f"{len(table.lines):,} rows of {count:,} joints are too much")
    if not len(table.lines):
        raise ValueError("it has a header and no rows")
    axes = ["x", "y", *(["z"] if joints.has_z else [])]
    ones = np.ones(len(table.lines), np.float32)
    parts, scores = [], []
    for columns in joints.columns.values():
        parts.append(
            np.stack(
                [np.stack([decimals(table, each[a], table.names[each[a]]) for a in axes], -1) for each in columns], 1
            )
        )
        if joints.scored:
            at = [each.get("score") for each in columns]
            scores.append(np.stack([ones if c is None else decimals(table, c, table.names[c]) for c in at], 1))
    names = np.array(list(joints.columns))
    person = np.concatenate([np.full(len(table.lines), name) for name in names])
    if len(names) == 1 and "person" in roles:
        person = table.words(roles["person"]).to_numpy(object)
    once = person[: len(table.lines)]
    rows = rows_of(table, roles, once if len(names) == 1 else np.zeros(len(once), str))
    values = values_of(np.concatenate(parts), np.concatenate(scores) if scores else None, options)
    groups, notes = rows.groups(stem)
    if 0 < joints.scored < count:
        notes += (f"{joints.scored} of {count} joints have a column of scores; the score of the others is taken as 1.",)
    facts = {**values.facts(), "notes": (*notes, *values.notes)}
    if joints.layout is not None:
        facts["layout"] = joints.layout
    for group in groups:
        index = (group.rows[None] + np.arange(len(names))[:, None] * len(table.lines)).ravel()
        frame = np.tile(rows.frame[group.rows], len(names))
        try:
            record = {**_of_frames(index, frame, person[index], values, options), **facts, **rows.words(group.rows)}
        except ValueError as error:
            raise ValueError(f"clip {group.name or stem!r:.60}: {error}") from error
        yield record if group.name is None else {"frame_dir": group.name, **record}


def _of_frames(
    index: np.ndarray, frame: np.ndarray, person: np.ndarray, values: Values, options: Options
) -> dict[str, Any]:
    """keypoint and keypoint_score of the rows at `index`, each of all joints of a person. Raises ValueError."""
    first, frames = span(frame)
    keypoint = values.keypoint[index]
    seen = np.nan_to_num(keypoint).any(axis=(1, 2))
    persons, place = places(person, frame, seen, options.most_persons)
    shape = (persons, frames, *keypoint.shape[1:])
    if np.prod(shape) > MAX_VALUES:
        raise ValueError(f"{frames} frames of {shape[2]} joints are too much for one clip")
    kept = place < options.most_persons
    at = (place[kept], (frame - first)[kept])
    _, again, counts = np.unique(np.ravel_multi_index(at, shape[:2]), return_index=True, return_counts=True)
    if (counts > 1).any():
        twice = int(frame[kept][again[counts > 1][0]])
        raise ValueError(f"frame {twice} stands twice; is a column missing that tells the person or the clip?")
    record: dict[str, Any] = {"keypoint": np.zeros(shape, np.float32)}
    record["keypoint"][at] = keypoint[kept]
    if values.score is not None:
        record["keypoint_score"] = np.zeros(shape[:3], np.float32)
        record["keypoint_score"][at] = values.score[index][kept]
    return record
