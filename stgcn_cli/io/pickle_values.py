"""Values that an untrusted pickle may create: the allow-list of names, and arrays built from checked parts.

numpy's own `__setstate__` follows any pointer that a forged array type describes, so arrays are put together here.
"""

import collections
import datetime
import decimal
import math
import pathlib
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from stgcn_cli.io.text import shown

_ARRAY_KINDS = re.compile(r"[<>=|]?(?:[biufc?]\d{0,2}|[SU][1-9]\d{0,8}|O8?)")
_KEYS = frozenset((str, int, float, bytes, bool, complex, type(None)))  # types of keys of a dict and items of a set


class Refused(pickle.UnpicklingError):
    """A pickle references something that is not plain data; the text names it: "os.system"."""


class Maker:
    """A function that a pickle may name and call."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.name, self.make = name, make


def _dtype(*args: Any) -> np.dtype:
    """Return a plain array type of its own: no records, no pointers but to objects, no dates."""
    name = args[0] if args else None
    if not isinstance(name, str) or not _ARRAY_KINDS.fullmatch(name) or any(flag not in (0, 1) for flag in args[1:]):
        raise Refused(f"the array type {shown(name)}")
    return np.dtype(name, False, True)  # type: ignore[call-overload]  # a copy, whose byte order is set afterwards


def set_byte_order(dtype: np.dtype, state: Any) -> None:
    """Take the byte order from numpy's state of a plain type. Raises Refused for a type with parts."""
    match state:
        case (int(), "<" | ">" | "=" | "|" as order, None, None, None, int(), int(), int()):
            dtype.__setstate__(dtype.newbyteorder(order).__reduce__()[2])  # type: ignore[attr-defined,index]
        case _:
            raise Refused("an array type with parts")


class UnfilledArray:
    """Stands for an array until its contents are known; `places` are its numbers in the memo."""

    __slots__ = ("places",)

    def __init__(self, kind: Any, *rest: Any) -> None:
        if kind is not NAMES["numpy.ndarray"]:
            raise ValueError("it contains an inconsistent array")
        self.places: list[int] = []


@dataclass(slots=True)
class Place:
    """Stands for bytes of an array that stay in the file, where they may be stored as text with a character for each."""

    offset: int
    size: int
    is_text: bool


@dataclass(slots=True)
class HeldArray:
    """An array whose values stay in the file, where they are of the type `stored`."""

    dtype: np.dtype
    stored: np.dtype
    shape: tuple[int, ...]
    order: Any
    place: Place

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.stored.itemsize

    def load(self, stream: IO[bytes]) -> np.ndarray:
        """Return the array, read from the file in `stream`. Raises ValueError when the file has changed."""
        raw = bytearray(self.place.size)
        stream.seek(self.place.offset)
        if stream.readinto(raw) < len(raw):  # type: ignore[attr-defined]
            raise ValueError("the file ends before its values: it was changed while it was read")
        values = bytearray(raw.decode("utf-8").encode("latin1")) if self.place.is_text else raw
        return _array(self.stored, self.shape, self.order, values, self.dtype)


def filled(state: Any) -> np.ndarray | HeldArray:
    """Return the array that numpy's state describes, in native byte order."""
    match state:
        case (int(), tuple(shape), np.dtype() as dtype, bool() | int() as columns, values):
            return _array(dtype, shape, "F" if columns else "C", values, dtype.newbyteorder("="))
    raise ValueError("it contains an inconsistent array")


def _array(dtype: np.dtype, shape: tuple[Any, ...], order: Any, values: Any, becomes: np.dtype | None = None) -> Any:
    """Return an array of these values (bytes, text of Python 2, a list of objects, a place). Raises ValueError."""
    count = _count(dtype, shape)
    if dtype.hasobject:
        if not isinstance(values, list) or len(values) != count:
            raise ValueError("it contains an inconsistent array of objects")
        objects = np.empty(count, object)
        for index, value in enumerate(values):
            objects[index] = value
        return objects.reshape(shape, order=order)
    if isinstance(values, Place) and (values.is_text or values.size == count * dtype.itemsize):
        return HeldArray(becomes or dtype, dtype, shape, order, values)
    raw = _raw(dtype, shape, count, values)
    array = np.ndarray(shape, dtype, bytearray(raw) if isinstance(raw, bytes) else raw, order=order)
    return array.astype(becomes or dtype, copy=False)


def _count(dtype: np.dtype, shape: tuple[Any, ...]) -> int:
    """Return the number of values. Raises ValueError for a shape that no array can have."""
    if {*map(type, shape)} <= {int} and min(shape, default=0) >= 0 and len(shape) <= 32:
        count = math.prod(shape)
        if (count or math.prod(n or 1 for n in shape)) * dtype.itemsize < 1 << 62:  # numpy's limit, as if none were 0
            return count
    raise ValueError(f"it contains an array of the shape {shown(shape)}")


def _raw(dtype: Any, shape: tuple[Any, ...], count: int, values: Any) -> Any:
    """Return the bytes of an array after checking that there are as many as `count` values take."""
    values = values.encode("latin1") if isinstance(values, str) else values  # as Python 2 wrote it
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise ValueError("it contains an inconsistent array")
    if not isinstance(values, bytes | bytearray) or len(values) != count * dtype.itemsize:
        size = f"{len(values):,} bytes" if isinstance(values, bytes | bytearray) else shown(values)
        raise ValueError(f"it contains an array of the shape {shown(shape)} and type {dtype} in {size}")
    if dtype.kind == "U" and np.frombuffer(values, f"{dtype.str[0]}u4").max(initial=0) >= 0x110000:
        raise ValueError("it contains text with invalid characters")
    return values


