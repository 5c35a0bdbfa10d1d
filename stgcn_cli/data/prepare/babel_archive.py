"""The official tar.gz of BABEL's features, unpacked to where it is read from and gone afterwards.

Only the files asked for are written, under their bare names, so that no path of the archive's leads anywhere.
"""

import contextlib
import gzip
import shutil
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from stgcn_cli.errors import DataError, RunError
from stgcn_cli.io.files import disk_error, make_dirs, part_folder
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.io.text import printable

_MAX_BYTES = {".npy": 64 << 30, ".pkl": 256 << 20}  # of one file; the largest real ones have 4 GB and some MB
_MAX_MEMBERS = 10_000
_MAX_UNPACKED = 1 << 40  # of all files together; the real ones have some 10 GB
_MAX_HEADER = 1 << 20  # of a long name or of attributes, which are held in memory
_HEADERS = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip
_MAX_TAIL = 1 << 30  # zeros after the last file; tar rounds up to some kilobytes
_BLOCK = 1 << 20


class _Member(tarfile.TarInfo):
    """A member whose name and attributes are looked at before they are read."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _HEADERS and self.size > _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


@contextlib.contextmanager
def unpacked(archive: Path, names: Collection[str], beside: Path, reporter: Reporter) -> Iterator[Path]:
    """A folder in `beside` with those files `names` that the archive holds, at any depth; removed when the block ends.

    Raises DataError when the archive is damaged, cut off, or holds a link under one of the names, and RunError when the
    disk is too small.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(part_folder(make_dirs(beside) / archive.name))
        except OSError as error:
            raise disk_error(error, beside / archive.name) from error
        _unpack(archive, names, folder, reporter)
        yield folder


def _unpack(archive: Path, names: Collection[str], folder: Path, reporter: Reporter) -> None:
    try:
        with (
            open(archive, "rb") as stream,
            tarfile.open(fileobj=stream, mode=_mode(stream), tarinfo=_Member) as members,
            reporter.progress(f"unpack {archive.name}, MB", archive.stat().st_size >> 20) as advance,
        ):
            told = 0

            def tell() -> None:
                nonlocal told
                told, before = stream.tell() >> 20, told
                advance(told - before)

            for number, member in enumerate(members):
                if number == _MAX_MEMBERS:
                    raise DataError(f"{archive} holds more than {_MAX_MEMBERS:,} files; BABEL's holds a dozen.")
                if member.offset_data + member.size > _MAX_UNPACKED:
                    raise DataError(f"{archive} unpacks to more than {_MAX_UNPACKED >> 30:,} GB; that is no release.")
                name = PurePosixPath(member.name).name
                if name in names:
                    _check_member(archive, member, folder / name)
                    _write(members.extractfile(member), folder / name, member.size, tell)
                tell()
            for _ in range(_MAX_TAIL // _BLOCK):
                if not members.fileobj.read(_BLOCK):  # type: ignore[union-attr]  # the checksum stands at the very end
                    break
                tell()
            else:
                raise DataError(f"{archive} goes on after its end.")
    except (tarfile.TarError, EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{archive} cannot be unpacked: {printable(error)[:200]}.",
            "Is the download complete? It must be a tar or tar.gz; a folder with the unpacked files is read as well.",
        ) from error
    except OSError as error:
        if error.filename == str(archive):
            raise DataError(f"{archive} cannot be read: {error.strerror}.") from error
        raise disk_error(error, folder) from error


def _mode(stream: IO[bytes]) -> Literal["r:gz", "r:"]:
    """Packed by gzip or not packed; other ways are not the official file's."""
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    return "r:gz" if packed else "r:"


def _check_member(archive: Path, member: tarfile.TarInfo, target: Path) -> None:
    place = f"{archive}: {printable(member.name)[:200]}"
    if not member.isreg() or member.issparse():
        raise DataError(f"{place} is a link or a special file; only plain files are unpacked.")
    if target.exists():
        raise DataError(f"{archive} holds {target.name} twice.", "Unpack it and name the right folder: --source FOLDER")
    if member.size > _MAX_BYTES[target.suffix]:
        raise DataError(f"{place} has {member.size:,} bytes; more than {_MAX_BYTES[target.suffix]:,} are not unpacked.")
    free = shutil.disk_usage(target.parent).free
    if member.size > free:
        raise RunError(
            f"The disk is full: there is no room to unpack {target.name}: {member.size:,} bytes, and {free:,} are free.",
            "Free some space: it is unpacked beside the output. Or choose another place with --out, or unpack the archive"
            " elsewhere and name the folder: --source FOLDER",
        )


def _write(source: IO[bytes] | None, target: Path, size: int, tell: Callable[[], None]) -> None:
    """Copy a member; the declared size bounds what is written."""
    assert source is not None  # a plain file has contents
    with source, open(target, "xb") as stream:
        while block := source.read(_BLOCK):
            stream.write(block)
            tell()
    if target.stat().st_size != size:
        raise tarfile.ReadError(f"{target.name} is cut off")
