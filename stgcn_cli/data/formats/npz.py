"""A numpy file of named arrays: one clip, keypoint (T V C or M T V C), or many, (N M T V C) with labels, names, subjects and
lengths (N,). keypoint_score has the shape of keypoint without C; img_shape is height, width of all. The arrays are held whole.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.formats.numpy_files import SHAPES, clip_in, floats_in, load_named
from stgcn_cli.data.formats.reading import Options

_ONE_A_CLIP = {"label": "labels", "subject": "subjects", "frame_dir": "names", "total_frames": "lengths"}  # also called
_WANTED = {*_ONE_A_CLIP, *_ONE_A_CLIP.values(), "keypoint", "keypoint_score", "img_shape"}


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The clips in the order of the arrays."""
    found = load_named(path, _WANTED)
    keypoint = found.pop("keypoint", None)
    if keypoint is None:
        raise ValueError(f"it has no array called keypoint, but {', '.join(found)[:200] or 'none'}")
    if keypoint.ndim != 5:
        yield _record(keypoint, found, lambda value: value)
        return
    for index, clip in enumerate(keypoint):
        yield {"frame_dir": f"{path.stem}_{index:05d}"} | _record(clip, found, lambda value, at=index: value[at])  # type: ignore[misc]


def _record(keypoint: np.ndarray, found: dict[str, np.ndarray], of_clip: Any) -> dict[str, Any]:
    """The record of one clip; `of_clip` takes its part out of an array."""
    record: dict[str, Any] = {"keypoint": clip_in(keypoint, f"{SHAPES}, or N M T V C for many")}
    try:
        if "keypoint_score" in found:
            record["keypoint_score"] = floats_in(of_clip(found["keypoint_score"])).reshape(record["keypoint"].shape[:3])
        for key, also in _ONE_A_CLIP.items():
            array = found.get(key, found.get(also))
            if array is not None:
                record[key] = of_clip(array).item()
        if "img_shape" in found:
            record["img_shape"] = tuple(int(n) for n in found["img_shape"].ravel()[-2:])
    except (IndexError, ValueError, TypeError) as error:
        raise ValueError(f"its arrays do not go together: {error}") from error
    return record
