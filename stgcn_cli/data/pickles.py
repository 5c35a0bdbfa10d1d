"""Pickles as data, of unknown origin: code in them is never executed, larger arrays may stay in the file."""

import io
import os
from pathlib import Path
from typing import IO, Any

from stgcn_cli.errors import DataError
from stgcn_cli.io import foreign, safe_pickle
from stgcn_cli.io.own_files import open_regular
from stgcn_cli.io.pickle_values import HeldArray, Refused
from stgcn_cli.io.text import nearest_file, printable, shown

_CONVERSIONS = {  # what users have in their pickles, and the line that converts it
    "torch": "Convert tensors before pickling: record['keypoint'] = record['keypoint'].numpy(); record['label'] = int(record['label'])",
    "pandas": "Convert pandas objects before pickling: record['keypoint'] = frame.to_numpy(); record['label'] = int(label.iloc[0])",
}
_PLAIN = "Keep plain values before pickling: numbers, texts, lists, dicts and numpy arrays."


def read_pickle(path: Path) -> Any:
    """Return the value in the pickle at `path`, which may hold plain containers, values and arrays only.

    Raises DataError when the file is missing, damaged, or references anything else.
    """
    with open_pickle(path) as stream:
        return load(path, stream, hold=False)


def complete(bare: Any, path: Path) -> Any:
    """Return one of the `bare` records of the pickle at `path`, in any process, with its arrays. Raises DataError."""
    with open_pickle(path) as stream:
        return filled(bare, path, stream)


def open_pickle(path: Path) -> io.BufferedReader:
    """Open the file for `load`. Raises DataError for what cannot be read or is a known format of another kind."""
    try:
        stream = open(path, "rb", opener=open_regular)  # noqa: SIM115
        foreign.refuse(path, foreign.peek(stream), "an annotation pickle", ("pickle",))
        return stream
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.{nearest_file(path)}") from error


def filled(bare: Any, path: Path, stream: IO[bytes]) -> Any:
    """Return the record with its arrays; the one in `bare` stays as it is."""
    if not isinstance(bare, dict):
        return bare
    try:
        return {key: value.load(stream) if isinstance(value, HeldArray) else value for key, value in bare.items()}
    except (OSError, ValueError) as error:
        name, reason = shown(bare.get("frame_dir")), getattr(error, "strerror", None) or error
        raise DataError(f"{path}: the record {name} cannot be read: {printable(reason)}.") from error


def load(path: Path, stream: io.BufferedReader, hold: bool) -> Any:
    """Return the value of the next pickle; with `hold`, larger arrays are HeldArrays. Raises DataError."""
    try:
        return safe_pickle.load(stream, os.fstat(stream.fileno()).st_size, hold)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except Exception as error:  # a damaged pickle can make Python raise anything
        raise _unreadable(path, stream, error) from error


def _unreadable(path: Path, stream: io.BufferedReader, error: Exception) -> DataError:
    """Return what to say of a pickle that raised `error`."""
    place = stream.tell()
    if foreign.are_line_ends_changed(stream):
        return DataError(
            f"{path} was changed in a copy: its line ends became CRLF, as in a text.",
            "Copy it in binary mode (FTP: binary; Git: *.pkl binary in .gitattributes).",
        )
    if isinstance(error, Refused):
        return DataError(
            f"Refused to load {path}: it references {printable(error)}, which an annotation file may not contain. "
            "No code was executed.",
            next((hint for name, hint in _CONVERSIONS.items() if str(error).startswith(name)), _PLAIN),
        )
    return DataError(
        f"{path} is not a readable pickle: {safe_pickle.cause(error)} (near byte {place:,}).",
        "Was it cut off in a copy?",
    )
