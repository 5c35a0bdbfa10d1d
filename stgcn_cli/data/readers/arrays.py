"""What numpy files share: reading them without running anything in them, and clips out of arrays."""

import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.archives import check_packed
from stgcn_cli.data.readers.parsing import MAX_VALUES, Options

SHAPES = "expected T V C or M T V C"
_MAX_BYTES = 8 << 30  # of one named array, unpacked


@contextmanager
def damage_told() -> Iterator[None]:
    """A damaged numpy file can make numpy raise anything. Raises ValueError, OSError, MemoryError."""
    try:
        yield
    except ValueError as error:
        if "allow_pickle" in str(error):  # numpy's advice is to load it unsafely
            raise ValueError(
                "it is damaged, or holds Python objects, which are never loaded (allow_pickle is off)"
            ) from error
        raise
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"no readable numpy file: {str(error).strip() or type(error).__name__}") from error


def load_named(path: Path, wanted: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays of a .npz that are called as in `wanted`. Raises ValueError, OSError."""
    with damage_told():
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


def clip_in(array: np.ndarray, expected: str = SHAPES) -> np.ndarray:
    """(M, T, V, C) float32 of (T, V, C) or (M, T, V, C). Raises ValueError."""
    if array.ndim not in (3, 4):
        raise ValueError(f"the array has the shape {array.shape}, {expected}")
    if array.size > MAX_VALUES:
        raise ValueError(f"the array has the shape {array.shape}, too much for one clip")
    return floats_in(array)[None] if array.ndim == 3 else floats_in(array)


def floats_in(array: np.ndarray) -> np.ndarray:
    """A copy in float32. Raises ValueError where there are no numbers."""
    if array.dtype.kind not in "fiu":
        raise ValueError(f"the array has the type {array.dtype}, expected numbers")
    with np.errstate(over="ignore"):
        return np.array(array, np.float32)


# A numpy file of one array: one clip, (T, V, C) or (M, T, V, C).


def read_npy(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The one clip."""
    with damage_told():
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    yield {"keypoint": clip_in(array)}


# A numpy file of named arrays: one clip, keypoint (T V C or M T V C), or many, (N M T V C) with labels, names, subjects and
# lengths (N,). keypoint_score has the shape of keypoint without C; img_shape is height, width of all. The arrays are held whole.

_ONE_A_CLIP = {"label": "labels", "subject": "subjects", "frame_dir": "names", "total_frames": "lengths"}  # also called
_WANTED = {*_ONE_A_CLIP, *_ONE_A_CLIP.values(), "keypoint", "keypoint_score", "img_shape"}


def read_npz(path: Path, options: Options) -> Iterator[dict[str, Any]]:
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
