"""Checks of a checkpoint file before torch reads it: references, claimed sizes, checksums.

torch loads checkpoints safely (weights_only), but not in bounded time and memory, and without verifying the checksums of
the zip archive. Here the directory of the archive is checked, then the pickle in it is read as data: tensors are measured,
not created.
"""

import errno
import functools
import io
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

from stgcn_cli.errors import CheckpointError
from stgcn_cli.io import foreign, safe_pickle
from stgcn_cli.io.pickle_values import Maker, Refused
from stgcn_cli.io.safe_pickle import DataUnpickler
from stgcn_cli.io.text import nearest_file, one_line, printable, shown
from stgcn_cli.runs.foreign_objects import IGNORED

MAX_PICKLE = 256 << 20  # bytes; ours have some ten thousand
_MAGIC = 0x1950A86A20F9469CFC6C  # with which torch's older format begins
_TAR = (257, b"ustar")  # offset and magic bytes; torch wrote tar files before 2018
_BYTES = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
    "ComplexDouble": 16, "ComplexFloat": 8,
}  # fmt: skip
_TYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
_LEFT_TO_READERS = ("torch", "zip", "pickle", "packed", "empty")
_TENSOR = "torch._utils._rebuild_tensor_v2"
_SHARED, _SHARED_BYTES = 8, 1 << 20  # tensors may be so many times the values that they share, and some bytes
_FROM_NUMPY = "Save its weights with torch: torch.save({{k: torch.from_numpy(v) for k, v in numpy.load('{0}').items()}}, 'weights.pth')"
_WHOLE = "If a program saved the whole model, save its weights alone: torch.save(model.state_dict(), FILE)"
_CUT = "Was it cut off in a copy?"


def check(path: Path) -> None:
    """Raise CheckpointError for a file that torch must not load: missing, damaged, hostile, or not a checkpoint."""
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder.", "Give a checkpoint in it, for example best.pth of a run folder.")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block, reading a device never end
            raise CheckpointError(f"{path} is not a regular file.")
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            _check(stream, size)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"Checkpoint {path} not found.{nearest_file(path)}", "See the run folder, or `stgcn train`."
        ) from error
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path} is damaged: it cannot be read as an archive.", _CUT) from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # an offset before the beginning of the file
            raise CheckpointError(f"{path} is damaged: it cannot be read as an archive.", _CUT) from error
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Refused as error:
        raise CheckpointError(
            f"Refused to load {path}: it references {printable(error)[:200]}, which a checkpoint may not contain. "
            "No code was executed.",
            _WHOLE,
        ) from error
    except CheckpointError:
        raise
    except Exception as error:  # a damaged file can make Python raise anything
        raise CheckpointError(f"{path} is damaged: {safe_pickle.cause(error)}.", _CUT) from error


def _check(stream: IO[bytes], size: int) -> None:
    head = foreign.peek(stream)
    kind = foreign.kind_of(head)
    if kind is not None and kind.key not in _LEFT_TO_READERS:
        hint = _FROM_NUMPY if kind.key == "npz" else kind.hint
        raise CheckpointError(f"{stream.name} is {kind.what}; expected a checkpoint.", hint.format(stream.name))
    offset, magic = _TAR
    if head.startswith(b"PK\x03\x04"):
        _check_zip(stream, size)
    elif head[offset : offset + len(magic)] == magic:
        raise Refused("a tar archive, as torch wrote before 2018")
    else:
        _check_older(stream, size)


def _check_zip(stream: IO[bytes], size: int) -> None:
    with _opened(stream) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise ValueError("it contains two files of one name")
        if any(name.endswith("/constants.pkl") for name in members):
            raise Refused("a TorchScript program")
        if any(
            m.compress_type != zipfile.ZIP_STORED or m.file_size != m.compress_size or m.flag_bits & 1
            for m in members.values()
        ):
            raise ValueError("it is compressed or encrypted, which torch does not support")
        if sum(member.file_size for member in members.values()) > size:
            raise ValueError("it claims more bytes than it contains")
        found = [name for name in members if name.endswith("/data.pkl")]
        if len(found) != 1:
            raise ValueError("data.pkl, which every checkpoint of torch has, was not found")
        folder = found[0].removesuffix("data.pkl")
        if members[found[0]].file_size > MAX_PICKLE:
            raise ValueError(f"its pickle has more than {MAX_PICKLE:,} bytes")
        if damaged := archive.testzip():  # torch does not verify the checksums
            raise ValueError(f"the checksum of {one_line(damaged)[:60]} does not match")
        content = archive.read(found[0])
    for storage in _storages(io.BytesIO(content), len(content)):
        member = members.get(f"{folder}data/{storage.name}")
        if member is None or member.file_size != storage.bytes:
            raise ValueError(
                f"it does not contain the {storage.bytes:,} bytes of the storage {one_line(storage.name)[:40]}"
            )


