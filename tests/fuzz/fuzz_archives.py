"""Zips of skeleton texts, and the tar of BABEL's release: nothing leaves the folder, nothing grows without bounds."""

import io
import random
import struct
import tarfile
from pathlib import Path

from stgcn_cli.data.archives import list_texts, read_text
from stgcn_cli.data.prepare.babel_archive import unpacked
from stgcn_cli.errors import StgcnError
from stgcn_cli.io.reporter import SILENT
from tests.factories.skeletons import text
from tests.fuzz.mutate import SIZES, some_bytes, some_members, zipped
from tests.fuzz.target import Target, refused

_NAMES = ("train_ntu_sk_60.npy", "train_label_60.pkl")
_TYPES = (
    tarfile.REGTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.DIRTYPE,
    tarfile.CHRTYPE,
    tarfile.FIFOTYPE,
    tarfile.GNUTYPE_SPARSE,
)
_PLACES = (
    "release/{}",
    "{}",
    "../{}",
    "/outside/{}",
    "a/../../{}",
    "./{}",
    "release/\x1b[31m{}",
    "{}/x",
    "release/{}/",
)
_PIECES = (0, 1, 2, 100, 512, 9000)


def _seeds() -> list[bytes]:
    names = [f"raw/S001C001P00{i}R001A00{i}.skeleton" for i in (1, 2)]
    zips = [zipped([(name, text([1])[:3000]) for name in names], method) for method in (0, 8)]
    return [*zips, _tar(random.Random(0), "w", False), _tar(random.Random(0), "w:gz", False)]


def _tar(rng: random.Random, mode: str, strange: bool = True) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(
        fileobj=stream, mode=mode, format=rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    ) as archive:
        for name in _NAMES:
            info = tarfile.TarInfo(rng.choice(_PLACES if strange else _PLACES[:1]).format(name))
            content = b"x" * rng.choice(_PIECES[1:])
            info.size = len(content)
            if strange and rng.random() < 0.5:
                info.type, info.linkname = rng.choice(_TYPES), rng.choice(("/etc/hostname", "../x", name, ""))
                if info.type != tarfile.REGTYPE:
                    info.size = 0
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _inside(rng: random.Random, name: str, content: bytes) -> bytes:
    return some_bytes(rng, content, [content])


def _mutate(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    if data[:2] != b"PK":
        made = _tar(rng, rng.choice(("w", "w:gz")))
        return made if rng.random() < 0.4 else some_bytes(rng, rng.choice((made, data)), seeds)
    if rng.random() < 0.5:
        return some_members(rng, data, seeds, _inside)
    changed = bytearray(data)  # a size, an offset or a method in the directory
    at = changed.rfind(b"PK\x01\x02", 0, rng.randrange(len(changed)) + 1)
    if at >= 0:
        place = at + rng.choice((8, 10, 16, 20, 24, 28, 30, 32, 42))
        changed[place : place + 4] = struct.pack("<I", rng.choice(SIZES))
    return bytes(changed)


def _attempt(data: bytes, folder: Path) -> str:
    path, before = folder / ("x.zip" if data[:2] == b"PK" else "x.tar.gz"), set(folder.parent.glob("*"))
    path.write_bytes(data)
    try:
        if path.suffix == ".zip":
            return _texts(path)
        with unpacked(path, _NAMES, folder, SILENT) as place:
            for file in place.iterdir():
                assert (
                    file.name in _NAMES
                    and file.is_file()
                    and not file.is_symlink()
                    and file.stat().st_size <= max(_PIECES)
                )
            return f"unpacked {len(list(place.iterdir()))}"
    except StgcnError as error:
        return refused(error, path)
    finally:
        assert set(folder.parent.glob("*")) <= before | {folder} or folder.parent.name in ("shm", "tmp"), (
            "something was left"
        )
        path.unlink()


def _texts(path: Path) -> str:
    outcome = "empty"
    for entry in list_texts([path]).entries:
        try:
            outcome = f"read {len(read_text(entry)) > 0}"
        except StgcnError as error:
            outcome = refused(error)
    return outcome


TARGET = Target("archives", _seeds, _mutate, _attempt, ("archives.py", "babel_archive.py"), memory_mb=400)
