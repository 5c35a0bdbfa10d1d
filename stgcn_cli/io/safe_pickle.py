"""Untrusted pickles as data: an unpickler that creates only plain values.

A pickle is a program for a stack machine. This one calls nothing but the makers in `NAMES`, which build plain values from
checked arguments, sets no attributes, and takes only plain values as keys: hashing nested tuples can take forever.
Python's C unpickler has no hook for the last two, and numpy's `__setstate__` follows any pointer that a forged array type
describes; so this is a subclass of the one written in Python. The address space is limited relative to the file's size.
"""

import collections
import contextlib
import datetime
import decimal
import fractions
import io
import math
import pathlib
import pickle
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from stgcn_cli.io.text import printable, shown, shown_name

MAX_DEPTH = 100  # containers inside each other
MAX_VALUES = 50_000_000  # counted as often as they are referred to: walking through them all must come to an end
_ARRAY_KINDS = re.compile(r"[<>=|]?(?:[biufc?]\d{0,2}|[SU][1-9]\d{0,8}|O8?)")
_KEYS = (str, int, float, bytes, bool, complex, type(None), np.generic)  # types of keys of a dict and items of a set
_BASE_BYTES, _BYTES_A_BYTE = 1 << 30, 8  # address space for a file: so much, and so much for each of its bytes
_LARGE = 256  # bytes of an array from which it may stay in the file
_LIMITED = threading.Lock()  # the limit belongs to the process: threads that read take turns


class Refused(pickle.UnpicklingError):
    """A pickle references something that is not plain data; the text names it: "os.system"."""


def load(stream: IO[bytes], size: int, hold: bool = False) -> Any:
    """Return the value of the pickle that begins here in `stream`, in a file of `size` bytes.

    With `hold`, a HeldArray stands in place of each larger array; its values stay in the file. Raises Refused for anything
    but plain values, and whatever Python raises for a damaged pickle: see `cause`.
    """
    with address_space(size):
        return DataUnpickler(stream, size, hold).load()


def cause(error: Exception) -> str:
    """Say in a line what is wrong with a pickle that could not be read."""
    match error:
        case MemoryError():
            return "it asks for more memory than a file of its size may take"
        case RecursionError():
            return f"values are nested deeper than {MAX_DEPTH} levels"
        case EOFError():
            return "it ends too early"
        case ValueError() | pickle.UnpicklingError() if str(error):
            return printable(error)[:200]
    return f"its opcodes are invalid ({type(error).__name__}: {printable(error)[:150]})"


@contextlib.contextmanager
def address_space(size: int) -> Iterator[None]:
    """Limit the address space of the process while a file of `size` bytes is read.

    Only Linux says how much is mapped already; elsewhere (macOS) there is no limit.
    """
    with _LIMITED, contextlib.ExitStack() as restore:
        with contextlib.suppress(ImportError, OSError, ValueError):
            import resource

            mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            before = resource.getrlimit(resource.RLIMIT_AS)
            limits = [limit for limit in before if limit != resource.RLIM_INFINITY]
            limit = min(mapped + _BASE_BYTES + _BYTES_A_BYTE * size, *limits, 1 << 62)
            resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
            restore.callback(resource.setrlimit, resource.RLIMIT_AS, before)
        yield


