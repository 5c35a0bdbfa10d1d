"""Untrusted pickles as data: Python's C unpickler, which may create only what an allow-list names.

A pickle is a program for a stack machine that calls what it names. Three measures make it harmless and finite:
`scan` looks at the opcodes first; `find_class` returns only the makers in `NAMES`, which build plain values from checked
parts; the address space is limited relative to the size of the file while it is read.
Arrays are built here as well: numpy's own `__setstate__` follows any pointer that a forged array type describes.
"""

import collections
import contextlib
import dataclasses
import datetime
import decimal
import fractions
import io
import math
import pathlib
import pickle
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from stgcn_cli.io.pickle_scan import Held, Refused, scan
from stgcn_cli.io.text import printable, shown, shown_name

_ARRAY_KINDS = re.compile(r"[<>=|]?(?:[biufc?]\d{0,2}|[SU][1-9]\d{0,8}|O8?)")
_KEYS = (str, int, float, bytes, bool, complex, type(None), np.generic)  # types of keys of a dict and items of a set
MAX_DEPTH = 100  # containers inside each other
MAX_VALUES = 50_000_000  # counted as often as they are referred to: walking through them all must come to an end
_BASE_BYTES, _BYTES_A_BYTE = 1 << 30, 8  # address space for a file: so much, and so much for each of its bytes


def load(stream: IO[bytes], size: int, hold: bool = False) -> Any:
    """Return the value of the pickle that begins here in a seekable `stream`, which ends at `size`.

    With `hold`, a HeldArray stands in place of each larger array; its values stay in the file. Raises Refused for anything
    but plain values, and whatever Python raises for a damaged pickle: see `cause`.
    """
    start = stream.tell()
    content, held = scan(stream, size)
    end = stream.tell()
    with address_space(end - start):
        value = finish(DataUnpickler(io.BytesIO(content), held).load(), stream, hold)
    stream.seek(end)
    return value


def cause(error: Exception) -> str:
    """Say in a line what is wrong with a pickle that could not be read."""
    if isinstance(error, MemoryError):
        return "it asks for more memory than a file of its size may take"
    if isinstance(error, RecursionError):
        return f"values are nested deeper than {MAX_DEPTH} levels"
    return printable(error)[:200] if isinstance(error, ValueError | EOFError | pickle.UnpicklingError) else (
        f"invalid {type(error).__name__.removesuffix('Error').lower() or 'value'}: {printable(error)[:150]}"
    )  # fmt: skip


