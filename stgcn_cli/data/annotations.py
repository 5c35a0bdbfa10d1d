"""Annotation pickles, both dialects, read without running what is in them.

A record is a dict: frame_dir str, label int, total_frames int, keypoint (M T V C), 2-D also keypoint_score (M T V).
Dialects: a list of records (one file a split, MMAction2 0.x), or {"split": {name: [frame_dir]}, "annotations": [records]}.
"""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgcn_cli.errors import DataError
from stgcn_cli.wording import printable

_NUMPY = {
    "multiarray": ("_reconstruct", "scalar"),
    "numeric": ("_frombuffer",),
}
_ALLOWED = {
    (f"numpy.{core}.{module}", name) for core in ("core", "_core") for module, ns in _NUMPY.items() for name in ns
}
_ALLOWED |= {("numpy", "ndarray"), ("numpy", "dtype"), ("collections", "OrderedDict")}
_ALLOWED |= {("builtins", name) for name in ("set", "frozenset", "bytearray", "complex")}


@dataclass(frozen=True)
class Annotations:
    """What a pickle holds. `splits` is None for the list dialect, whose split is in the file's name."""

    records: list[dict[str, Any]]
    splits: dict[str, list[str]] | None


class _AllowListUnpickler(pickle.Unpickler):
    """Plain containers, numbers, texts and numpy arrays; anything else by name is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 spells bytes
            return _latin1
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no annotation needs")


def _latin1(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}, which no annotation needs")
    return text.encode("latin1")


def read_pickle(path: Path) -> Any:
    """The object in the pickle at `path`, made of plain containers and arrays only.

    Raises DataError when the file is missing, damaged, or asks for anything else by name.
    """
    try:
        with open(path, "rb") as stream:
            return _AllowListUnpickler(stream).load()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except pickle.UnpicklingError as error:
        raise DataError(f"{path} is refused: {printable(error)}.", "Nothing in it was run.") from error
    except MemoryError as error:
        raise DataError(f"{path} asks for more memory than there is.") from error
    except Exception as error:  # a damaged pickle can raise anything the allowed callables raise
        raise DataError(
            f"{path} is no readable pickle: {printable(error)[:200]}.", "Was it cut off in a copy?"
        ) from error


def read(path: Path) -> Annotations:
    """The annotations in either dialect. Raises DataError."""
    value = read_pickle(path)
    if isinstance(value, list):
        return Annotations(value, None)
    if isinstance(value, dict) and isinstance(value.get("annotations"), list) and isinstance(value.get("split"), dict):
        return Annotations(value["annotations"], value["split"])
    found = f"a {type(value).__name__}" + (
        f" with the keys {', '.join(map(str, value))[:80]}" if isinstance(value, dict) else ""
    )
    raise DataError(
        f"{path} holds {printable(found)}, not annotations.",
        'Expected a list of records, or {"split": {...}, "annotations": [...]}.',
    )


def split_in_name(path: Path) -> str | None:
    """ "train", "val" or "test" when the file's name says so (list dialect), else None."""
    words = path.stem.lower().replace("-", "_").replace(".", "_").split("_")
    return next((word for word in ("train", "val", "test") if word in words), None)