class Maker:
    """A function that a pickle may name and call."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.name, self.make = name, make

    def __call__(self, *args: Any) -> Any:
        """Return the value made from arguments that the pickle chose."""
        return self.make(*args)


def _dtype(*args: Any) -> np.dtype:
    """Return a plain array type of its own: no records, no pointers but to objects, no dates."""
    name = args[0] if args else None
    if not isinstance(name, str) or not _ARRAY_KINDS.fullmatch(name) or any(flag not in (0, 1) for flag in args[1:]):
        raise Refused(f"the array type {shown(name)}")
    return np.dtype(name, False, True)  # type: ignore[call-overload]  # a copy, whose byte order is set afterwards


def _set_byte_order(dtype: np.dtype, state: Any) -> None:
    match state:
        case (int(), "<" | ">" | "=" | "|" as order, None, None, None, int(), int(), int()):
            dtype.__setstate__(dtype.newbyteorder(order).__reduce__()[2])  # type: ignore[attr-defined,index]
        case _:
            raise Refused("an array type with parts")


class _Array:
    """Stands for an array until its contents are known; `places` are its numbers in the memo."""

    __slots__ = ("places",)

    def __init__(self, kind: Any, *rest: Any) -> None:
        if kind is not NAMES["numpy.ndarray"]:
            raise ValueError("it holds an array that is put together wrongly")
        self.places: list[int] = []


@dataclass(frozen=True, slots=True)
class _Place:
    """Stands for bytes of an array that stay in the file, where they may be stored as text with a character for each."""

    offset: int
    size: int
    is_text: bool


@dataclass(frozen=True, slots=True)
class HeldArray:
    """An array whose values stay in the file, where they are of the type `stored`."""

    dtype: np.dtype
    stored: np.dtype
    shape: tuple[int, ...]
    order: Any
    place: _Place

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
        return _array(self.stored, self.shape, self.order, values).astype(self.dtype, copy=False)


def _built(state: Any) -> np.ndarray | HeldArray:
    """Return the array that numpy's state describes, in native byte order."""
    match state:
        case (int(), tuple(shape), np.dtype() as dtype, bool() | int() as columns, values):
            array, native = _array(dtype, shape, "F" if columns else "C", values), dtype.newbyteorder("=")
            return replace(array, dtype=native) if isinstance(array, HeldArray) else array.astype(native, copy=False)
    raise ValueError("it holds an array that is put together wrongly")


def _array(dtype: np.dtype, shape: tuple[Any, ...], order: Any, values: Any) -> Any:
    """Return an array of these values (bytes, text of Python 2, a list of objects, a place). Raises ValueError."""
    count = _count(dtype, shape)
    if dtype.hasobject:
        if not isinstance(values, list) or len(values) != count:
            raise ValueError("it holds an array of objects that is put together wrongly")
        objects = np.empty(count, object)
        for index, value in enumerate(values):
            objects[index] = value
        return objects.reshape(shape, order=order)
    if isinstance(values, _Place) and (values.is_text or values.size == count * dtype.itemsize):
        return HeldArray(dtype, dtype, shape, order, values)
    raw = _raw(dtype, shape, values)
    return np.ndarray(shape, dtype, bytearray(raw) if isinstance(raw, bytes) else raw, order=order)


def _count(dtype: np.dtype, shape: tuple[Any, ...]) -> int:
    numbers = all(type(n) is int and n >= 0 for n in shape) and len(shape) <= 32
    if not numbers or math.prod(n or 1 for n in shape) * dtype.itemsize >= 1 << 62:
        raise ValueError(f"it holds an array of the shape {shown(shape)}")
    return math.prod(shape)


def _raw(dtype: Any, shape: Any, values: Any) -> Any:
    """Return the bytes of an array after checking that there are as many as its type and shape say."""
    values = values.encode("latin1") if isinstance(values, str) else values  # as Python 2 wrote it
    if not isinstance(dtype, np.dtype) or dtype.hasobject or not isinstance(shape, tuple):
        raise ValueError("it holds an array that is put together wrongly")
    if not isinstance(values, bytes | bytearray) or len(values) != _count(dtype, shape) * dtype.itemsize:
        size = f"{len(values):,} bytes" if isinstance(values, bytes | bytearray) else shown(values)
        raise ValueError(f"it holds an array of the shape {shown(shape)} and type {dtype} in {size}")
    if dtype.kind == "U" and np.frombuffer(values, f"{dtype.str[0]}u4").max(initial=0) >= 0x110000:
        raise ValueError("it holds texts with characters that do not exist")
    return values


