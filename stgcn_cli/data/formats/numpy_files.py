"""What numpy files share: reading them without running anything in them, and clips out of arrays."""

import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from stgcn_cli.data.formats.reading import MAX_VALUES
from stgcn_cli.data.packed import check_packed

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
