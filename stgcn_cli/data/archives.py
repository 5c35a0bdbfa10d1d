"""Texts in a zip, in several zips, or in a folder: listed by name, read one at a time, never unpacked to disk.

An entry is small and says itself where its bytes lie, so that any process can read it without listing again.
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from stgcn_cli.errors import DataError
from stgcn_cli.io.own_files import open_regular
from stgcn_cli.io.text import one_line

MAX_BYTES = 64 << 20  # of one text; NTU's longest have a few million
_RATIO, _FREE = 200, 256 << 20  # largest ratio of unpacked to packed bytes (skeletons have about 10); always allowed
_ENCRYPTED = 1  # the flag bit
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature; lengths of the name and of the extra field


def check_packed(path: Path) -> None:
    """Raise ValueError when the zip (or .npz) at `path` unpacks to far more bytes than plausible (a zip bomb).

    zipfile itself reads no more of a member than its directory declares. Also raises OSError and zipfile.BadZipFile.
    """
    with zipfile.ZipFile(path) as archive:
        total = sum(member.file_size for member in archive.infolist())
    if total > max(_FREE, _RATIO * path.stat().st_size):
        raise ValueError(f"it claims to hold {total:,} bytes, over {_RATIO} times its own size")


class Packed(NamedTuple):
    """Where and how a zip holds a member; offset and size in bytes."""

    offset: int
    size: int
    method: int
    flags: int
    crc: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One text: its name without folders and suffix, where it lies, and its size in bytes as declared."""

    name: str
    place: str  # for messages: "archive.zip: folder/NAME.skeleton" or the path
    path: str  # the file itself, or the zip it lies in
    size: int
    packed: Packed | None = None


@dataclass(frozen=True)
class Listing:
    """Entries sorted by name, each name once, and (place, reason) of the other files."""

    entries: list[Entry]
    duplicates: list[tuple[str, str]]
    foreign: list[tuple[str, str]]


def list_texts(sources: Sequence[Path], suffix: str = ".skeleton") -> Listing:
    """List every file `NAME<suffix>` in the sources. Of duplicate names the first is kept: by source, then by path.

    Raises DataError when a source does not exist or cannot be listed.
    """
    entries: dict[str, Entry] = {}
    duplicates, foreign = [], []
    for source in sources:
        for found, reason in list_source(Path(source), suffix):
            if reason:
                foreign.append((found.place, reason))
            elif (kept := entries.setdefault(found.name, found)) is not found:
                duplicates.append((found.place, f"a second {found.name}; the one read is {kept.place}"))
    return Listing(sorted(entries.values(), key=lambda entry: entry.name), duplicates, foreign)


def read_text(entry: Entry) -> bytes:
    """Return the bytes of an entry. Raises DataError when they are damaged, encrypted, too many, or have changed."""
    size = max(entry.size, entry.packed.size if entry.packed else 0)
    if size > MAX_BYTES:
        raise DataError(f"it has {size:,} bytes, more than the limit of {MAX_BYTES:,}")
    try:
        with open(entry.path, "rb", opener=open_regular) as stream:
            text = _read_member(stream, entry.packed, entry.size) if entry.packed else stream.read(entry.size + 1)
    except OSError as error:
        raise DataError(f"it cannot be read: {error.strerror or error}") from error
    if len(text) != entry.size:
        raise DataError(f"it does not have the expected {entry.size:,} bytes")
    return text


def list_source(source: Path, suffix: str) -> Iterator[tuple[Entry, str]]:
    """List the entries of one source, with the reason for those that are not texts. Raises DataError."""
    try:
        found = list(_walk(source) if source.is_dir() else _list_file(source, suffix))
    except zipfile.BadZipFile as error:
        hint = "Is the download complete? Expected a zip, a folder, or one text."
        raise DataError(f"{source} cannot be read as a zip: {_shown(error)}.", hint) from error
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}.") from error
    for entry, reason in sorted(found, key=lambda pair: pair[0].place):
        if not reason and not entry.name.endswith(suffix):
            reason = f"not a {suffix} file"
        yield Entry(entry.name.removesuffix(suffix), entry.place, entry.path, entry.size, entry.packed), reason


def _list_file(source: Path, suffix: str) -> Iterator[tuple[Entry, str]]:
    if source.suffix == suffix:
        yield Entry(source.name, _shown(source), str(source), source.stat().st_size), ""
    else:
        yield from _list_zip(source)


def _list_zip(source: Path) -> Iterator[tuple[Entry, str]]:
    try:
        with zipfile.ZipFile(source) as archive:
            members = [member for member in archive.infolist() if not member.filename.endswith("/")]
    except (struct.error, ValueError, NotImplementedError) as error:  # what damaged directories raise beside BadZipFile
        raise zipfile.BadZipFile(str(error)) from error
    for m in members:
        packed = Packed(m.header_offset, m.compress_size, m.compress_type, m.flag_bits, m.CRC)
        name = PurePosixPath(m.filename).name
        yield Entry(name, f"{_shown(source)}: {_shown(m.filename)}", str(source), m.file_size, packed), ""


def _walk(folder: Path) -> Iterator[tuple[Entry, str]]:
    """List every file below `folder`. Linked folders are not entered, and a linked file must lie in the folder."""
    root = os.path.realpath(folder)
    unread: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unread.append):
        folders.sort()
        linked = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in sorted(files) + linked:
            path = os.path.join(parent, name)
            reason = _unusable(path, root)
            yield Entry(name, _shown(path), path, 0 if reason else os.stat(path).st_size), reason
    for error in unread:
        yield Entry("", _shown(error.filename), str(error.filename), 0), f"the folder cannot be read: {error.strerror}"


def _unusable(path: str, root: str) -> str:
    """Return why a file is not read, or an empty string."""
    if os.path.islink(path):
        target = os.path.realpath(path)
        if os.path.isdir(target) or os.path.commonpath([root, target]) != root:
            return "a link to a folder, or out of the folder, is not followed"
    if not os.path.isfile(path):
        return "not a regular file"
    if path.endswith(".zip"):
        return "a zip inside a folder is not opened; give it to --source itself"
    return ""


def _read_member(stream: IO[bytes], packed: Packed, size: int) -> bytes:
    """Return a zip member's bytes, read at its offset: opening the archive again would parse its whole directory."""
    if packed.flags & _ENCRYPTED:
        raise DataError("it is encrypted")
    stream.seek(packed.offset)
    header = stream.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise DataError("it is damaged: the zip does not hold it where its directory says")
    _, name_size, extra_size = _LOCAL_HEADER.unpack(header)
    stream.seek(name_size + extra_size, os.SEEK_CUR)
    text = _unpack(stream.read(packed.size), packed.method, size + 1)  # one more shows a size that lies
    if zlib.crc32(text) != packed.crc:
        raise DataError("it is damaged: its checksum does not match")
    return text


def _unpack(data: bytes, method: int, limit: int) -> bytes:
    if method == zipfile.ZIP_STORED:
        return data
    if method != zipfile.ZIP_DEFLATED:
        raise DataError(f"unsupported compression method {method}")
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, limit)
    except zlib.error as error:
        raise DataError(f"it is damaged: {error}") from error


def _shown(name: object) -> str:
    """Return a file name fit for messages and reports: one line, at most 200 characters."""
    text = one_line(name)
    return text if len(text) <= 200 else f"{text[:200]}..."
