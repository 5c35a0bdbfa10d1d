"""A store in memory, for a few clips that are used once: the same arrays as `store_build` writes to a disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.records import frames_of, image_size_of, name_of
from stgcn_cli.data.store import Store
from stgcn_cli.errors import DataError


def store_of(records: Sequence[dict[str, Any]], source: Path) -> Store:
    """The store of `records`, at least one, of one skeleton; labels count as hidden. Nothing is written.

    `source` is what messages name. Raises DataError naming the record that cannot be used.
    """
    clips = [_frames(record, name_of(record, index)) for index, record in enumerate(records)]
    dtype = np.dtype(np.float16 if all(clip.dtype == np.float16 for clip in clips) else np.float32)
    starts, persons, rows = np.zeros((len(clips), max(1, *map(len, clips))), np.int64), [], 1
    for index, clip in enumerate(clips):
        for place, person in enumerate(clip):
            if person.any():
                starts[index, place] = rows
                persons.append(person.astype(dtype, copy=False))
                rows += len(person)
    nobody = np.zeros((1, *clips[0].shape[2:]), dtype)
    return Store(
        source, source, np.concatenate([nobody, *persons]), starts,
        lengths=np.array([clip.shape[1] for clip in clips], np.int64), labels=np.full(len(clips), -1, np.int64),
        image_sizes=np.array([image_size_of(record) for record in records], np.int64),
        names=[name_of(record, index) for index, record in enumerate(records)],
        splits={}, has_splits=False, has_score=records[0].get("keypoint_score") is not None, missing_names={},
    )  # fmt: skip


def _frames(record: dict[str, Any], name: str) -> np.ndarray:
    """(M, T, V, C) as a store keeps them. Raises DataError."""
    try:
        frames = frames_of(record)
    except ValueError as error:
        raise DataError(f"{name}: {error}.") from error
    with np.errstate(over="ignore"):
        frames = frames if frames.dtype == np.float16 else frames.astype(np.float32, copy=False)
    if not np.isfinite(frames).all():
        raise DataError(f"{name}: it holds NaN or infinite values (as {frames.dtype}).")
    return frames
