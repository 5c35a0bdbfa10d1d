"""One NTU sample -> its annotation record as a piece of the pickle: the work that is distributed to processes.

A sample is a `.skeleton` text, or a raw 3-D annotation (PYSKL's `ntu60_3danno.pkl`). In those,
coordinates are the camera's, as in the texts, but the bodies are already chosen, in float16; they are taken as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stgcn_cli.data.archives import Entry, Listing, read_text
from stgcn_cli.data.ntu.normalize import choose_two, pre_normalise
from stgcn_cli.data.ntu.parser import read_skeleton
from stgcn_cli.data.ntu.raw_bodies import read_raw
from stgcn_cli.data.output import list_item
from stgcn_cli.data.records import check_finite, frames_of, label_of, name_of
from stgcn_cli.errors import DataError, UsageError

OTHER_BODIES = (
    "The bodies in these annotations were chosen by another rule than in the training data of the published weights; "
    "from raw .skeleton texts they are chosen by the same rule."
)
_IMAGE = (1080, 1920)  # height and width of the colour camera, pixels
_SUFFIXES = (".pkl", ".pickle")
_JOINTS = (25, 3)
_BODIES = 2


@dataclass(frozen=True, slots=True)
class AnnotatedEntry(Entry):
    """A listed sample in a pickle; its larger arrays stay there."""

    record: Any = None


def are_pickles(sources: Sequence[Path]) -> bool:
    """Whether the sources are annotation pickles. Raises UsageError when some are and others are not."""
    pickles = [source for source in sources if source.suffix in _SUFFIXES]
    if pickles and len(pickles) < len(sources):
        other = next(source for source in sources if source not in pickles)
        raise UsageError(f"{pickles[0]} is an annotation pickle, {other} is not.", "Expected sources of one kind.")
    return bool(pickles)


def list_records(sources: Sequence[Path]) -> Listing:
    """Every record of the pickles, either dialect, sorted by name. Of a name that occurs twice the first is kept.

    Splits are not read: they follow from the names. Raises DataError when a pickle cannot be read.
    """
    from stgcn_cli.data import annotations  # which texts, the usual source, need not wait for

    entries: dict[str, Entry] = {}
    duplicates, foreign = [], []
    for source in sources:
        for index, record in enumerate(annotations.read(source).records.bare):
            place = f"{source}: {name_of(record, index)}"
            if not isinstance(record, dict) or not isinstance(record.get("frame_dir"), str):
                foreign.append((place, "not a record with a frame_dir"))
                continue
            size = getattr(record.get("keypoint"), "nbytes", 0)
            found = AnnotatedEntry(record["frame_dir"], place, str(source), size, None, record)
            if (kept := entries.setdefault(found.name, found)) is not found:
                duplicates.append((place, f"a second {name_of(record, index)}; the one read is in {kept.path}"))
    return Listing(sorted(entries.values(), key=lambda entry: entry.name), duplicates, foreign)


def bodies_of(entry: AnnotatedEntry) -> np.ndarray:
    """(2, T, 25, 3) float32: the first two bodies of the record; a missing one is zeros.

    Raises DataError when it is not a raw 3-D record, or its label is not the one in its name.
    """
    from stgcn_cli.data import pickles

    try:
        record = pickles.complete(entry.record, Path(entry.path))
        bodies, label = frames_of(record)[:_BODIES], label_of(record)
    except ValueError as error:
        raise DataError(str(error)) from error
    if bodies.shape[2:] != _JOINTS:
        raise DataError(f"it has {bodies.shape[2]} joints with {bodies.shape[3]} values, expected 25 with x, y and z")
    if label not in (-1, int(entry.name[-3:]) - 1):
        raise DataError(f"its label is {label}, expected {int(entry.name[-3:]) - 1} by its name")
    with np.errstate(over="ignore"):  # a value too large becomes infinite, which is reported
        two = np.zeros((_BODIES, *bodies.shape[1:]), np.float32)
        two[: len(bodies)] = bodies
    try:
        check_finite(two)
    except ValueError as error:
        raise DataError(str(error)) from error
    if two[0].any() and (np.abs(two[0, :, _MIDDLE]) < _AT_ORIGIN).all():
        raise DataError("it is pre-normalised already: the middle joint is at the origin; train with the file as it is")
    return two


_MIDDLE, _AT_ORIGIN = 1, 1e-3  # a joint, metres: a raw body is never where the camera is


class Outcome(NamedTuple):
    """Result of an entry: the record, pickled, or the reason why there is none."""

    entry: Entry
    record: bytes
    frames: int
    empty: bool  # no frame has a person; kept all the same
    reason: str


def make_records(entries: list[Entry], raw: bool = False) -> list[Outcome]:
    """The outcome for each entry, in order. Problems of a file become its reason, never an exception.

    `raw`: coordinates as the camera saw them, instead of pre-normalised ones.
    """
    return [_make_record(entry, raw) for entry in entries]


def _make_record(entry: Entry, raw: bool) -> Outcome:
    try:
        keypoint = read_raw(read_text(entry)) if raw else pre_normalise(_bodies(entry))
    except DataError as error:
        return Outcome(_bare(entry), b"", 0, False, error.message)
    except MemoryError:
        return Outcome(_bare(entry), b"", 0, False, "not enough memory")
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
    """The entry without its record, which need not be sent back."""
    return Entry(entry.name, entry.place, entry.path, entry.size, entry.packed)
