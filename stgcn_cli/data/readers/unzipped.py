"""Zips of files that are read from disk only: unpacked into a temporary folder, which goes when the program ends."""

import functools
import tempfile
import zipfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from stgcn_cli.data.archives import check_packed
from stgcn_cli.errors import DataError
from stgcn_cli.io.text import printable

_MOST_FILES, _MOST_BYTES = 1_000_000, 64 << 30
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
        root = inside[0].rename(root.with_name(f"{root.name}_")).rename(_emptied(root))
    return root


def remove() -> None:
    """Remove what was unpacked, before the program ends."""
    _unzipped.cache_clear()
    while _FOLDERS:
        _FOLDERS.pop().cleanup()


def _emptied(folder: Path) -> Path:
    folder.rmdir()
    return folder


def _is_wanted(member: zipfile.ZipInfo, suffixes: frozenset[str]) -> bool:
    """Whether it is a file of a kind that is read; not those of macOS about files."""
    name = PurePosixPath(member.filename)
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
    return not member.is_dir() and not hidden and name.suffix.lower() in suffixes
