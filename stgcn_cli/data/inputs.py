"""Clips out of whatever the user names: files of every format in `formats`, zips and folders of them, globs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.formats import FORMATS, pickled
from stgcn_cli.data.formats.reading import Options
from stgcn_cli.data.ntu_normalise import choose_two, pre_normalise
from stgcn_cli.data.records import frames_of
from stgcn_cli.data.units import Unit, list_units
from stgcn_cli.errors import DataError
from stgcn_cli.screen import SILENT, Screen
from stgcn_cli.wording import printable

_NTU_JOINTS, _NTU_BODIES = (25, 3), 4
_PLAIN = Options()

BadUnit = Callable[[str, DataError], None]


@dataclass(frozen=True)
class Input:
    """A clip as it was read. `raw`: not yet pre-normalised, as sensors and estimators give it.

    `group` is the first folder below the one given, "" where there is none; `splits` are those an annotation pickle says.
    """

    record: dict[str, Any]
    raw: bool
    source: Path
    group: str = ""
    splits: tuple[str, ...] = ()


def expand(words: Sequence[str]) -> list[Path]:
    """The files and folders of OpenPose frames that `words` (files, folders, globs) mean, each once.

    Raises DataError when there is nothing, naming what comes nearest.
    """
    return list(dict.fromkeys(unit.path for unit in list_units(words, _PLAIN)))


def read_inputs(
    words: Sequence[str],
    screen: Screen = SILENT,
    options: Options = _PLAIN,
    format: str | None = None,
    on_bad: BadUnit | None = None,
) -> Iterator[Input]:
    """Every clip of the inputs, one file in memory at a time. A clip with nobody in it has one person of zeros.

    `format` reads every file as this one. Raises DataError naming the file and the cause; with `on_bad`, that is told and the
    others are read.
    """
    units = list_units(words, options, format)
    several = len(units) > 1
    with screen.progress("read clips", len(units) if several else None) as advance:
        for unit in units:
            try:
                for found in read_unit(unit):
                    yield found
                    advance(0 if several else 1)
            except DataError as error:
                if on_bad is None:
                    raise
                on_bad(unit.place, error)
            advance(1 if several else 0)


def pre_normalized(record: dict[str, Any]) -> dict[str, Any]:
    """A raw record (M T 25 3) as NTU's are prepared: the two bodies that move most, centred, spine up, shoulders level.

    Only the first four bodies are looked at. Scores are left out: they belong to bodies in another order. Raises DataError.
    """
    name = printable(record.get("frame_dir"))
    try:
        frames = frames_of({**record, "keypoint_score": None})[:_NTU_BODIES]
    except ValueError as error:
        raise DataError(f"{name}: {error}.") from error
    if frames.shape[2:] != _NTU_JOINTS:
        said = f"{frames.shape[2]} joints with {frames.shape[3]} values"
        raise DataError(f"{name} has {said}; NTU's way of centring and turning needs 25 with x, y and z.")
    keypoint = pre_normalise(choose_two(frames.astype(np.float64)))
    kept = {key: value for key, value in record.items() if key != "keypoint_score"}
    return kept | {"keypoint": keypoint, "total_frames": keypoint.shape[1]}


def read_unit(unit: Unit) -> Iterator[Input]:
    """The clips of one unit, each checked. Raises DataError naming the unit and the cause."""
    raw = FORMATS[unit.format].raw
    try:
        for record, splits in _records(unit):
            named = {"frame_dir": unit.name, **record}
            yield Input(_checked(_finished(named) if raw else named), raw, unit.path, unit.group, splits)
    except DataError as error:
        told = error.message if unit.place in error.message else f"{unit.place}: {error.message}"
        raise DataError(told, error.hint) from error
    except (ValueError, OverflowError) as error:
        raise DataError(f"{unit.place}, read as {unit.format}: {printable(error)[:300]}.") from error
    except MemoryError as error:
        raise DataError(f"{unit.place} asks for more memory than there is.") from error
    except OSError as error:
        raise DataError(f"{unit.place} cannot be read: {error.strerror or error}.") from error


def _records(unit: Unit) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """The records of a unit with the splits an annotation pickle puts them in."""
    if unit.format == "pickle":
        yield from pickled.read_with_splits(unit.path)
    else:
        for record in unit.read():
            yield record, ()


def _finished(record: dict[str, Any]) -> dict[str, Any]:
    """A foreign record as ours are: what is not a number is a joint not seen, all zeros. Raises ValueError."""
    keypoint = np.ascontiguousarray(record["keypoint"], np.float32)
    if keypoint.ndim != 4 or 0 in keypoint.shape[1:]:
        raise ValueError(f"{record['frame_dir']}: keypoint has the shape {keypoint.shape}; there is nothing in it")
    lost = np.asarray(np.isnan(keypoint).any(axis=-1))
    score = record.get("keypoint_score")
    if score is not None:
        lost = lost | np.isnan(score)
        record["keypoint_score"] = np.where(lost, 0, score).astype(np.float32)
    keypoint = np.where(lost[..., None], np.float32(0), keypoint)
    if not np.isfinite(keypoint).all() or (score is not None and np.isinf(score).any()):
        raise ValueError(f"{record['frame_dir']}: it holds infinite values")
    return {"total_frames": keypoint.shape[1], **record, "keypoint": keypoint}


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    """The record, usable; nobody at all becomes one person of zeros. Raises ValueError naming it."""
    try:
        frames = frames_of(record)
    except ValueError as error:
        raise ValueError(f"{printable(record['frame_dir'])[:100]}: {error}") from error
    if not frames.shape[0]:
        for key in ("keypoint", "keypoint_score"):
            if isinstance(value := record.get(key), np.ndarray):
                record = record | {key: np.zeros((1, *value.shape[1:]), value.dtype)}
    return record
