"""Checkpoints: {"meta", "state_dict"[, "optimizer"]}, read without running what is in them, written whole."""

import errno
import hashlib
import io
import os
import pickle
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from stgcn_cli.errors import CheckpointError
from stgcn_cli.io import safe_pickle
from stgcn_cli.io.files import atomic_write
from stgcn_cli.io.safe_pickle import ANNOTATION, Refused, Words
from stgcn_cli.io.text import nearest_file, one_line, printable, shown

# A checksum inside a checkpoint: the archive's own are not looked at when tensors are read, and bits flip on disks.
#
# It covers every name, number, text and tensor of the checkpoint, whatever the pickle or the archive around them look like,
# so a file that was read and written again by another program keeps it.

KEY = "checksum"


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint {"meta", "state_dict", …} with meta["checksum"] set to that of all the rest."""
    meta = {key: each for key, each in value["meta"].items() if key != KEY}
    value = {**value, "meta": meta}
    return {**value, "meta": {**meta, KEY: checksum(value)}}


def is_broken(value: Mapping[str, Any]) -> bool:
    """Whether `value` carries a checksum, and another one than its contents have."""
    meta = value.get("meta")
    if not isinstance(meta, Mapping) or KEY not in meta:
        return False
    rest = {key: each for key, each in meta.items() if key != KEY}
    return meta[KEY] != checksum({**value, "meta": rest})


def checksum(value: object) -> str:
    """ "sha256:" and 64 hex digits over nested tables, lists, numbers, texts and tensors."""
    digest = hashlib.sha256()
    _take(digest, value)
    return f"sha256:{digest.hexdigest()}"


def _take(digest: Any, value: object) -> None:
    if isinstance(value, Tensor):
        plain = value.detach().cpu().contiguous()
        digest.update(f"tensor {plain.dtype} {tuple(plain.shape)}".encode())
        if plain.numel():
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping):
        digest.update(f"table {len(value)}".encode())
        for key, each in value.items():
            _take(digest, key)
            _take(digest, each)
    elif isinstance(value, list | tuple):
        digest.update(f"list {len(value)}".encode())
        for each in value:
            _take(digest, each)
    else:
        digest.update(f"{type(value).__name__} {value!r}\n".encode("utf-8", "surrogatepass"))


# A checkpoint looked at before torch reads it: what it asks for, how large it says it is, and whether that is true.
#
# torch reads checkpoints safely (weights_only), but not in bounded time and memory: a few hundred bytes can keep it busy
# for ever, unpack to any size, or claim a tensor larger than the file. Here the pickle in the archive is read as data, by
# the machine that reads annotations; tensors are only measured.

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
        raise CheckpointError(f"{path} is damaged: {safe_pickle.cause(error)}.", _CUT) from error


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
    value = safe_pickle.load(io.BytesIO(content), len(content), words=_WORDS)
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
    magic = safe_pickle.load(stream, size, words=_WORDS)
    if type(magic) is not int or magic != _MAGIC:
        raise ValueError("it is no file of torch")
    for _ in range(2):  # the protocol; the system it was written on
        _count(safe_pickle.load(stream, size, words=_WORDS))
    storages = _count(safe_pickle.load(stream, min(size, stream.tell() + MAX_PICKLE), words=_WORDS))
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


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds; `state` without any "module." prefix."""

    path: Path
    state: dict[str, Tensor]
    meta: dict[str, Any]
    optimizer: dict[str, Any] | None

    @property
    def preset_text(self) -> str | None:
        """The resolved preset as TOML text, in checkpoints of ours."""
        text = self.meta.get("preset")
        return text if isinstance(text, str) else None

    @property
    def config_text(self) -> str:
        """The program text that MMAction2 was configured with, never to be run; empty when there is none."""
        text = self.meta.get("config", self.meta.get("cfg"))
        return text if isinstance(text, str) else ""

    @property
    def channels(self) -> int:
        """Values of a body in a frame: joints times 3."""
        norm = self.state.get("backbone.data_bn.weight")
        return 0 if norm is None else norm.numel()

    @property
    def num_classes(self) -> int:
        """Classes of the head."""
        return len(self.state["cls_head.fc.weight"])


