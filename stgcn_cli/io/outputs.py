"""The one rule for outputs of every command: where a file may be written, and what is never written over.

An output that is an input, a folder or a device is refused, and a file that the command did not make unless it is forced.
`-` is stdout, /dev/null takes everything. Links that the user gave are followed: the file they lead to is replaced.
"""

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stgcn_cli.errors import UsageError
from stgcn_cli.io.files import is_stream

_ENDS = 8192  # bytes looked at, at each end of a file
_ANOTHER = "Choose another --out."

# How the first record begins in annotations of `prepare`; those of `data convert`, by the same writer, have no label there.
_PREPARED = (
    rb"^\x80\x03(?:}X\x0b\x00{3}annotationsq\x00)?\]}q\x00\(X"
    rb"(?:\t\x00{3}frame_dirq\x01X.{4}.{1,400}?q\x02X\x05\x00{3}label|\x08\x00{3}keypoint)q"
)

# Patterns in the first or last bytes of files of each command: {command: {suffix: pattern}}. CSV files have their header.
MARKS: dict[str, dict[str, bytes]] = {
    "eval": {
        ".pkl": b"stgcn eval", ".json": b'{"made_by": "stgcn eval"', ".csv": b"name,label,label_name,predicted",
        ".npz": b"source.npy", ".png": b"stgcn eval", ".html": b'content="stgcn',
    },
    "predict": {".json": b'"made_by": "stgcn predict"', ".csv": b"clip,source,frames,persons"},
    "view": {
        ".html": b'content="stgcn', ".gif": b"stgcn view", ".png": b"stgcn view", ".svg": b"stgcn view",
        ".pdf": b"stgcn view",
    },
    "report": {
        ".html": b'content="stgcn', ".htm": b'content="stgcn', ".png": b"stgcn report", ".svg": b"stgcn report",
        ".pdf": b"stgcn report",
    },
    "demo": {".zip": b"demo_skeletons/S001C001P001R001A001.skeleton"},
    "prepare": {".pkl": _PREPARED, ".json": b'"set_aside":'},
}  # fmt: skip
_TABLES = (
    b"class,name,clips,accuracy,most_often_taken_for",
    b"label \\ predicted,",
)  # that `eval` writes beside results


@dataclass(frozen=True, kw_only=True)
class OutputRule:
    """What a command must not write over. `command`: its key in MARKS, "" when every existing file is refused."""

    inputs: Sequence[Path] = ()
    command: str = ""
    force: bool = False
    hint: str = f"{_ANOTHER[:-1]}, or add --force."

    def check(self, *paths: Path) -> None:
        """Raise UsageError for the first path that must not be written."""
        for path in paths:
            self.place(path)

    def place(self, path: Path) -> Path:
        """Return where `path` is to be written, its links followed. Raises UsageError when that must not be."""
        if is_stream(path):
            return path
        real = Path(os.path.realpath(path))
        try:
            state = real.stat()
        except (FileNotFoundError, NotADirectoryError):
            return real if path.is_symlink() else path
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}.", _ANOTHER) from error
        if stat.S_ISDIR(state.st_mode):
            raise UsageError(f"{path} is a folder.", f"Give a file in it: {path / 'NAME'}")
        if not stat.S_ISREG(state.st_mode):
            raise UsageError(f"{path} is not a regular file.", f"{_ANOTHER} Only /dev/null and - (stdout) are none.")
        if any(_is_same(state, each) for each in self.inputs):
            raise UsageError(f"{path} is an input and is not overwritten.", _ANOTHER)
        is_ours = _is_made_by(self.command, real)
        if not is_ours and any(_is_inside(real, each) for each in self.inputs):
            raise UsageError(f"{path} lies among the inputs and is not overwritten.", _ANOTHER)
        if not (is_ours or self.force):
            made = f" and was not made by `stgcn {self.command}`" if self.command else ""
            raise UsageError(f"{path} already exists{made} and is not overwritten.", self.hint)
        return real if path.is_symlink() else path


def _is_same(state: os.stat_result, other: Path) -> bool:
    try:
        return os.path.samestat(state, other.stat())
    except OSError:
        return False


def _is_inside(path: Path, folder: Path) -> bool:
    return folder.is_dir() and path.is_relative_to(os.path.realpath(folder))


def _is_made_by(command: str, path: Path) -> bool:
    mark = MARKS.get(command, {}).get(path.suffix)
    if mark is None:
        return False
    try:
        with open(path, "rb") as stream:
            head = stream.read(_ENDS)
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _ENDS))
            ends = head + stream.read(_ENDS)
    except OSError:
        return False
    return not ends or bool(re.search(mark, ends, re.DOTALL)) or (command == "eval" and ends.startswith(_TABLES))


def expect_suffix(path: Path, known: Sequence[str], option: str = "--out", streams: Sequence[str] = ()) -> str:
    """The suffix that says the format of an output; for `-` and /dev/null the first of `streams`. Raises UsageError."""
    suffix = suffix_of(path, streams or known)
    if suffix in known:
        return suffix
    listed = f"{', '.join(known[:-1])} or {known[-1]}" if len(known) > 1 else known[0]
    raise UsageError(
        f"Unsupported output format {path}; expected {listed}.",
        f"For example: {option} {path.with_suffix(known[0]) if path.name else f'NAME{known[0]}'}",
    )


def suffix_of(path: Path, known: Iterable[str]) -> str:
    """Return the suffix that says the format of an output; the first known one for `-` and /dev/null."""
    return next(iter(known)) if is_stream(path) else path.suffix
