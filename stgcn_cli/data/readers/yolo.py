"""YOLO-pose texts: a file a frame, a line a person: class, box, and x, y, score of each joint in shares of the image, or in pixels.

A confidence and the tracker's id may stand at the end of a line, as `save_conf` and tracking add them; labels for a training have
visibility (0, 1, 2) in place of the score, or no third value. A frame without persons has no file.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stgcn_cli.data.readers.coco import scored
from stgcn_cli.data.readers.parsing import MAX_JOINTS, Options, frame_span
from stgcn_cli.data.readers.tracking import Detection, clip_of, track_of
from stgcn_cli.data.records import REFERENCE_SIZE

_BOX = 5  # numbers before the joints: class, centre x and y, width, height
_COCO = 17
_MAX_BYTES = 10 << 20  # of a text
_LOOKED_AT = 20  # lines
_MOST = 0.8  # of the joints found are in the box


class Columns(NamedTuple):
    """How lines are understood: joints, values of each, and numbers behind them (confidence, id)."""

    joints: int
    width: int
    behind: int
    are_shares: bool = True


def fits(head: bytes) -> bool:
    """Whether a text begins like one of YOLO's: whole class, a box in shares of the image or around the joints, joints."""
    lines = [line.split() for line in head.splitlines()[:_LOOKED_AT] if line.strip()]
    try:
        row = np.array([float(word) for word in lines[0]])
        first = np.array([float(line[0]) for line in lines])
    except (ValueError, IndexError):
        return False
    if len(first) > 2 and (np.diff(np.nan_to_num(first)) == 1).all():
        return False  # a table whose frames are counted
    if len(row) < _BOX + 4 or not np.isfinite(row).all() or not row[0] == row[0] // 1 >= 0:
        return False
    if (np.abs(row[1:_BOX] - 0.5) <= 0.51).all():
        return True
    return any(_fits(row[None], each) for each in _candidates(len(row), False) if each.joints > 4)


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """A single file is a clip of one frame."""
    yield read_frames([0], [path], options)


def read_frames(numbers: Sequence[int], files: Sequence[Path], options: Options) -> dict[str, Any]:
    """The clip of these files, in pixels of --image-size. Raises ValueError naming file and line."""
    rows = {number: _rows(file) for number, file in zip(numbers, files, strict=True)}
    columns = _columns([row for found in rows.values() for row in found], options)
    size = options.image_size or REFERENCE_SIZE
    seen = {number: [_person(row, columns, size) for row in found] for number, found in rows.items()}
    return clip_of([seen.get(number, []) for number in frame_span(seen)], options, _COCO)


def _rows(file: Path) -> list[np.ndarray]:
    if file.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{file.name}: more than {_MAX_BYTES >> 20} MB, expected the persons of one frame")
    rows = []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        try:
            row = np.array([float(word) for word in line.split()], np.float64)
        except ValueError as error:
            word = str(error).rpartition(": ")[2].removeprefix("b")
            raise ValueError(f"{file.name}: line {number}: {word:.40} is not a number") from error
        if 0 < len(row) < _BOX:
            raise ValueError(f"{file.name}: line {number} has {len(row)} numbers, expected class, box and joints")
        if len(row):
            rows.append(row)
    return rows


def _columns(rows: Sequence[np.ndarray], options: Options) -> Columns:
    """The understanding that fits all lines: of COCO's joints if it can be, with a score, with few numbers behind."""
    lengths = {len(row) for row in rows}
    if not rows or lengths == {_BOX}:
        raise ValueError("it holds boxes only, no joints: YOLO writes joints with a -pose model")
    if len(lengths) > 1:
        raise ValueError(f"its lines have different numbers of values: {', '.join(map(str, sorted(lengths)))}")
    table, known = np.stack(rows), options.layout and len(options.layout.joints)
    are_shares = bool((np.abs(table[:, 1:_BOX]) <= 2).all())
    candidates = _candidates(table.shape[1], are_shares)
    fitting = [each for each in candidates if 0 < each.joints <= MAX_JOINTS and _fits(table, each)]
    if known:
        fitting = [each for each in fitting if each.joints == known]
    if not fitting:
        raise ValueError(
            f"its lines have {table.shape[1]} numbers: expected class, box (4) and x, y, score for each "
            + (f"of the {known} joints of {options.layout.name}" if known and options.layout else "joint")
        )
    return min(fitting, key=lambda each: (each.joints != _COCO, each.behind, each.width == 2))


def _candidates(length: int, are_shares: bool) -> list[Columns]:
    """How lines of so many numbers can be divided."""
    return [
        Columns((length - _BOX - behind) // width, width, behind, are_shares)
        for behind in (0, 1, 2)
        for width in (3, 2)
        if (length - _BOX - behind) % width == 0
    ]


def _fits(table: np.ndarray, columns: Columns) -> bool:
    """Whether the numbers can be shares of an image, or places around a box, and scores; behind them, a confidence and an id."""
    joints = _joints(table, columns)
    behind = table[:, table.shape[1] - columns.behind :]
    if not np.isfinite(table).all() or (columns.are_shares and np.abs(joints[..., :2]).max() > 2):
        return False
    if not columns.are_shares and not _around(joints, table[:, 1:3], table[:, 3:_BOX]):
        return False
    scores = joints[..., 2:]
    if not (((scores >= 0) & (scores <= 1.01)) | (scores == 2)).all():
        return False
    whole = np.asarray(((behind == np.floor(behind)) & (behind >= 0)).all(axis=0)).ravel()
    share = np.asarray(((behind >= 0) & (behind <= 1)).all(axis=0)).ravel()
    return columns.behind == 0 or bool((whole | share)[0] if columns.behind == 1 else share[0] and whole[1])


def _around(joints: np.ndarray, centre: np.ndarray, size: np.ndarray) -> bool:
    """Whether most of the joints that were found lie in a box, or a little outside."""
    xy = joints[..., :2]
    found = xy.any(axis=-1)
    inside = (np.abs(xy - centre[:, None]) <= 0.75 * size[:, None]).all(axis=-1)
    return bool(found.any() and (size > 0).all() and inside[found].mean() > _MOST)


def _joints(table: np.ndarray, columns: Columns) -> np.ndarray:
    """(rows, joints, width)"""
    flat = table[..., _BOX : _BOX + columns.joints * columns.width]
    return flat.reshape(*table.shape[:-1], columns.joints, columns.width)


def _person(row: np.ndarray, columns: Columns, size: tuple[int, int]) -> Detection:
    joints = _joints(row, columns)
    scores = joints[:, 2:] if columns.width == 3 else joints.any(axis=1, keepdims=True)
    pixels = joints[:, :2] * (np.array(size[::-1]) if columns.are_shares else 1)
    last = row[-1] if columns.behind else None
    track = track_of(float(last)) if last is not None and (columns.behind == 2 or last == last // 1) else None
    return scored(np.c_[pixels, scores].astype(np.float32), track)
