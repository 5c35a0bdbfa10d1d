"""Arrays as clips: one array of one clip or of many, and folders of one array a frame.

How the axes are understood is decided in `data/axes.py`, what the values are in `data/joint_values.py`. Nothing in a file
is executed.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import LAYOUTS, Layout
from stgcn_cli.data import axes, axis_evidence, joint_values
from stgcn_cli.data.ntu.names import parse_name
from stgcn_cli.data.readers import array_labels
from stgcn_cli.data.readers.array_labels import Labels
from stgcn_cli.data.readers.parsing import MAX_VALUES, Options, frame_span
from stgcn_cli.data.records import REFERENCE_SIZE
from stgcn_cli.errors import DataError

_APART = 2.5  # times the spread of coordinates: at least 6.8 with x and y mixed up, at most 1.5 without (UI-PRMD, any order of joints)
_TWISTED = 1.2  # times the length of bones: at least 1.4 with x and y mixed up (UI-PRMD, BABEL, also centred), at most 0.7 without


@contextmanager
def numpy_errors() -> Iterator[None]:
    """A damaged numpy file can make numpy raise anything. Raises DataError, ValueError, OSError, MemoryError."""
    try:
        yield
    except (DataError, ValueError, OSError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"no readable numpy file: {str(error).strip() or type(error).__name__}") from error


def clips_in(
    array: np.ndarray, options: Options, name: str, labels: Any = None, meant: str = ""
) -> Iterator[dict[str, Any]]:
    """Every clip of an array, with how its axes were understood; `labels` gives those of so many clips, `meant` is "N" for several.

    Raises DataError, ValueError where the axes or the meaning of the values are unclear.
    """
    check_numbers(array)
    reading = understand(array, options.axes, options, meant)
    yield from clips_read(array, reading, options, name, labels)


def understand(array: np.ndarray, order: str | None, options: Options, meant: str = "") -> axes.Reading:
    """How the array is to be read. Raises DataError where that is unclear, or it has other joints than --layout."""
    if array.dtype == np.uint8:
        raise ValueError(f"the array {array.shape} has the type uint8, as pictures have; save coordinates as float32")
    likely = meant or ("M" if options.max_persons else "")
    try:
        reading = axes.understand(array, order, options.joints, options.score_last, likely)
    except DataError:
        if options.joints is None or not options.layout_is_model:
            raise
        reading = axes.understand(array, order, None, options.score_last, likely)
    if meant == "N" and "N" not in reading.order:
        raise ValueError(f"labels are beside it, but it is one clip ({reading.words}); many have N T V C or N C T V M")
    return reading if order else untwisted(array, reading, options.layout)


def untwisted(array: np.ndarray, reading: axes.Reading, layout: Layout | None) -> axes.Reading:
    """The reading; of rows that hold all x before all y one such as T(CV): coordinates lie closer then, or bones are shorter.

    Raises DataError where only the bones of built-in skeletons speak for that, which the skeleton need not have.
    """
    if "VC)" not in reading.order:
        return reading
    other = axes.Reading(reading.order.replace("VC)", "CV)"), reading.sizes)
    as_read, twisted = (axis_evidence.sample(each.arranged(array)) for each in (reading, other))
    if axis_evidence.spread(as_read) > _APART * axis_evidence.spread(twisted):
        return other
    known = [layout] if layout else LAYOUTS.values()
    if axis_evidence.bone_length(as_read, known) <= _TWISTED * axis_evidence.bone_length(twisted, known):
        return reading
    if layout:
        return other
    raise DataError(
        "rows can be x, y, … of one joint after the other or all x before all y; name the skeleton with --layout, or say which: "
        f"--axes '{reading.order}' or --axes '{other.order}'"
    )


def clips_read(
    array: np.ndarray, reading: axes.Reading, options: Options, name: str, labels: Any = None, padded: bool = True
) -> Iterator[dict[str, Any]]:
    """Every clip of an array that is read so; `padded` clips of several lose the zeros at their end. Raises ValueError."""
    arranged = reading.arranged(array)
    plan = joint_values.plan(axis_evidence.sample(arranged), options.score_last)
    if arranged[0].size > MAX_VALUES:
        raise ValueError(f"the array has the shape {array.shape}, too much for one clip")
    several = "N" in reading.order
    found: Labels = labels(len(arranged)) if labels and several else Labels()
    size = options.image_size or REFERENCE_SIZE
    for index, clip in enumerate(arranged):
        x = floats_in(clip)
        there = np.flatnonzero(x.any(axis=(0, 2, 3)))  # clips of one array are filled up with zeros
        keypoint, score = plan.split(x[:, : there[-1] + 1] if several and padded and len(there) else x, size)
        read = axes.Understood(reading.order, plan.words, keypoint.shape[:3])
        record: dict[str, Any] = {"keypoint": keypoint, "axes": read}
        if several:
            record["frame_dir"] = f"{name}_{index:05d}"
        elif named := parse_name(name):
            record |= {"frame_dir": name, "label": named.action - 1, "subject": str(named.person)}
        if score is not None:
            record["keypoint_score"] = score
        if plan.is_shares:
            record["img_shape"] = size
        yield record | found.of(index)


def check_numbers(array: np.ndarray) -> None:
    """Raise ValueError for an array of anything but real numbers."""
    if array.dtype.kind not in "fiu":
        raise ValueError(f"the array has the type {array.dtype}, expected numbers")


def floats_in(array: np.ndarray) -> np.ndarray:
    """A copy in float32. Raises ValueError where there are no numbers."""
    check_numbers(array)
    with np.errstate(over="ignore", invalid="ignore"):
        floats = np.array(array, np.float32, order="C")
        floats[np.isnan(floats)] = np.nan  # one of the kind that numpy does not warn of
    return floats


# A folder that is a clip, one array a frame: 0.npy, 1.npy, …


def is_frame(head: bytes) -> bool:
    """Whether a file that begins so holds one frame: (VC) or (V, C) numbers."""
    stream = io.BytesIO(head)
    try:
        shape, _, dtype = array_labels.read_header(stream, np.lib.format.read_magic(stream))
    except ValueError:
        return False
    rows = len(shape) == 1 or (len(shape) == 2 and shape[1] in (2, 3, 4) and shape[0] > 4)
    return rows and not dtype.hasobject


def read_frames(numbers: Sequence[int], files: Sequence[Path], options: Options) -> dict[str, Any]:
    """The one clip of arrays, one a frame; a number that is left out is a frame without anybody."""
    rows = []
    for path in files:
        with numpy_errors():
            rows.append(np.load(path, allow_pickle=False))
    return clip_of_frames(numbers, rows, options)


def clip_of_frames(numbers: Sequence[int], rows: Sequence[np.ndarray], options: Options) -> dict[str, Any]:
    """The one clip of arrays (VC) or (V, C) by frame number. Raises ValueError, DataError."""
    if len(shapes := {row.shape for row in rows}) > 1:
        raise ValueError(f"its frames have different shapes: {sorted(shapes)}")
    check_numbers(rows[0])
    span = frame_span(numbers)
    if len(span) * rows[0].size > MAX_VALUES:
        raise ValueError(f"{len(span)} frames of the shape {rows[0].shape} are too much for one clip")
    array = np.zeros((len(span), *rows[0].shape), np.float32)
    for number, row in zip(numbers, rows, strict=True):
        array[span.index(number)] = row
    (record,) = clips_in(array, options, "")
    return record
