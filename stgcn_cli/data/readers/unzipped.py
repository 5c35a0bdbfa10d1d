"""Zips and gzip files that are read from disk only: unpacked into a temporary folder, which goes when the program ends."""

import functools
import gzip
import tempfile
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from stgcn_cli.data.archives import check_packed
from stgcn_cli.errors import DataError
from stgcn_cli.io.own_files import read_regular
from stgcn_cli.io.text import printable

_MOST_FILES, _MOST_BYTES = 1_000_000, 64 << 30
_MOST_TIMES, _LEAST_LIMIT = 200, 64 << 20  # a gzip file's own size; bytes that are unpacked in any case
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []  # removed at the end of the program


def unzipped(path: Path, suffixes: Collection[str]) -> Path:
    """The folder that holds the members of a zip with these suffixes; folders that hold them all do not count.

    Its name is that of the zip. Raises DataError.
    """
    stat = path.stat()
    return _unzipped(path.resolve(), stat.st_mtime_ns, stat.st_size, frozenset(suffixes))


@functools.cache
def _unzipped(path: Path, changed: int, size: int, suffixes: frozenset[str]) -> Path:
    try:
        check_packed(path)
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if _is_wanted(member, suffixes)]
            if len(members) > _MOST_FILES or sum(member.file_size for member in members) > _MOST_BYTES:
                raise ValueError(f"{len(members):,} files are more than are unpacked on the fly")
            _FOLDERS.append(tempfile.TemporaryDirectory(prefix="stgcn-"))
            root = Path(_FOLDERS[-1].name) / path.stem
            root.mkdir()
            for member in members:
                archive.extract(member, root)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise DataError(f"{path} cannot be read as a zip: {printable(error)[:200]}.", "Unpack it first.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be unpacked: {error.strerror or error}.", "Unpack it first.") from error
    while len(inside := list(root.iterdir())) == 1 and inside[0].is_dir():
        inner = inside[0].rename(root.with_name(f"{root.name}_"))
        root.rmdir()
        root = inner.rename(root)
    return root


def is_gzip(path: Path) -> bool:
    """Whether the file is packed with gzip, whatever it is called. Raises OSError."""
    return read_regular(path, 2) == b"\x1f\x8b"


def gunzipped(path: Path) -> Path:
    """The file in a gzip file, under its name without .gz. Raises DataError for damage and more than 200 times its size."""
    stat = path.stat()
    return _gunzipped(path.resolve(), stat.st_mtime_ns, stat.st_size)


@functools.cache
def _gunzipped(path: Path, changed: int, size: int) -> Path:
    _FOLDERS.append(tempfile.TemporaryDirectory(prefix="stgcn-"))
    out = Path(_FOLDERS[-1].name) / path.name.removesuffix(".gz").removesuffix(".GZ")
    most = min(_MOST_BYTES, max(_LEAST_LIMIT, _MOST_TIMES * size))
    try:
        with gzip.open(path, "rb") as packed, open(out, "xb") as stream:
            while block := packed.read(1 << 20):
                if stream.write(block) and stream.tell() > most:
                    raise ValueError("more is in it than is unpacked on the fly")
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as a gzip file: {printable(error)[:200]}.", "Unpack it first."
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be unpacked: {error.strerror or error}.", "Unpack it first.") from error
    if is_gzip(out):
        raise DataError(f"{path} is packed with gzip twice.", "Unpack it first.")
    return out


def remove() -> None:
    """Remove what was unpacked, before the program ends."""
    _unzipped.cache_clear()
    _gunzipped.cache_clear()
    while _FOLDERS:
        _FOLDERS.pop().cleanup()


def _is_wanted(member: zipfile.ZipInfo, suffixes: frozenset[str]) -> bool:
    """Whether it is a file of a kind that is read; not those of macOS about files."""
    name = PurePosixPath(member.filename)
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
    return not member.is_dir() and not hidden and name.suffix.lower() in suffixes