@contextlib.contextmanager
def address_space(size: int) -> Iterator[None]:
    """Limit the address space of this process while a file of `size` bytes is read; where the system can (Linux)."""
    try:
        import resource

        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    except (ImportError, OSError, ValueError):
        yield
        return
    limit = mapped + _BASE_BYTES + _BYTES_A_BYTE * size
    given = [each for each in (soft, hard) if each != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(limit, *given) if given else limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class Maker:
    """A callable that a pickle may name. It takes no attributes: a pickle could change it for the next one."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.name, self.make = name, make

    def __call__(self, *args: Any) -> Any:
        """Return what the pickle asks for, from arguments it chose."""
        return self.make(*args)

    def __setstate__(self, state: Any) -> None:
        raise Refused(f"attributes of {self.name}")


class _ArrayType:
    """Stands for a numpy dtype until its byte order is known."""

    __slots__ = ("dtype",)

    def __init__(self, *args: Any) -> None:
        name = args[0] if args else None
        if (
            not isinstance(name, str)
            or not _ARRAY_KINDS.fullmatch(name)
            or any(type(arg) is not bool for arg in args[1:])
        ):
            raise Refused(f"the array type {shown(name)}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        """Take the byte order from numpy's state of a plain type."""
        match state:
            case (int(), "<" | ">" | "=" | "|" as end, None, None, None, int(), int(), int()):
                self.dtype = self.dtype.newbyteorder("=" if end == "|" else end)
            case _:
                raise Refused("an array type with parts")


class _Array:
    """Stands for a numpy array or number until everything inside it is known."""

    __slots__ = ("state",)

    def __init__(self, kind: Any, *rest: Any) -> None:
        if kind is not NAMES["numpy.ndarray"]:
            raise ValueError("it holds an array that is put together wrongly")
        self.state: tuple[np.dtype, tuple[Any, ...], str, Any] | None = None

    def __setstate__(self, state: Any) -> None:
        """Keep numpy's state: version, shape, type, column-major, values."""
        match state:
            case (int(), tuple(shape), _ArrayType() as kind, bool(columns), values):
                self.state = kind.dtype, shape, "F" if columns else "C", values
            case _:
                raise ValueError("it holds an array that is put together wrongly")


@dataclass(slots=True)
class HeldArray:
    """An array whose values stay in the file, where they are of the type `stored`."""

    dtype: np.dtype
    stored: np.dtype
    shape: tuple[int, ...]
    order: Any
    values: Held

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.stored.itemsize

    def load(self, stream: IO[bytes]) -> np.ndarray:
        """Return the array, read from the unbuffered `stream`. Raises ValueError when the file has changed."""
        raw = self.values.read(stream) if self.values.kind != "encoded" else _value(self.values, stream)
        made = array(self.stored, self.shape, self.order, raw)
        return made if self.dtype == self.stored else made.astype(self.dtype)


def _value(held: Held, stream: IO[bytes]) -> Any:
    """Read a held value."""
    raw = held.read(stream)
    match held.kind:
        case "encoded":
            return bytearray(raw.decode("utf-8").encode("latin1"))
        case "bytes":
            return bytes(raw)
        case "bytearray":
            return raw
    return raw.decode(held.kind, "surrogatepass" if held.kind == "utf-8" else "strict")


def array(dtype: np.dtype, shape: tuple[Any, ...], order: Any, values: Any) -> Any:
    """Return an array of its own copy of `values` (bytes, a list of objects), a HeldArray of a Held. Raises ValueError."""
    if len(shape) > 32 or any(type(n) is not int or not 0 <= n < 1 << 62 for n in shape):
        raise ValueError(f"it holds an array of the shape {shown(shape)}")
    count = math.prod(shape)
    if dtype.hasobject:
        if not isinstance(values, list) or len(values) != count:
            raise ValueError("it holds an array of objects that is put together wrongly")
        objects = np.empty(count, object)
        objects[:] = [None] * count
        for index, value in enumerate(values):
            objects[index] = value
        return objects.reshape(shape, order=order)
    if isinstance(values, Held):  # checked when it is read, where its bytes are not those of the file
        if values.kind != "encoded" and values.size != count * dtype.itemsize:
            raise ValueError(f"it holds an array of the shape {shown(shape)} and type {dtype} in {values.size:,} bytes")
        return HeldArray(dtype, dtype, shape, order, values)
    if isinstance(values, str):  # as Python 2 wrote it
        values = values.encode("latin1")
    if not isinstance(values, bytes | bytearray) or len(values) != count * dtype.itemsize:
        size = f"{len(values):,} bytes" if isinstance(values, bytes | bytearray) else shown(values)
        raise ValueError(f"it holds an array of the shape {shown(shape)} and type {dtype} in {size}")
    if not count:
        return np.zeros(shape, dtype, order=order)
    own = values if isinstance(values, bytearray) else bytearray(values)
    made = np.frombuffer(own, dtype).reshape(shape, order=order)
    if dtype.kind == "U" and made.reshape(-1).view(f"{dtype.str[0]}u4").max() >= 0x110000:
        raise ValueError("it holds texts with characters that do not exist")
    return made


def _from_buffer(values: Any, kind: Any, shape: Any, order: Any, *axes: Any) -> Any:
    """Return what numpy's `_frombuffer` would (protocol 5)."""
    shape = (shape,) if isinstance(shape, int) else shape
    if (
        not isinstance(kind, _ArrayType)
        or kind.dtype.hasobject
        or not isinstance(shape, tuple)
        or order not in ("C", "F")
        or any(axes)
    ):
        raise ValueError("it holds an array that is put together wrongly")
    return array(kind.dtype, shape, order, bytes(values) if isinstance(values, bytes | bytearray) else values)


def _scalar(kind: Any, values: Any) -> Any:
    if not isinstance(kind, _ArrayType) or kind.dtype.hasobject:
        raise ValueError("it holds a number that is put together wrongly")
    made = array(kind.dtype, (), "C", values)
    return made[()] if isinstance(made, np.ndarray) else made


def _latin1(text: Any, encoding: Any = None) -> Any:
    """Bytes from a text with a character for each, as protocol 2 writes them."""
    if encoding not in ("latin1", "latin-1") or not (
        isinstance(text, str) or (isinstance(text, Held) and text.kind == "utf-8")
    ):
        raise ValueError("it holds bytes that are put together wrongly")
    return Held(text.offset, text.size, "encoded") if isinstance(text, Held) else text.encode("latin1")


def _bytearray(values: Any = b"", encoding: Any = "latin1") -> Any:
    if isinstance(values, Held) and values.kind == "bytes":
        return Held(values.offset, values.size, "bytearray")
    return bytearray(values if isinstance(values, bytes) else _latin1(values, encoding))


def _keys(values: Any) -> Any:
    if not isinstance(values, list | tuple | set | frozenset | dict):
        raise ValueError(f"it makes a set or a dict from {shown(values)}")
    if not all(isinstance(value, _KEYS) for value in values):
        raise ValueError("it holds a dict or a set with keys that are not plain values")
    return values


def _pairs(values: Any = ()) -> dict[Any, Any]:
    pairs = list(values.items()) if isinstance(values, dict) else list(values)
    return dict(zip(_keys([key for key, _ in pairs]), (value for _, value in pairs), strict=True))


def _refuse_array(*args: Any) -> Any:
    raise Refused("a call of numpy.ndarray")


def _path(flavour: type[pathlib.PurePath]) -> Callable[..., pathlib.PurePath]:
    return lambda *parts: flavour(*(str(part) for part in parts if isinstance(part, str)))


def _simple(kind: Callable[..., Any], *types: type) -> Callable[..., Any]:
    """A maker that passes on arguments of these types only."""

    def make(*args: Any) -> Any:
        if not all(isinstance(arg, types) for arg in args):
            raise ValueError(f"it makes a {getattr(kind, '__name__', kind)} from {shown(args)}")
        return kind(*args)

    return make


def _names() -> dict[str, Maker]:
    made: dict[str, Callable[..., Any]] = {
        "numpy.ndarray": _refuse_array,
        "numpy.dtype": _ArrayType,
        "_codecs.encode": _latin1,
        "collections.OrderedDict": lambda pairs=(): collections.OrderedDict(_pairs(pairs)),
        "collections.defaultdict": lambda factory=None, pairs=(): _pairs(pairs),
        "collections.Counter": _pairs,
        "collections.deque": lambda values=(), longest=None: list(values),
        "datetime.datetime": _simple(datetime.datetime, bytes, int),
        "datetime.date": _simple(datetime.date, bytes, int),
        "datetime.time": _simple(datetime.time, bytes, int),
        "datetime.timedelta": _simple(datetime.timedelta, int),
        "decimal.Decimal": _simple(decimal.Decimal, str),
        "fractions.Fraction": _simple(fractions.Fraction, str, int),
    }
    for core in ("numpy.core", "numpy._core"):  # numpy 1 and 2
        made |= {f"{core}.multiarray._reconstruct": _Array, f"{core}.multiarray.scalar": _scalar}
        made[f"{core}.numeric._frombuffer"] = _from_buffer
    for module in ("pathlib", "pathlib._local"):
        made |= {
            f"{module}.{name}": _path(pathlib.PurePosixPath)
            for name in ("Path", "PosixPath", "PurePath", "PurePosixPath")
        }
        made |= {f"{module}.{name}": _path(pathlib.PureWindowsPath) for name in ("WindowsPath", "PureWindowsPath")}
    for module in ("builtins", "__builtin__"):  # Python 3; as protocol 2 names it
        made |= {
            f"{module}.set": lambda values=(): set(_keys(values)),
            f"{module}.frozenset": lambda values=(): frozenset(_keys(values)),
            f"{module}.bytearray": _bytearray,
            f"{module}.bytes": lambda: b"",  # all that protocol 2 calls it for
            f"{module}.complex": _simple(complex, int, float),
            f"{module}.range": _simple(range, int),
            f"{module}.slice": _simple(slice, int, type(None)),
            f"{module}.list": lambda: [],  # factories of a defaultdict, which stay uncalled
            f"{module}.dict": lambda: {},
            f"{module}.int": lambda: 0,
            f"{module}.float": lambda: 0.0,
            f"{module}.str": lambda: "",
        }
    return {name: Maker(name, make) for name, make in made.items()}


NAMES = _names()


class DataUnpickler(pickle.Unpickler):
    """Python's C unpickler with the names of the allow-list."""

    names: Mapping[str, Any] = NAMES

    def __init__(self, stream: IO[bytes], held: Sequence[Held] = ()) -> None:
        super().__init__(stream, encoding="latin1")  # Python 2 stored arrays as latin-1 text
        self.held = held

    def persistent_load(self, pid: Any) -> Any:
        """Return what `scan` put a reference for."""
        return self.held[pid]

    def find_class(self, module: str, name: str) -> Any:
        """Return the maker of an allowed name. Raises Refused."""
        known = self.names.get(f"{module}.{name}")
        if known is None:
            raise Refused(f"{shown_name(module)}.{shown_name(name)}")
        return known


def finish(value: Any, stream: IO[bytes] | None = None, hold: bool = False) -> Any:
    """Return a copy of the containers, with values in place of what stood for them. What was shared stays shared.

    Values that `scan` left in the file are read from `stream`, larger arrays unless they are to be held. Raises ValueError
    for containers that contain themselves or more than MAX_VALUES values, RecursionError.
    """
    return _Finisher(stream, hold).finish(value, 0)[0]


class _Finisher:
    def __init__(self, stream: IO[bytes] | None, hold: bool) -> None:
        self.stream, self.hold = stream, hold
        self.done: dict[int, tuple[Any, int, Any]] = {}  # id -> copy, values in it, and the value, which keeps the id
        self.open: set[int] = set()

    def finish(self, value: Any, depth: int) -> tuple[Any, int]:
        """Return the copy and how many values there are in it."""
        if type(value) not in _CONTAINERS:
            if isinstance(value, Maker):
                raise Refused(f"{value.name} itself")
            return value, 1
        place = id(value)
        if known := self.done.get(place):
            return known[:2]
        if place in self.open:
            raise ValueError("it holds a container that contains itself")
        if depth > MAX_DEPTH:
            raise RecursionError
        self.open.add(place)
        made, count = self._copied(value, depth + 1)
        if count > MAX_VALUES:
            raise ValueError(f"it holds more than {MAX_VALUES:,} values")
        self.open.discard(place)
        self.done[place] = made, count, value
        return made, count

    def _copied(self, value: Any, depth: int) -> tuple[Any, int]:
        match value:
            case _Array():
                if value.state is None:
                    raise ValueError("it holds an array without values")
                dtype, shape, order, values = value.state
                value.state = None  # the bytes are not needed any more
                made = array(dtype, shape, order, self.finish(values, depth)[0] if dtype.hasobject else values)
                if not dtype.isnative:  # numpy brings them into native byte order
                    native = dtype.newbyteorder("=")
                    made = (
                        dataclasses.replace(made, dtype=native) if isinstance(made, HeldArray) else made.astype(native)
                    )
                return self.finish(made, depth) if isinstance(made, HeldArray) else (made, 1)
            case HeldArray() if self.hold:
                return value, 1
            case Held() | HeldArray() if self.stream is not None:
                return value.load(self.stream) if isinstance(value, HeldArray) else _value(value, self.stream), 1
            case Held() | HeldArray():
                raise ValueError("it refers to values outside the file")
            case _ArrayType():
                return value.dtype, 1
            case set() | frozenset():
                return type(value)(_keys(value)), 1 + len(value)
        parts = [self.finish(each, depth) for each in (value.values() if isinstance(value, dict) else value)]
        count = 1 + sum(count for _, count in parts)
        if not isinstance(value, dict):
            return type(value)(part for part, _ in parts), count
        return type(value)(zip(_keys(value), (part for part, _ in parts), strict=True)), count


_CONTAINERS = frozenset(
    [list, dict, tuple, set, frozenset, collections.OrderedDict, _Array, _ArrayType, Held, HeldArray]
)
