"""Checkpoint files of torch, read as data: only tensors and plain values are created, in bounded time and memory.

torch's own loader (weights_only) bounds neither, and does not verify the checksums of the zip archive. Here the directory of
the archive is checked, then the pickle in it is read by the unpickler for plain values, with tensors over the stored bytes.
"""

import errno
import hashlib
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

import torch
from torch import Tensor

from stgcn_cli.errors import CheckpointError
from stgcn_cli.io import foreign, safe_pickle
from stgcn_cli.io.limits import address_space
from stgcn_cli.io.pickle_values import Maker, Refused
from stgcn_cli.io.safe_pickle import DataUnpickler
from stgcn_cli.io.text import nearest_file, one_line, printable, shown

MAX_PICKLE = 256 << 20  # bytes; ours have some ten thousand
_MAGIC = 0x1950A86A20F9469CFC6C  # with which torch's older format begins
_TAR = (257, b"ustar")  # offset and magic bytes; torch wrote tar files before 2018
_STORAGES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool, "ComplexDouble": torch.complex128, "ComplexFloat": torch.complex64,
}  # fmt: skip
_IGNORED = (  # classes of histories, options and configurations: read as empty dicts
    "mmengine.logging.history_buffer.HistoryBuffer", "mmengine.config.config.ConfigDict", "mmengine.config.config.Config",
    "mmcv.utils.config.ConfigDict", "mmcv.utils.config.Config", "addict.addict.Dict", "argparse.Namespace",
    "easydict.EasyDict", "yacs.config.CfgNode", "omegaconf.dictconfig.DictConfig",
    "pytorch_lightning.utilities.parsing.AttributeDict", "lightning_fabric.utilities.data.AttributeDict",
)  # fmt: skip
_TYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
_LEFT_TO_READERS = ("torch", "zip", "pickle", "packed", "empty")
_TENSOR = "torch._utils._rebuild_tensor_v2"
_SHARED, _SHARED_BYTES = 8, 1 << 20  # tensors may be so many times the values that they share, and some bytes
_FROM_NUMPY = "Save its weights with torch: torch.save({{k: torch.from_numpy(v) for k, v in numpy.load('{0}').items()}}, 'weights.pth')"
_WHOLE = "If a program saved the whole model, save its weights alone: torch.save(model.state_dict(), FILE)"
_CUT = "Was it cut off in a copy?"


def read(path: Path, digest: "hashlib._Hash | None" = None) -> Any:
    """Return what `torch.save` wrote to `path`, on the CPU; `digest` is updated with the bytes of the same file.

    Raises CheckpointError for a file that is missing, damaged, hostile, or not a checkpoint.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; expected a checkpoint.", "Give one in it: best.pth of a run folder")
    if path.suffix.lower() == ".toml" and path.is_file():
        raise CheckpointError(f"{path} is a preset; expected a checkpoint.", f"Train it first: stgcn train {path}")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block, reading a device never end
            raise CheckpointError(f"{path} is not a regular file.")
        with open(path, "rb") as stream:
            if digest is not None:
                hashlib.file_digest(stream, lambda: digest)
            return _read(stream, os.fstat(stream.fileno()).st_size)
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


def _read(stream: IO[bytes], size: int) -> Any:
    head = foreign.peek(stream)
    kind = foreign.kind_of(head)
    if kind is not None and kind.key not in _LEFT_TO_READERS:
        hint = _FROM_NUMPY if kind.key == "npz" else kind.hint
        raise CheckpointError(f"{stream.name} is {kind.what}; expected a checkpoint.", hint.format(stream.name))
    offset, magic = _TAR
    if head.startswith(b"PK\x03\x04"):
        return _read_zip(stream, size)
    if head[offset : offset + len(magic)] == magic:
        raise Refused("a tar archive, as torch wrote before 2018")
    return _read_older(stream, size)


def _read_zip(stream: IO[bytes], size: int) -> Any:
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
        if f"{folder}byteorder" in members and archive.read(f"{folder}byteorder") != b"little":
            raise Refused("numbers in big-endian order")

        def stored(name: str, count: int) -> bytearray:
            member = members.get(f"{folder}data/{name}")
            if member is None or member.file_size != count:
                raise ValueError(f"it does not contain the {count:,} bytes of the storage {one_line(name)[:40]}")
            return bytearray(archive.read(member))

        return _TensorUnpickler(io.BytesIO(archive.read(found[0])), size, stored).load_all()


def _opened(stream: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except (OSError, ValueError, NotImplementedError, struct.error) as error:  # of damaged directories
        raise zipfile.BadZipFile from error


def _read_older(stream: IO[bytes], size: int) -> Any:
    """Read torch's format before 2020: consecutive pickles, then the values of each storage after their number."""
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
    buffers: dict[str, bytearray] = {}

    def reserved(name: str, count: int) -> bytearray:
        if reader.claimed > size:
            raise ValueError("it claims more values than it contains")
        buffers[name] = bytearray(count)
        return buffers[name]

    reader = _TensorUnpickler(stream, size, reserved)
    value, names = reader.load_all(), safe_pickle.load(stream, size)
    if not isinstance(names, list) or sorted(map(str, names)) != sorted(reader.storages):
        raise ValueError("its list of storages does not fit its tensors")
    for name in names:
        count, buffer = stream.read(8), buffers.get(name, bytearray())  # without values: none
        if len(count) < 8 or stream.readinto(buffer) < len(buffer):  # type: ignore[attr-defined]
            raise EOFError
        if int.from_bytes(count, "little") != reader.storages[name].values.numel():
            raise ValueError("its list of storages does not fit its tensors")
    return value