def _from_buffer(values: Any, dtype: Any, shape: Any, order: Any, *axes: Any) -> np.ndarray:
    """Return what numpy's `_frombuffer` would (protocol 5), writable."""
    if not isinstance(dtype, np.dtype) or dtype.hasobject or order not in ("C", "F") or any(axes):
        raise ValueError("it holds an array that is put together wrongly")
    return _array(dtype, (shape,) if isinstance(shape, int) else shape, order, values)


def _scalar(dtype: Any, values: Any) -> Any:
    return np.frombuffer(_raw(dtype, (), values), dtype)[0]


def _latin1(text: Any, encoding: Any = None) -> Any:
    """Return bytes from a text with a character for each, as protocol 2 writes them."""
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str | _Place):
        raise ValueError("it holds bytes that are put together wrongly")
    return text if isinstance(text, _Place) else text.encode("latin1")


def _keys(values: Any) -> Any:
    if not isinstance(values, list | tuple | set | frozenset):
        raise ValueError(f"it makes a set or a dict from {shown(values)}")
    if not all(isinstance(value, _KEYS) for value in values):
        raise ValueError("it holds a dict or a set with keys that are not plain values")
    return values


def _pairs(values: Any = ()) -> dict[Any, Any]:
    if isinstance(values, dict):
        return dict(values)
    if not isinstance(values, list | tuple) or not all(isinstance(v, list | tuple) and len(v) == 2 for v in values):
        raise ValueError(f"it makes a dict from {shown(values)}")
    return dict(zip(_keys([key for key, _ in values]), (value for _, value in values), strict=True))


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


def _fraction(text: Any = "0", *rest: Any) -> fractions.Fraction:
    if rest or not isinstance(text, str) or not re.fullmatch(r"-?\d{1,4000}(?:/\d{1,4000})?", text):  # "1e999999999"
        raise ValueError(f"it makes a Fraction from {shown(text)}")
    return fractions.Fraction(text)


def _names() -> dict[str, Maker]:
    made: dict[str, Callable[..., Any]] = {
        "numpy.ndarray": _refuse_array,  # only an argument of _reconstruct
        "numpy.dtype": _dtype,
        "_codecs.encode": _latin1,
        "collections.OrderedDict": lambda pairs=(): collections.OrderedDict(_pairs(pairs)),
        "collections.defaultdict": lambda factory=None, pairs=(): _pairs(pairs),
        "collections.Counter": _pairs,
        "collections.deque": lambda values=(), longest=None: list(_keys(values)),
        "datetime.datetime": _simple(datetime.datetime, bytes, int, datetime.timezone),
        "datetime.date": _simple(datetime.date, bytes, int),
        "datetime.time": _simple(datetime.time, bytes, int, datetime.timezone),
        "datetime.timedelta": _simple(datetime.timedelta, int),
        "datetime.timezone": _simple(datetime.timezone, datetime.timedelta),
        "decimal.Decimal": _simple(decimal.Decimal, str),
        "fractions.Fraction": _fraction,
    }
    for core in ("numpy.core", "numpy._core"):  # numpy 1 and 2
        made |= {f"{core}.multiarray._reconstruct": _Array, f"{core}.multiarray.scalar": _scalar}
        made[f"{core}.numeric._frombuffer"] = _from_buffer
    for module in ("pathlib", "pathlib._local"):
        posix, windows = _path(pathlib.PurePosixPath), _path(pathlib.PureWindowsPath)
        made |= {f"{module}.{name}": posix for name in ("Path", "PosixPath", "PurePath", "PurePosixPath")}
        made |= {f"{module}.{name}": windows for name in ("WindowsPath", "PureWindowsPath")}
    for module in ("builtins", "__builtin__"):  # Python 3; as protocol 2 names it
        made |= {
            f"{module}.set": lambda values=(): set(_keys(values)),
            f"{module}.frozenset": lambda values=(): frozenset(_keys(values)),
            f"{module}.bytearray": lambda values=b"", encoding="latin1": bytearray(
                values if isinstance(values, bytes) else _latin1(values, encoding)
            ),
            f"{module}.complex": _simple(complex, int, float),
            f"{module}.range": _simple(range, int),
            f"{module}.slice": _simple(slice, int, type(None)),
            # what protocol 2 calls for b"", and factories of a defaultdict, which stay uncalled
            **{f"{module}.{kind.__name__}": _simple(kind) for kind in (bytes, list, dict, int, float, str)},
        }
    return {name: Maker(name, make) for name, make in made.items()}