def from_buffer(values: Any, dtype: Any, shape: Any, order: Any, *axes: Any) -> np.ndarray:
    """Return what numpy's `_frombuffer` would (protocol 5), writable."""
    if not isinstance(dtype, np.dtype) or dtype.hasobject or order not in ("C", "F") or any(axes):
        raise ValueError("it contains an inconsistent array")
    return _array(dtype, (shape,) if isinstance(shape, int) else shape, order, values)


def _scalar(dtype: Any, values: Any) -> Any:
    return np.frombuffer(_raw(dtype, (), 1, values), dtype)[0]


def _latin1(text: Any, encoding: Any = None) -> Any:
    """Return bytes from a text with a character for each, as protocol 2 writes them."""
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str | Place):
        raise ValueError("it contains inconsistent bytes")
    return text if isinstance(text, Place) else text.encode("latin1")


def plain_keys(values: Any) -> Any:
    """Return `values`, which are to become keys or items of a set. Raises ValueError unless all are plain."""
    if not isinstance(values, list | tuple | set | frozenset):
        raise ValueError(f"it makes a set or a dict from {shown(values)}")
    if (others := {*map(type, values)} - _KEYS) and not all(issubclass(kind, np.generic) for kind in others):
        raise ValueError("it contains a dict or set with keys that are not plain values")
    return values


def fill(found: set[Any], values: Any) -> set[Any]:
    """Add plain values to a set, one by one: those of one hash take long, and Ctrl-C is heard in between."""
    for value in plain_keys(values):
        found.add(value)
    return found


def _pairs(values: Any = ()) -> dict[Any, Any]:
    if isinstance(values, dict):
        return dict(values)
    if not isinstance(values, list | tuple) or not all(isinstance(v, list | tuple) and len(v) == 2 for v in values):
        raise ValueError(f"it makes a dict from {shown(values)}")
    plain_keys([key for key, _ in values])
    return {key: value for key, value in values}  # in Python, where Ctrl-C is heard


def _refuse_array(*args: Any) -> Any:
    raise Refused("a call of numpy.ndarray")


def _path(flavour: type[pathlib.PurePath]) -> Callable[..., pathlib.PurePath]:
    return lambda *parts: flavour(*(str(part) for part in parts if isinstance(part, str)))


def _simple(kind: Callable[..., Any], *types: type) -> Callable[..., Any]:
    """Return a maker that passes on arguments of these types only."""

    def make(*args: Any) -> Any:
        if not all(isinstance(arg, types) for arg in args):
            raise ValueError(f"it makes a {getattr(kind, '__name__', kind)} from {shown(args)}")
        return kind(*args)

    return make


def _names() -> dict[str, Maker]:
    made: dict[str, Callable[..., Any]] = {
        "numpy.ndarray": _refuse_array,  # only an argument of _reconstruct
        "numpy.dtype": _dtype,
        "_codecs.encode": _latin1,
        "collections.OrderedDict": lambda *pairs: collections.OrderedDict(_pairs(*pairs)),
        "collections.defaultdict": lambda factory=None, pairs=(): _pairs(pairs),
        "collections.Counter": _pairs,
        "collections.deque": lambda values=(), longest=None: list(plain_keys(values)),
        "datetime.datetime": _simple(datetime.datetime, bytes, int, datetime.timezone),
        "datetime.date": _simple(datetime.date, bytes, int),
        "datetime.time": _simple(datetime.time, bytes, int, datetime.timezone),
        "datetime.timedelta": _simple(datetime.timedelta, int),
        "datetime.timezone": _simple(datetime.timezone, datetime.timedelta),
        "decimal.Decimal": _simple(decimal.Decimal, str),
    }
    for core in ("numpy.core", "numpy._core"):  # numpy 1 and 2
        made |= {f"{core}.multiarray._reconstruct": UnfilledArray, f"{core}.multiarray.scalar": _scalar}
        made[f"{core}.numeric._frombuffer"] = from_buffer
    for module in ("pathlib", "pathlib._local"):
        posix, windows = _path(pathlib.PurePosixPath), _path(pathlib.PureWindowsPath)
        made |= {f"{module}.{name}": posix for name in ("Path", "PosixPath", "PurePath", "PurePosixPath")}
        made |= {f"{module}.{name}": windows for name in ("WindowsPath", "PureWindowsPath")}
    for module in ("builtins", "__builtin__"):  # Python 3; as protocol 2 names it
        made |= {
            f"{module}.set": lambda values=(): fill(set(), values),
            f"{module}.frozenset": lambda values=(): frozenset(fill(set(), values)),
            f"{module}.bytearray": lambda values=b"", encoding="latin1": bytearray(
                values if isinstance(values, bytes) else _latin1(values, encoding)
            ),
            f"{module}.range": _simple(range, int),
            # what protocol 2 calls for b"", and factories of a defaultdict, which stay uncalled
            **{f"{module}.{kind.__name__}": _simple(kind) for kind in (bytes, list, dict, int, float, str)},
        }
    return {name: Maker(name, make) for name, make in made.items()}


NAMES = _names()
