"""Annotation pickles: the records as they are, one in memory at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stgcn_cli.data import annotations
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.records import name_of


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """Every record of either dialect."""
    for record, _ in read_with_splits(path):
        yield record


def read_with_splits(path: Path) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Every record, with notes on its file, and the splits it is in; those of a list are in the one its file's name says, if it says one."""
    read = annotations.read(path)
    facts: dict[str, Any] = {"notes": read.notes, "lost_splits": read.lost_splits}
    for index, record in enumerate(read.records):
        if not isinstance(record, dict):
            raise ValueError(f"record {index} is a {type(record).__name__}, not a dict")
        if not isinstance(record.get("frame_dir"), str):
            record = record | {"frame_dir": name_of(record, index)}
            note = "Records without a name (frame_dir: missing, or no text) are called by their place in the file."
            facts["notes"] = tuple(dict.fromkeys((*facts["notes"], note)))
        yield record | facts, tuple(read.splits_of(record))
