"""Pickles: annotations as they are, one record in memory at a time; arrays, and lists and dicts of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data import annotations, axes
from stgcn_cli.data.pickles import read_pickle
from stgcn_cli.data.readers import array_files
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.records import name_of


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """Every record of either dialect, with notes on its file, and the splits it is in.

    Records of a list are in the split that the file's name says, if it says one. --axes rearranges their arrays.
    """
    try:
        read = annotations.read(path)
    except annotations.NotAnnotations:
        yield from ({"raw": True, **clip} for clip in array_files.clips_in_value(read_pickle(path), options, path.stem))
        return
    facts: dict[str, Any] = {"raw": False, "notes": read.notes, "lost_splits": read.lost_splits}
    for index, record in enumerate(read.records):
        if not isinstance(record, dict):
            raise ValueError(f"record {index} is a {type(record).__name__}, not a dict")
        if options.axes:
            record = rearranged(record, options.axes)
        if not isinstance(record.get("frame_dir"), str):
            record = record | {"frame_dir": name_of(record, index)}
            note = "Records without a name (frame_dir: missing, or no text) are called by their place in the file."
            facts["notes"] = tuple(dict.fromkeys((*facts["notes"], note)))
        yield record | facts | {"splits": tuple(read.splits_of(record))}


def rearranged(record: dict[str, Any], order: str) -> dict[str, Any]:
    """A record of a pickle whose keypoint has its axes in this order, with M T V C. Raises DataError, ValueError."""
    keypoint, score = record.get("keypoint"), record.get("keypoint_score")
    if not isinstance(keypoint, np.ndarray):
        raise ValueError(f"keypoint is a {type(keypoint).__name__}, not an array")
    reading = axes.understand(keypoint, order)
    if reading.sizes.get("N", 1) != 1:
        raise ValueError("the record of one clip has no axis N")
    record = record | {"keypoint": np.ascontiguousarray(reading.arranged(keypoint)[0])}
    if isinstance(score, np.ndarray):
        one = axes.Reading(order.replace("C", ""), {**reading.sizes, "C": 1})
        if score.size != keypoint.size // reading.sizes["C"] or "(" in order:
            raise ValueError(f"keypoint_score has the shape {score.shape}, keypoint {keypoint.shape}")
        record["keypoint_score"] = np.ascontiguousarray(one.arranged(score)[0, ..., 0])
    return record