@dataclass(frozen=True)
class _Storage:
    """Stored values (one dimension), which tensors look at."""

    values: Tensor


class _TensorUnpickler(DataUnpickler):
    """Unpickler for plain values and tensors; `stored(name, bytes)` returns the bytes of a storage."""

    def __init__(self, stream: IO[bytes], size: int, stored: Callable[[str, int], bytearray]) -> None:
        super().__init__(stream, size)
        self.stored, self.storages = stored, dict[str, _Storage]()
        self.claimed = self.used = 0  # bytes of all storages; of all tensors, were each copied
        self.names = {**_NAMES, _TENSOR: Maker(_TENSOR, self._tensor)}

    def load_all(self) -> Any:
        """Return the value. Raises Refused, ValueError, and what Python raises."""
        with address_space(self.size):
            value = self.load()
        if self.used > _SHARED * self.claimed + _SHARED_BYTES:
            raise ValueError(f"its tensors share {self.claimed:,} bytes so often that they are {self.used:,}")
        return value

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the storage that a persistent id describes. Raises Refused, ValueError."""
        match pid:
            case ("storage", torch.dtype() as dtype, str(name), str(), int(count), *rest) if 0 <= count < 1 << 48:
                size = count * dtype.itemsize
                if name not in self.storages:
                    self.claimed += size
                    if any(rest):
                        raise ValueError("it contains a storage that is a part of another one")
                    values = (
                        torch.frombuffer(self.stored(name, size), dtype=dtype) if size else torch.empty(0, dtype=dtype)
                    )
                    self.storages[name] = _Storage(values)
                found = self.storages[name].values
                if (found.dtype, found.numel()) != (dtype, count):
                    raise ValueError("it contains an inconsistent storage")
                return self.storages[name]
        raise Refused("a persistent object that is not a storage")

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
        """Return a tensor that lies inside its storage and is not larger. Raises ValueError."""
        numbers = (offset, *shape, *strides)
        if (
            not isinstance(storage, _Storage)
            or len(shape) != len(strides)
            or any(type(n) is not int or n < 0 for n in numbers)
        ):
            raise ValueError("it contains an inconsistent tensor")
        last, there = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)), storage.values
        if prod(shape) > there.numel() or (prod(shape) and last >= there.numel()):
            raise ValueError(f"it claims a tensor of the shape {shown(tuple(shape))} in {there.numel():,} values")
        self.used += prod(shape) * there.itemsize
        return torch.as_strided(there, shape, strides, offset)


_NAMES = {
    **DataUnpickler.names,
    **{f"torch.{name}Storage": dtype for name, dtype in _STORAGES.items()},
    **{f"torch.{name}": name for name in _TYPES},
    "torch._utils._rebuild_parameter": Maker("torch._utils._rebuild_parameter", lambda data, *rest: data),
    "torch.Size": Maker("torch.Size", tuple),
    "torch.device": Maker("torch.device", lambda *names: "a device"),
    **{name: Maker(name, lambda *args: {}) for name in _IGNORED},
}