def _numpy_scalars() -> list[Any]:
    """What real runs keep in `meta` (a best score) beside tensors, under the names of numpy 1 and numpy 2."""
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    dtypes = {type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")}
    return [(scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar"), np.dtype, *dtypes]


def read(path: Path) -> Checkpoint:
    """Read a checkpoint of ours, of MMAction2, or a bare state dict, on the CPU.

    Raises CheckpointError when it is missing, damaged, asks for code to be run, or holds no weights of ours.
    """
    path = Path(path)
    check(path)
    try:
        with torch.serialization.safe_globals(_numpy_scalars()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's, about files from elsewhere
            value = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} is refused: {_reason(error)}", "Nothing in it was run.") from error
    except Exception as error:  # a damaged archive can raise anything
        raise CheckpointError(f"{path} is damaged: {_reason(error)}", "Was it cut off in a copy?") from error
    return _checkpoint(path, value)


def _reason(error: Exception) -> str:
    said = printable(error).rpartition("WeightsUnpickler error:")[
        2
    ]  # what stands before it is advice to trust the file
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = next((line for line in lines if "GLOBAL" in line or "global" in line), lines[0] if lines else "")
    return (named or type(error).__name__)[:200]


def _checkpoint(path: Path, value: Any) -> Checkpoint:
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{path} holds a {type(value).__name__}, not a checkpoint.")
    weights = value.get("state_dict", value)
    if not isinstance(weights, Mapping):
        raise CheckpointError(f"{path}: its state_dict is a {type(weights).__name__}, not a table of tensors.")
    state = {
        str(key).removeprefix("module."): tensor.detach()  # files from elsewhere hold parameters, too
        for key, tensor in weights.items()
        if isinstance(tensor, Tensor)
    }
    if "cls_head.fc.weight" not in state or state["cls_head.fc.weight"].ndim != 4:
        names = ", ".join(printable(key) for key in list(state)[:3]) or "no tensors"
        raise CheckpointError(
            f"{path} is no ST-GCN checkpoint: it holds {names}.", "Expected backbone.* and cls_head.fc.*"
        )
    if is_broken(value):
        raise CheckpointError(f"{path} is damaged: what it holds is not what was written.", "Is the disk in order?")
    meta, optimizer = value.get("meta"), value.get("optimizer")
    return Checkpoint(path, state, dict(meta) if isinstance(meta, Mapping) else {}, optimizer)


def load_into(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Load all weights strictly. Raises CheckpointError listing missing, extra and misshapen entries and the cause."""
    wanted = model.state_dict()
    rows = [f"  missing    {key}  {tuple(wanted[key].shape)}" for key in wanted if key not in checkpoint.state]
    rows += [
        f"  extra      {printable(key)}  {tuple(t.shape)}" for key, t in checkpoint.state.items() if key not in wanted
    ]
    rows += [
        f"  misshapen  {key}  {tuple(tensor.shape)}, expected {tuple(wanted[key].shape)}"
        for key, tensor in checkpoint.state.items()
        if key in wanted and tensor.shape != wanted[key].shape
    ]
    if rows:
        more = [f"  and {len(rows) - 8} more"] if len(rows) > 8 else []
        message = f"{checkpoint.path} does not fit the model:\n" + "\n".join(rows[:8] + more)
        raise CheckpointError(message, _likely_cause(wanted, checkpoint))
    model.load_state_dict(checkpoint.state)


def load_optimizer(optimizer: torch.optim.Optimizer, checkpoint: Checkpoint) -> None:
    """Load the momenta. Raises CheckpointError when there are none, or they are of another model."""
    if not isinstance(checkpoint.optimizer, Mapping):
        raise CheckpointError(
            f"{checkpoint.path} holds no optimizer state, so a run cannot go on from it.",
            "Start anew with --load-from.",
        )
    try:
        optimizer.load_state_dict(dict(checkpoint.optimizer))
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{checkpoint.path}: its optimizer state does not fit: {printable(error)}.") from error


def _likely_cause(wanted: Mapping[str, Tensor], checkpoint: Checkpoint) -> str:
    width = "backbone.data_bn.weight"
    if width in checkpoint.state and checkpoint.state[width].shape != wanted[width].shape:
        found, expected = len(checkpoint.state[width]), len(wanted[width])
        return (
            f"{found} against {expected} channels: another skeleton (51 = 2-D COCO, 75 = 3-D NTU). Choose the --preset."
        )
    if checkpoint.num_classes != len(wanted["cls_head.fc.weight"]):
        return (
            f"It was trained for {checkpoint.num_classes} classes. Use --set model.num_classes={checkpoint.num_classes}"
        )
    return "It belongs to another model."


def contents(model: nn.Module, meta: dict[str, Any], optimizer: torch.optim.Optimizer | None = None) -> dict[str, Any]:
    """What a checkpoint holds, in MMAction2's layout, with its checksum."""
    value: dict[str, Any] = {"meta": meta, "state_dict": model.state_dict()}
    if optimizer is not None:
        value["optimizer"] = optimizer.state_dict()
    return sealed(value)


def save(path: Path, value: dict[str, Any], before_naming: Callable[[], None] = lambda: None) -> None:
    """Write a checkpoint whole. Raises RunError when it cannot be written.

    `before_naming` runs when everything is written, before it gets its name.
    """
    with atomic_write(path) as stream:
        torch.save(value, stream)
        stream.flush()
        before_naming()
