"""A checkpoint looked at before torch reads it: what it asks for, how large it says it is, and whether that is true.

torch reads checkpoints safely (weights_only), but not in bounded time and memory: a few hundred bytes can keep it busy
for ever, unpack to any size, or claim a tensor larger than the file. Here the pickle in the archive is read as data, by
the machine that reads annotations; tensors are only measured.
"""

import errno
import io
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

from stgcn_cli.data import plain_pickle
from stgcn_cli.data.plain_arrays import Refused
from stgcn_cli.data.plain_names import ANNOTATION, Words
from stgcn_cli.errors import CheckpointError
from stgcn_cli.wording import nearest_file, one_line, printable, shown

MAX_PICKLE = 256 << 20  # bytes; ours have some ten thousand
_MAX_VALUES = 5_000_000  # counted as often as they are referred to: what walks through them all must come to an end
_MAGIC = 0x1950A86A20F9469CFC6C  # with which torch's older form begins
_BYTES = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
    "ComplexDouble": 16, "ComplexFloat": 8,
}  # fmt: skip
_CUT = "Was it cut off in a copy?"
_TYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


@dataclass(frozen=True)
class _Kind:
    """The type of a storage, by the bytes of one value."""

    size: int


@dataclass(frozen=True)
class _Storage:
    """Values that lie elsewhere in the file."""

    name: str
    values: int
    bytes: int


def _storage(name: Any) -> _Storage:
    match name:
        case ("storage", _Kind() as kind, str(key), str(), int(values), *_) if 0 <= values < 1 << 48:
            return _Storage(key, values, values * kind.size)
    raise Refused("a persistent object that is no storage")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> _Storage:
    """The storage of a tensor, once it is sure that the tensor lies in it and is no larger."""
    numbers = (offset, *shape, *strides)
    if (
        not isinstance(storage, _Storage)
        or len(shape) != len(strides)
        or any(type(n) is not int or n < 0 for n in numbers)
    ):
        raise ValueError("it holds a tensor that is put together wrongly")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if prod(shape) > storage.values or (prod(shape) and last >= storage.values):
        raise ValueError(f"it claims a tensor of the shape {shown(tuple(shape))} in {storage.values:,} values")
    return storage


def _parameter(data: Any, *rest: Any) -> Any:
    return data


_NAMES = {
    **ANNOTATION.names,
    **{f"torch.{name}Storage": _Kind(size) for name, size in _BYTES.items()},
    **{f"torch.{name}": name for name in _TYPES},
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": tuple,
    "torch.device": lambda *names: "a device",
}
_WORDS = Words(_NAMES, _storage, attributes=True)


def check(path: Path) -> None:
    """Raise CheckpointError, naming the cause, for a file that should not be given to torch."""
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder.", "Name a checkpoint in it, for instance best.pth of a run folder.")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for, a device read for ever
            raise CheckpointError(f"{path} is no file that can be read.")
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            _check(stream, size)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"There is no checkpoint {path}.{nearest_file(path)}", "See the run folder, or `stgcn train`."
        ) from error
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path} is damaged: it cannot be read as an archive.", _CUT) from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # a place before the beginning of the file
            raise CheckpointError(f"{path} is damaged: it cannot be read as an archive.", _CUT) from error
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Refused as error:
        asked = printable(error)[:200]
        raise CheckpointError(
            f"{path} is refused: it asks for {asked}, which no checkpoint needs.", "Nothing in it was run."
        ) from error
    except CheckpointError:
        raise
    except Exception as error:  # values that cannot be raise what Python raises for them
        raise CheckpointError(f"{path} is damaged: {plain_pickle.cause(error)}.", _CUT) from error


def _check(stream: IO[bytes], size: int) -> None:
    head = stream.read(4)
    stream.seek(0)
    if head == b"PK\x03\x04":
        _check_zip(stream, size)
    elif tarfile.is_tarfile(stream):
        raise Refused("the reading of a tar, which torch wrote before 2018")
    else:
        stream.seek(0)
        _check_older(stream, size)


def _check_zip(stream: IO[bytes], size: int) -> None:
    with _opened(stream) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise ValueError("it holds two files of one name")
        if any(
            m.compress_type != zipfile.ZIP_STORED or m.file_size != m.compress_size or m.flag_bits & 1
            for m in members.values()
        ):
            raise ValueError("it is packed in a way that torch never uses")
        if sum(member.file_size for member in members.values()) > size:
            raise ValueError("it claims more bytes than it has")
        found = [name for name in members if name.endswith("/data.pkl")]
        if len(found) != 1:
            raise ValueError("it holds no data.pkl, which a checkpoint of torch has")
        folder = found[0].removesuffix("data.pkl")
        if f"{folder}constants.pkl" in members:
            raise Refused("the running of a TorchScript program")
        if members[found[0]].file_size > MAX_PICKLE:
            raise ValueError(f"its pickle has more than {MAX_PICKLE:,} bytes")
        content = archive.read(found[0])
    value = plain_pickle.load(io.BytesIO(content), len(content), words=_WORDS)
    for each in _count(value):
        member = members.get(f"{folder}data/{each.name}")
        if member is None or member.file_size != each.bytes:
            raise ValueError(f"it does not hold the {each.bytes:,} bytes of the storage {one_line(each.name)[:40]}")


def _opened(stream: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except (OSError, ValueError, NotImplementedError, struct.error) as error:  # what damaged directories raise besides
        raise zipfile.BadZipFile from error


def _check_older(stream: IO[bytes], size: int) -> None:
    """Several pickles one behind the other, and then the values."""
    magic = plain_pickle.load(stream, size, words=_WORDS)
    if type(magic) is not int or magic != _MAGIC:
        raise ValueError("it is no file of torch")
    for _ in range(2):  # the protocol; the system it was written on
        _count(plain_pickle.load(stream, size, words=_WORDS))
    storages = _count(plain_pickle.load(stream, min(size, stream.tell() + MAX_PICKLE), words=_WORDS))
    if sum({each.name: each.bytes for each in storages}.values()) > size:
        raise ValueError("it claims more values than it has")


def _count(value: Any) -> list[_Storage]:
    """The storages in `value`. Raises ValueError when who walks through it, as through a tree, comes to no end."""
    counts: dict[int, int] = {}
    storages = []
    open_: set[int] = set()
    todo = [(value, False)]
    while todo:
        each, inside_done = todo.pop()
        if isinstance(each, _Storage) and id(each) not in counts:
            storages.append(each)
        inside = _inside(each)
        if inside_done:
            counts[id(each)] = 1 + sum(counts[id(part)] for part in inside)
            open_.discard(id(each))
            if counts[id(each)] > _MAX_VALUES:
                raise ValueError(f"it holds more than {_MAX_VALUES:,} values")
        elif id(each) in open_:
            raise ValueError("it holds a list or a table that contains itself")
        elif id(each) not in counts:
            open_.add(id(each))
            todo.append((each, True))
            todo.extend((part, False) for part in inside if id(part) not in counts)
    return storages


def _inside(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    return list(value) if isinstance(value, list | tuple | set | frozenset) else []
