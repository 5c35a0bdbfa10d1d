"""The official tar.gz of BABEL's features, unpacked to a folder that is removed when it has been read.

Only the requested files are written, under their bare names, so that no path in the archive leads out of the folder.
"""

import contextlib
import gzip
import shutil
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from stgcn_cli.errors import DataError, RunError
from stgcn_cli.io.files import disk_error, make_dirs, part_folder, writing
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.io.text import printable

MAX_BYTES = {".npy": 64 << 30, ".pkl": 256 << 20}  # of one file; the largest real ones have 4 GB and some MB
MAX_MEMBERS = 10_000
MAX_UNPACKED = 1 << 40  # of all files together; the real ones have some 10 GB
MAX_TAIL = 1 << 30  # zeros after the last file; tar rounds up to some kilobytes
_BLOCK = 1 << 20


@contextlib.contextmanager
def unpacked(archive: Path, names: Collection[str], beside: Path, reporter: Reporter) -> Iterator[Path]:
    """A folder in `beside` with those files `names` that the archive holds, at any depth; removed when the block ends.

    Raises DataError when the archive is damaged, cut off, or holds a link under one of the names, and RunError when the
    disk is too small.
    """
    with contextlib.ExitStack() as stack:
        with writing(beside / archive.name):
            folder = stack.enter_context(part_folder(make_dirs(beside) / archive.name))
        with _reworded(archive, folder):
            _unpack(archive, names, folder, reporter)
        yield folder


@contextlib.contextmanager
def _reworded(archive: Path, folder: Path) -> Iterator[None]:
    """What reading and writing raise, as DataError of the archive or RunError of the disk."""
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{archive} cannot be unpacked: {printable(error)[:200]}.",
            "Is the download complete? Expected a tar or tar.gz; a folder with the unpacked files is read as well.",
        ) from error
    except OSError as error:
        if error.filename == str(archive):
            raise DataError(f"{archive} cannot be read: {error.strerror}.") from error
        raise disk_error(error, folder) from error


class _Blocks:
    """The unpacked bytes, read at most a block at a time: tarfile reads a long name at once, whatever size it claims."""

    def __init__(self, stream: IO[bytes], advance: Callable[..., None]) -> None:
        packed = stream.read(2) == b"\x1f\x8b"
        stream.seek(0)
        self._raw, self._advance, self._shown = stream, advance, 0
        self._stream: IO[bytes] = gzip.GzipFile(fileobj=stream) if packed else stream  # type: ignore[assignment]
        self.tell, self.seek = self._stream.tell, self._stream.seek

    def read(self, size: int) -> bytes:
        if size > _BLOCK:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        shown, self._shown = self._shown, self._raw.tell() >> 20
        self._advance(self._shown - shown)
        return self._stream.read(size)


def _unpack(archive: Path, names: Collection[str], folder: Path, reporter: Reporter) -> None:
    with (
        open(archive, "rb") as stream,
        reporter.progress(f"unpack {archive.name}, MB", archive.stat().st_size >> 20) as advance,
        tarfile.open(fileobj=(blocks := _Blocks(stream, advance)), mode="r:") as members,  # type: ignore[call-overload]
    ):
        for number, member in enumerate(members):
            if number == MAX_MEMBERS:
                raise DataError(f"{archive} holds more than {MAX_MEMBERS:,} files; BABEL's holds a dozen.")
            if member.offset_data + member.size > MAX_UNPACKED:
                raise DataError(f"{archive} unpacks to more than {MAX_UNPACKED >> 30:,} GB; not a release of BABEL.")
            name = PurePosixPath(member.name).name
            if name in names:
                _check_member(archive, member, folder / name)
                _write(members.extractfile(member), folder / name, member.size)
        end = blocks.tell() + MAX_TAIL
        while blocks.read(_BLOCK):  # the checksum of the tar.gz is at its very end
            if blocks.tell() > end:
                raise DataError(f"{archive} continues after its end.")


def _check_member(archive: Path, member: tarfile.TarInfo, target: Path) -> None:
    place = f"{archive}: {printable(member.name)[:200]}"
    if not member.isreg() or member.issparse():
        raise DataError(f"{place} is a link or a special file; only plain files are unpacked.")
    if target.exists():
        raise DataError(f"{archive} holds {target.name} twice.", "Unpack it and name the right folder: --source FOLDER")
    if member.size > MAX_BYTES[target.suffix]:
        raise DataError(f"{place} has {member.size:,} bytes; more than {MAX_BYTES[target.suffix]:,} are not unpacked.")
    free = shutil.disk_usage(target.parent).free
    if member.size > free:
        raise RunError(
            f"The disk is full: not enough space to unpack {target.name}: {member.size:,} bytes, {free:,} are free.",
            "Free some space: it is unpacked beside the output. Or choose another place with --out, or unpack the archive"
            " elsewhere and name the folder: --source FOLDER",
        )


def _write(source: IO[bytes] | None, target: Path, size: int) -> None:
    """Copy a member; the declared size bounds what is written."""
    assert source is not None  # a plain file has contents
    with source, open(target, "xb") as stream:
        shutil.copyfileobj(source, stream, _BLOCK)
    if target.stat().st_size != size:
        raise tarfile.ReadError(f"{target.name} is cut off")
