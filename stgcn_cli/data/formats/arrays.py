"""numpy files: one clip as an array, or one or many clips as named arrays. Pickled objects in them are not read."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.formats.reading import MAX_VALUES, Options
from stgcn_cli.data.packed import check_packed

_MAX_BYTES = 8 << 30  # of one named array, unpacked
_ONE_A_CLIP = ("label", "subject", "frame_dir", "total_frames")
_ALSO = {"label": "labels", "frame_dir": "names", "subject": "subjects", "total_frames": "lengths"}
_EXPECTED = "expected T V C or M T V C"


def read_npy(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """One clip: (T, V, C) or (M, T, V, C)."""
    with _damage_told():
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    yield {"keypoint": _clip(array, _EXPECTED)}


def read_npz(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """One clip, keypoint (T V C or M T V C), or many, (N M T V C) with labels, names, subjects and lengths (N,).

    keypoint_score has the shape of keypoint without C; img_shape is height, width of all. The arrays are held whole.
    """
    found = _load(path)
    keypoint = found.pop("keypoint", None)
    if keypoint is None:
        raise ValueError(f"it has no array called keypoint, but {', '.join(found)[:200] or 'none'}")
    if keypoint.ndim != 5:
        yield _record(keypoint, found, lambda value: value)
        return
    for index, clip in enumerate(keypoint):
        yield {"frame_dir": f"{path.stem}_{index:05d}"} | _record(clip, found, lambda value, at=index: value[at])  # type: ignore[misc]


def _load(path: Path) -> dict[str, np.ndarray]:
    """The arrays that are looked at. Raises ValueError, OSError."""
    wanted = {*_ONE_A_CLIP, *_ALSO.values(), "keypoint", "keypoint_score", "img_shape"}
    with _damage_told():
        with zipfile.ZipFile(path) as archive:
            large = [member.filename for member in archive.infolist() if member.file_size > _MAX_BYTES]
        if large:
            raise ValueError(f"{large[0]} has more than {_MAX_BYTES >> 30} GB unpacked")
        check_packed(path)
        with np.load(path, allow_pickle=False) as packed:
            found = {name: packed[name] for name in packed.files if name in wanted}
    if odd := next((name for name, array in found.items() if not isinstance(array, np.ndarray)), None):
        raise ValueError(f"{odd} in it is no array")
    return found


@contextmanager
def _damage_told() -> Iterator[None]:
    """A damaged numpy file can make numpy raise anything. Raises ValueError, OSError, MemoryError."""
    try:
        yield
    except (ValueError, OSError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"no readable numpy file: {str(error).strip() or type(error).__name__}") from error


def _record(keypoint: np.ndarray, found: dict[str, np.ndarray], of_clip: Any) -> dict[str, Any]:
    """The record of one clip; `of_clip` takes its part out of an array."""
    record: dict[str, Any] = {"keypoint": _clip(keypoint, f"{_EXPECTED}, or N M T V C for many")}
    try:
        if "keypoint_score" in found:
            record["keypoint_score"] = _floats(of_clip(found["keypoint_score"])).reshape(record["keypoint"].shape[:3])
        for key in _ONE_A_CLIP:
            array = found.get(key, found.get(_ALSO[key]))
            if array is not None:
                record[key] = of_clip(array).item()
        if "img_shape" in found:
            record["img_shape"] = tuple(int(n) for n in found["img_shape"].ravel()[-2:])
    except (IndexError, ValueError, TypeError) as error:
        raise ValueError(f"its arrays do not go together: {error}") from error
    return record


def _clip(array: np.ndarray, expected: str) -> np.ndarray:
    if array.ndim not in (3, 4):
        raise ValueError(f"the array has the shape {array.shape}, {expected}")
    if array.size > MAX_VALUES:
        raise ValueError(f"the array has the shape {array.shape}, too much for one clip")
    return _floats(array)[None] if array.ndim == 3 else _floats(array)


def _floats(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise ValueError(f"the array has the type {array.dtype}, expected numbers")
    with np.errstate(over="ignore"):
        return np.array(array, np.float32)
