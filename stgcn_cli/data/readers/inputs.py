"""Clips out of files of every format: each record is finished and checked, and errors name the file."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from stgcn_cli.data.clips import KINECT, Clip
from stgcn_cli.data.readers import FORMATS
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.readers.units import PLAIN, Unit, list_units
from stgcn_cli.data.records import frames_of
from stgcn_cli.errors import DataError
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import printable

_PIXELS = 20  # coordinates beyond this are pixels
_NEARLY_ALL = 0.9  # frames
_EXCHANGED = "Heads and feet are at one height in nearly all frames: is it y, x (MoveNet's order)? Then write array[..., [1, 0, 2]]."

BadUnit = Callable[[str, DataError], None]


def read_inputs(
    words: Sequence[str], reporter: Reporter = SILENT, options: Options = PLAIN, on_bad: BadUnit | None = None
) -> Iterator[Clip]:
    """Every clip of the inputs, one file in memory at a time. A clip without a person has one of zeros.

    Raises DataError naming the file and the cause; with `on_bad`, it is called with the cause and the others are read.
    """
    units = list_units(words, options)
    several = len(units) > 1
    with reporter.progress("read clips", len(units) if several else None) as advance:
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


def read_unit(unit: Unit) -> Iterator[Clip]:
    """The clips of one unit, each checked. Raises DataError naming the unit and the cause."""
    try:
        for record in unit.read():
            named = {"frame_dir": unit.name, **record}
            raw = named.pop("raw", FORMATS[unit.format].raw)
            splits = named.pop("splits", ())
            layout, understood = named.pop("layout", None) if raw else None, named.pop("axes", None) if raw else None
            notes, lost_splits = named.pop("notes", ()), named.pop("lost_splits", "")
            if raw and (marked := _marked(named)):
                notes += (f"{marked:,} joints at -1, -1 are taken as not seen.",)
            notes += (_EXCHANGED,) if raw and _lies(named) else ()
            gaps = _gaps(named)
            record = _checked(_finished(named) if raw or gaps else named)
            clip = Clip(
                record=record, source=unit.path, raw=raw, group=unit.group, splits=splits, gaps=gaps, layout=layout,
                notes=notes, lost_splits=lost_splits, understood=understood,
            )  # fmt: skip
            if unit.options.score_last and understood is None and not (raw and clip.shape[2]):
                clip = clip.with_score_last()
            # A normalisation takes those of Kinect's bodies that move most.
            if unit.options.max_persons is not None or (raw and clip.shape[:2] != KINECT):
                clip = clip.with_persons(unit.options.most_persons)
            size = unit.options.image_size if raw and understood is None else None
            if size and clip.shape[1] == 2 and not clip.record.get("img_shape"):
                clip = clip.changed(img_shape=size)
            yield clip
    except DataError as error:
        told = error.message if unit.place in error.message else f"{unit.place}: {error.message}"
        raise DataError(told, error.hint) from error
    except (ValueError, OverflowError) as error:
        raise DataError(f"{unit.place}, read as {unit.format}: {printable(error)[:300]}.") from error
    except MemoryError as error:
        raise DataError(f"{unit.place} asks for more memory than there is.") from error
    except OSError as error:
        raise DataError(f"{unit.place} cannot be read: {error.strerror or error}.") from error


def _gaps(record: dict[str, Any]) -> int:
    """How many joints of a record have NaN in their coordinates or scores."""
    keypoint, score = record.get("keypoint"), record.get("keypoint_score")
    if not isinstance(keypoint, np.ndarray) or keypoint.ndim != 4 or keypoint.dtype.kind != "f":
        return 0
    lost = np.isnan(keypoint).any(axis=-1)
    if isinstance(score, np.ndarray) and score.shape == lost.shape and score.dtype.kind == "f":
        lost |= np.isnan(score)
    return int(lost.sum())


def _marked(record: dict[str, Any]) -> int:
    """Make joints at -1, -1 among pixels, which estimators write for none, zeros; return how many there were."""
    xy = record.get("keypoint")
    if not isinstance(xy, np.ndarray) or xy.shape[-1:] != (2,) or not xy.size or not xy.max() > _PIXELS:
        return 0
    marked = (xy == -1).all(axis=-1)
    if marked.any():
        record["keypoint"] = np.where(marked[..., None], 0, xy)
    return int(marked.sum())


def _lies(record: dict[str, Any]) -> bool:
    """Whether nose and ankles of COCO's 17 joints are side by side in nearly all frames."""
    xy = record.get("keypoint")
    if not isinstance(xy, np.ndarray) or xy.shape[2:] != (17, 2):
        return False
    ends = np.nan_to_num(xy[:, :, (0, 15, 16)].astype(np.float64), posinf=0, neginf=0)
    x, y = np.abs(ends[:, :, 0] - ends[:, :, 1:].mean(axis=2))[ends.all(axis=(2, 3))].T
    return bool(x.size and (x > 2 * y).mean() > _NEARLY_ALL)


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
    """The record, usable; a clip without a person gets one of zeros. Raises ValueError naming it."""
    try:
        frames = frames_of(record)
    except ValueError as error:
        raise ValueError(f"{printable(record['frame_dir'])[:100]}: {error}") from error
    if not frames.shape[0]:
        for key in ("keypoint", "keypoint_score"):
            if isinstance(value := record.get(key), np.ndarray):
                record = record | {key: np.zeros((1, *value.shape[1:]), value.dtype)}
    return record
