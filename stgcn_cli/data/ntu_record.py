"""One listed NTU sample -> its annotation record as a piece of the pickle. This is the work that is shared out to processes."""

from typing import NamedTuple

import numpy as np

from stgcn_cli.data.ntu_annotations import AnnotatedEntry, bodies_of
from stgcn_cli.data.ntu_normalise import choose_two, pre_normalise
from stgcn_cli.data.ntu_text import read_skeleton
from stgcn_cli.data.pickles import list_item
from stgcn_cli.data.sources import Entry, read_text
from stgcn_cli.errors import DataError

_IMAGE = (1080, 1920)  # height and width of the colour camera, pixels


class Outcome(NamedTuple):
    """What became of an entry: the record, pickled, or the reason why there is none."""

    entry: Entry
    record: bytes
    frames: int
    empty: bool  # no frame has a person; kept all the same
    reason: str


def make_records(entries: list[Entry]) -> list[Outcome]:
    """The outcome for each entry, in order. What is wrong with a file becomes its reason, never an exception."""
    return [_make_record(entry) for entry in entries]


def _make_record(entry: Entry) -> Outcome:
    try:
        keypoint = pre_normalise(_bodies(entry))
    except DataError as error:
        return Outcome(_bare(entry), b"", 0, False, error.message)
    except MemoryError:
        return Outcome(_bare(entry), b"", 0, False, "there is not enough memory for it")
    record = {
        "frame_dir": entry.name,
        "label": int(entry.name[-3:]) - 1,
        "img_shape": _IMAGE,
        "original_shape": _IMAGE,
        "total_frames": keypoint.shape[1],
        "keypoint": keypoint,
    }
    return Outcome(_bare(entry), list_item(record), keypoint.shape[1], not keypoint.any(), "")


def _bodies(entry: Entry) -> np.ndarray:
    return bodies_of(entry) if isinstance(entry, AnnotatedEntry) else choose_two(read_skeleton(read_text(entry)))


def _bare(entry: Entry) -> Entry:
    """Without the record it may carry, which need not travel back."""
    return Entry(entry.name, entry.place, entry.path, entry.size, entry.packed)