def _opened(stream: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except (OSError, ValueError, NotImplementedError, struct.error) as error:  # of damaged directories
        raise zipfile.BadZipFile from error


def _check_older(stream: IO[bytes], size: int) -> None:
    """Check torch's format before 2020: consecutive pickles, then the values."""
    magic = safe_pickle.load(stream, size)
    if type(magic) is not int or magic != _MAGIC:
        if foreign.are_line_ends_changed(stream):
            raise ValueError("its line ends were changed in a copy (CRLF)")
        raise CheckpointError(
            f"{stream.name} is a pickle, but not a checkpoint of torch.",
            "Annotations: stgcn data inspect FILE. Scores of an evaluation: stgcn eval FILE --data ANNOTATIONS",
        )
    for _ in range(2):  # the protocol; the system it was written on
        safe_pickle.load(stream, size)
    storages = _storages(stream, size)
    keys = safe_pickle.load(
        stream, size
    )  # in the order of the values, each of which torch reads as often as it is named
    if not isinstance(keys, list) or len(set(map(str, keys))) < len(keys) or len(keys) > len(storages):
        raise ValueError("its list of storages does not fit its tensors")
    if sum({each.name: each.bytes for each in storages}.values()) > size:
        raise ValueError("it claims more values than it contains")


@dataclass(frozen=True)
class _Kind:
    """The type of a storage: bytes per value."""

    size: int


@dataclass(frozen=True)
class _Storage:
    """Values stored elsewhere in the file."""

    name: str
    values: int
    bytes: int


def _storages(stream: IO[bytes], size: int) -> list[_Storage]:
    """Return the storages that a pickle of torch references, after checking it all. Raises Refused, ValueError."""
    reader = _Measurer(stream, size)
    with safe_pickle.address_space(size):
        reader.load()
    there = sum({each.name: each.bytes for each in reader.storages}.values())
    if reader.copied > _SHARED * there + _SHARED_BYTES:
        raise ValueError(f"its tensors share {there:,} bytes so often that they are {reader.copied:,}")
    return reader.storages


def _tensor(count: Callable[[int], None], storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> _Storage:
    """Check that a tensor lies inside its storage and is not larger; count its bytes. Raises ValueError."""
    numbers = (offset, *shape, *strides)
    if (
        not isinstance(storage, _Storage)
        or len(shape) != len(strides)
        or any(type(n) is not int or n < 0 for n in numbers)
    ):
        raise ValueError("it contains an inconsistent tensor")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if prod(shape) > storage.values or (prod(shape) and last >= storage.values):
        raise ValueError(f"it claims a tensor of the shape {shown(tuple(shape))} in {storage.values:,} values")
    count(prod(shape) * storage.bytes // max(1, storage.values))
    return storage


_NAMES = {
    **DataUnpickler.names,
    **{f"torch.{name}Storage": _Kind(size) for name, size in _BYTES.items()},
    **{f"torch.{name}": name for name in _TYPES},
    "torch._utils._rebuild_parameter": Maker("torch._utils._rebuild_parameter", lambda data, *rest: data),
    "torch.Size": Maker("torch.Size", tuple),
    "torch.device": Maker("torch.device", lambda *names: "a device"),
    **{name: Maker(name, lambda *args: {}) for name in IGNORED},
}


class _Measurer(DataUnpickler):
    """Unpickler that creates a `_Storage` in place of each tensor."""

    names = _NAMES

    def __init__(self, stream: IO[bytes], size: int) -> None:
        super().__init__(stream, size)
        self.storages: list[_Storage] = []
        self.copied = 0  # bytes of all tensors, were each copied
        self.names = {**_NAMES, _TENSOR: Maker(_TENSOR, functools.partial(_tensor, self._count))}

    def _count(self, size: int) -> None:
        self.copied += size

    def persistent_load(self, pid: Any) -> _Storage:
        """Record and return the storage that a persistent id describes. Raises Refused."""
        match pid:
            case ("storage", _Kind() as kind, str(key), str(), int(values), *_) if 0 <= values < 1 << 48:
                self.storages.append(_Storage(key, values, values * kind.size))
                return self.storages[-1]
        raise Refused("a persistent object that is not a storage")