NAMES = _names()
_FROM_BUFFER = [maker for maker in NAMES.values() if maker.make is _from_buffer]


def _refusing(what: str) -> Callable[[Any], None]:
    def step(unpickler: Any) -> None:
        raise Refused(what)

    return step


class DataUnpickler(pickle._Unpickler):
    """Python's unpickler with the names of the allow-list and plain keys, without attributes and extensions."""

    names: Mapping[str, Any] = NAMES
    stack: list[Any]
    metastack: list[list[Any]]
    memo: dict[int, Any]
    pop_mark: Callable[[], list[Any]]
    append: Callable[[Any], None]

    def __init__(self, stream: Any, size: int = 0, hold: bool = False) -> None:
        super().__init__(stream, encoding="latin1")  # Python 2 stored arrays as latin-1 text
        self.stream, self.size, self.hold = stream, size, hold
        self.read, self.readline = stream.read, stream.readline

    def load(self) -> Any:
        """Return the value. Raises Refused, ValueError for containers that never end, and what Python raises."""
        self.metastack, self.stack = [], []
        self.append = self.stack.append
        read = self.read
        while (code := read(1)) != pickle.STOP:
            if not code:
                raise EOFError
            self.steps[code](self)
        value = self.stack.pop()
        _weigh(value, 0, {})
        return value

    def find_class(self, module: str, name: str) -> Any:
        """Return the maker of an allowed name. Raises Refused."""
        known = self.names.get(f"{module}.{name}")
        if known is None:
            raise Refused(f"{shown_name(module)}.{shown_name(name)}")
        return known

    def persistent_load(self, pid: Any) -> Any:
        """Raise Refused."""
        raise Refused("a persistent object")

    def _call(self) -> None:
        args, maker = self.stack.pop(), self.stack[-1]
        if not isinstance(maker, Maker) or not isinstance(args, tuple):
            raise Refused(f"a call of {shown(maker)}")
        self.stack[-1] = maker(*args)

    def _build(self) -> None:
        state, value = self.stack.pop(), self.stack[-1]
        if isinstance(value, _Array):
            self.stack[-1] = array = _built(state)
            self.memo.update(dict.fromkeys(value.places, array))
        elif isinstance(value, np.dtype):
            _set_byte_order(value, state)
        elif not isinstance(value, dict):  # its attributes are ignored: torch has some on a state dict
            raise Refused(f"attributes of {value.name if isinstance(value, Maker) else shown(value)}")

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _set_items(self) -> None:
        self._update(self.pop_mark())

    def _dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._update(items)

    def _update(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict) or len(items) % 2:
            raise ValueError(f"it sets items of {shown(self.stack[-1])}")
        self.stack[-1].update(zip(_keys(items[::2]), items[1::2], strict=True))

    def _add_items(self) -> None:
        items = _keys(self.pop_mark())
        if not isinstance(self.stack[-1], set):
            raise ValueError(f"it adds items to {shown(self.stack[-1])}")
        self.stack[-1].update(items)

    def _frozenset(self) -> None:
        items = _keys(self.pop_mark())
        self.append(frozenset(items))

    def _frame(self) -> None:
        self.read(8)  # the length of a frame, not needed: a stream is buffered

    def _is_array(self) -> bool:
        """Whether values that come now are those of an array, by what waits for them on the stack."""
        waiting = self.metastack[-1][-1:] if self.metastack else []
        return self.hold and any(type(each) is _Array or each in _FROM_BUFFER for each in waiting)

    def _values(self, size: int, is_text: bool = False) -> _Place:
        place = _Place(self.stream.tell(), size, is_text)
        if place.offset + size > self.size:
            raise EOFError
        self.stream.seek(size, io.SEEK_CUR)
        return place

    def _bytes(self) -> None:
        size = int.from_bytes(self.read(4), "little")
        self.append(self._values(size) if size >= _LARGE and self._is_array() else self.read(size))

    def _byte_array(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        self.append(self._values(size) if size >= _LARGE and self._is_array() else bytearray(self.read(size)))

    def _text(self) -> None:
        size = int.from_bytes(self.read(4), "little")
        is_array = self.hold and size >= _LARGE and self.stack and self.stack[-1] is NAMES["_codecs.encode"]
        self.append(self._values(size, True) if is_array else self.read(size).decode("utf-8", "surrogatepass"))

    def _put(self, place: int) -> None:
        value = self.memo[place] = self.stack[-1]
        if type(value) is _Array:
            value.places.append(place)

    def _memoize(self) -> None:
        self._put(len(self.memo))

    def _put_line(self) -> None:
        self._put(int(self.readline()))

    def _put_byte(self) -> None:
        self._put(self.read(1)[0])

    def _put_long(self) -> None:
        self._put(int.from_bytes(self.read(4), "little"))

    def _long_get(self) -> None:
        self.append(self.memo[int.from_bytes(self.read(4), "little")])

    def _short_text(self) -> None:
        self.append(self.read(self.read(1)[0]).decode("utf-8", "surrogatepass"))

    steps: ClassVar[dict[bytes, Callable[[Any], None]]] = {
        **{bytes([code]): step for code, step in pickle._Unpickler.dispatch.items()},
        **dict.fromkeys((pickle.EXT1, pickle.EXT2, pickle.EXT4), _refusing("a registered extension")),
        **dict.fromkeys((pickle.NEXT_BUFFER, pickle.READONLY_BUFFER), _refusing("a buffer outside the file")),
        pickle.NEWOBJ_EX: _refusing("an object with keyword arguments"),
        pickle.NEWOBJ: _call,
        pickle.REDUCE: _call,
        pickle.BUILD: _build,
        pickle.SETITEM: _set_item,
        pickle.SETITEMS: _set_items,
        pickle.DICT: _dict,
        pickle.ADDITEMS: _add_items,
        pickle.FROZENSET: _frozenset,
        pickle.BINBYTES: _bytes,
        pickle.BINUNICODE: _text,
        pickle.BYTEARRAY8: _byte_array,
        pickle.FRAME: _frame,
        pickle.MEMOIZE: _memoize,
        pickle.PUT: _put_line,
        pickle.BINPUT: _put_byte,
        pickle.LONG_BINPUT: _put_long,
        pickle.LONG_BINGET: _long_get,
        pickle.SHORT_BINUNICODE: _short_text,
    }


def _weigh(value: Any, depth: int, known: dict[int, int]) -> int:
    """Return how many values there are inside, each counted as often as it is referred to; `known` has them by id.

    Raises ValueError for containers that contain themselves and for more than MAX_VALUES, Refused for a maker itself.
    """
    if not isinstance(value, list | dict | tuple | Maker) and not (
        isinstance(value, np.ndarray) and value.dtype.hasobject
    ):
        return 1
    if isinstance(value, Maker):
        raise Refused(f"{value.name} itself")
    if isinstance(value, _Array | _Place):
        raise ValueError("it holds an array without values, values without an array, or one that contains itself")
    place = id(value)
    if place in known:
        if not known[place]:
            raise ValueError("it holds a container that contains itself")
        return known[place]
    if depth > MAX_DEPTH:
        raise RecursionError
    known[place] = 0
    parts = value.values() if isinstance(value, dict) else value.flat if isinstance(value, np.ndarray) else value
    known[place] = weight = 1 + sum(_weigh(part, depth + 1, known) for part in parts)
    if weight > MAX_VALUES:
        raise ValueError(f"it holds more than {MAX_VALUES:,} values")
    return weight
