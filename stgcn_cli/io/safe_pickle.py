"""Pickles read as data: a machine for plain containers, numbers, texts and numpy arrays, which can call nothing.

A pickle is a program for a small stack machine, and Python's own lets it call what it names. This one knows a few names,
listed in `plain_names`; what they make is made here out of checked parts. Any other name is refused, and so is every step
that makes objects of a class. With `hold` the values of larger arrays stay in the file, and a HeldArray stands in their
place: so a pickle of any size is read in the memory that its names and labels take.
"""

import functools
import math
import pickle
import re
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import IO, Any, Literal

import numpy as np

from stgcn_cli.io.text import printable, shown, shown_name

# numpy arrays in pickles, made by us out of checked parts. Nothing here calls numpy's own unpickling.
#
# numpy rebuilds an array by calling whatever the pickle names and handing it a state; with a forged state (a record type
# with objects in it) that reads memory through any pointer a stranger writes down. Here a type is one of the plain kinds,
# a size is what the bytes say, and objects come only out of a list.

_KINDS = re.compile(r"[<>=|]?(?:[biufc?SU]\d{0,9}|O8?)")
_ENDS: dict[str, Literal["<", ">", "="]] = {"<": "<", ">": ">", "=": "=", "|": "="}
_MOST = 1 << 62  # elements; beyond it numpy's own arithmetic ends


class Refused(pickle.UnpicklingError):
    """A pickle asks for something that is not made; its text says for what: "os.system"."""


class Pending:
    """An array or a type between the step that names it and the one that fills it in."""

    __slots__ = ("dtype", "value")

    def __init__(self, dtype: np.dtype | None = None) -> None:
        self.dtype = dtype
        self.value: Any = None


@dataclass(frozen=True, slots=True)
class HeldBytes:
    """Bytes that are left in the file; `encoded`: as text, each byte a character, as protocol 2 writes them."""

    offset: int
    size: int
    encoded: bool = False


@dataclass(frozen=True, slots=True)
class HeldArray:
    """An array whose values are left in the file, where they are of the type `stored`."""

    dtype: np.dtype
    stored: np.dtype
    shape: tuple[int, ...]
    order: str
    place: HeldBytes

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def load(self, stream: IO[bytes]) -> np.ndarray:
        """The array, read out of the unbuffered `stream`. Raises ValueError when it is not there (any more)."""
        raw = bytearray(self.place.size)
        stream.seek(self.place.offset)
        filled, view = 0, memoryview(raw)
        while filled < len(raw) and (more := stream.readinto(view[filled:])):  # type: ignore[attr-defined]
            filled += more
        if filled < len(raw):
            raise ValueError("the file ends before its values: it was changed while it was read")
        values = bytearray(raw.decode("utf-8").encode("latin1")) if self.place.encoded else raw
        return array_of(self.stored, self.shape, self.order, values).astype(self.dtype, copy=False)


def dtype_of(args: tuple[Any, ...]) -> np.dtype:
    """The type that `dtype(*args)` names: plain numbers, texts or objects. Raises Refused."""
    name = args[0] if args else None
    if not isinstance(name, str) or not _KINDS.fullmatch(name) or any(type(arg) is not bool for arg in args[1:]):
        raise Refused(f"the array type {shown(name)}")
    return np.dtype(name)


def finished_dtype(dtype: np.dtype, state: Any) -> np.dtype:
    """The type with the byte order in numpy's state for it. Raises Refused for anything but a plain type."""
    match state:
        case (int(), str(end), None, None, None, int(), int(), int()) if end in _ENDS:
            return dtype.newbyteorder(_ENDS[end])
    raise Refused("an array type with parts")


def finished_array(state: Any) -> Any:
    """The array of numpy's state (version, shape, type, by columns?, values), in this machine's byte order. Raises ValueError."""
    match state:
        case (int(), tuple(shape), np.dtype() as dtype, bool(columns), values):
            made = array_of(dtype, shape, "F" if columns else "C", values)
            if dtype.isnative:
                return made
            native = dtype.newbyteorder("=")
            return replace(made, dtype=native) if isinstance(made, HeldArray) else made.astype(native)
    raise ValueError("it holds an array that is put together wrongly")


def from_buffer(values: Any, dtype: Any, shape: Any, order: Any, *axes: Any) -> Any:
    """What numpy's `_frombuffer` makes (protocol 5). Raises ValueError."""
    if isinstance(shape, int):
        shape = (shape,)
    if not isinstance(dtype, np.dtype) or not isinstance(shape, tuple) or order not in ("C", "F") or any(axes):
        raise ValueError("it holds an array that is put together wrongly")
    return array_of(dtype, shape, order, values)


def array_of(dtype: np.dtype, shape: tuple[Any, ...], order: str, values: Any) -> Any:
    """An array of its own of these values (bytes, or a list of objects), or a HeldArray. Raises ValueError."""
    if len(shape) > 32 or any(type(n) is not int or not 0 <= n < _MOST for n in shape):
        raise ValueError(f"it holds an array of the shape {shown(shape)}")
    count = math.prod(shape)
    if dtype.hasobject:
        if not isinstance(values, list) or len(values) != count:
            raise ValueError("it holds an array of objects that is put together wrongly")
        array = np.empty(count, object)
        for index, value in enumerate(values):
            array[index] = value
        return array.reshape(shape, order=_order(order))
    if isinstance(values, str):  # of Python 2
        values = values.encode("latin1")
    size = (
        values.size if isinstance(values, HeldBytes) else len(values) if isinstance(values, bytes | bytearray) else -1
    )
    encoded = isinstance(values, HeldBytes) and values.encoded  # its bytes are counted when they are read
    if not (count * dtype.itemsize == size or (encoded and size >= count * dtype.itemsize)):
        raise ValueError(f"it holds an array of the shape {shown(shape)} and type {dtype} in {size} bytes")
    if isinstance(values, HeldBytes):
        return HeldArray(dtype, dtype, shape, order, values)
    if dtype.itemsize == 0 or not count:
        return np.zeros(shape, dtype, order=_order(order))
    array = np.frombuffer(bytearray(values), dtype)
    if dtype.kind == "U" and array.view(f"{dtype.str[0]}u4").max() >= 0x110000:
        raise ValueError("it holds texts with characters that do not exist")
    return array.reshape(shape, order=_order(order))


def _order(order: str) -> Any:
    return "F" if order == "F" else "C"


def scalar(dtype: Any, values: Any) -> Any:
    """A numpy number of these bytes. Raises ValueError."""
    if not isinstance(dtype, np.dtype) or dtype.hasobject or not isinstance(values, bytes | bytearray):
        raise ValueError("it holds a number that is put together wrongly")
    return array_of(dtype, (1,), "C", values)[0]


# What a pickle may ask for by name, and what is made of it. Anything else by name is refused.

_KEYS = (str, int, float, bytes, bool, complex, type(None), np.generic)  # looking up tuples of tuples can take for ever


def latin1(text: Any, encoding: Any = None) -> Any:
    """Bytes out of a text with a character for each byte, as protocol 2 writes them."""
    if not isinstance(text, str | HeldBytes) or encoding not in ("latin1", "latin-1"):
        raise ValueError("it holds bytes that are put together wrongly")
    return text if isinstance(text, HeldBytes) else text.encode("latin1")


def plain_keys(values: Any) -> Any:
    """The values, fit for the keys of a table or a set. Raises ValueError."""
    if not all(isinstance(value, _KEYS) for value in values):
        raise ValueError("it holds a table or a set with keys that are no plain values")
    return values


def _table(pairs: Any = ()) -> OrderedDict:
    return OrderedDict(zip(plain_keys([key for key, _ in pairs]), [value for _, value in pairs], strict=True))


def _bytearray(values: Any = b"", encoding: Any = "latin1") -> bytearray:
    return bytearray(values if isinstance(values, bytes) else latin1(values, encoding))


def _no_bytes() -> bytes:
    return b""  # all that protocol 2 calls it for


def _complex(real: Any, imaginary: Any = 0.0) -> complex:
    return complex(float(real), float(imaginary))


def _empty_array(kind: Any, shape: Any, code: Any) -> Pending:
    if kind is not _ndarray:
        raise ValueError("it holds an array that is put together wrongly")
    return Pending()


def _ndarray(*args: Any) -> Any:
    raise Refused("a call of numpy.ndarray")


def _set(values: Any = ()) -> set[Any]:
    return set(plain_keys(values))


def _frozenset(values: Any = ()) -> frozenset[Any]:
    return frozenset(plain_keys(values))


NAMES: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": _ndarray,
    "numpy.dtype": lambda *args: Pending(dtype_of(args)),
    "numpy.core.multiarray._reconstruct": _empty_array,  # numpy 1; below, numpy 2
    "numpy._core.multiarray._reconstruct": _empty_array,
    "numpy.core.multiarray.scalar": scalar,
    "numpy._core.multiarray.scalar": scalar,
    "numpy.core.numeric._frombuffer": from_buffer,
    "numpy._core.numeric._frombuffer": from_buffer,
    "_codecs.encode": latin1,
    "collections.OrderedDict": _table,
    "builtins.set": _set,  # Python 3; below, how protocol 2 names it
    "__builtin__.set": _set,
    "builtins.frozenset": _frozenset,
    "__builtin__.frozenset": _frozenset,
    "builtins.bytearray": _bytearray,
    "__builtin__.bytearray": _bytearray,
    "builtins.bytes": _no_bytes,
    "__builtin__.bytes": _no_bytes,
    "builtins.complex": _complex,
    "__builtin__.complex": _complex,
}


@dataclass(frozen=True)
class Words:
    """What a kind of file may ask for: by name; by a persistent id; and whether tables may have attributes (unread)."""

    names: Mapping[str, Any]
    persistent: Callable[[Any], Any] | None = None
    attributes: bool = False

    @functools.cached_property
    def makers(self) -> frozenset[int]:
        """The ids of those that make something when they are called for."""
        return frozenset(id(known) for known in self.names.values() if callable(known))


ANNOTATION = Words(NAMES)


# The steps of a pickle that bring one value: numbers, texts, bytes. What is declared and not there is never made room for.

_HELD_BYTES = 256  # values of a smaller array are not worth another look into the file
_LINE_BYTES = 1 << 20
_DOUBLE = struct.Struct(">d")


class Values:
    """The stream, the stack, the marks, and how values come from the one to the other."""

    def __init__(self, stream: IO[bytes], size: int, hold: bool) -> None:
        self.stream, self.size, self.hold = stream, size, hold
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > 4096 and count > self.size - self.stream.tell():
            raise ValueError(f"it ends before the {count:,} bytes that it announces")
        data = self.stream.read(count)
        if len(data) < count:
            raise ValueError("it ends in the middle")
        return data

    def number(self, count: int) -> int:
        """The next `count` bytes as a number without sign."""
        return int.from_bytes(self.take(count), "little")

    def signed(self, count: int) -> int:
        """The next `count` bytes as a number with sign."""
        return int.from_bytes(self.take(count), "little", signed=True)

    def line(self) -> bytes:
        """The rest of the line."""
        line = self.stream.readline(_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise ValueError("it ends in the middle of a line, or a line is endless")
        return line[:-1]

    def text(self, count: int) -> Any:
        """The next `count` bytes as a text, or where they lie."""
        return self._held(count, encoded=True) or str(self.take(count), "utf-8", "surrogatepass")

    def values(self, count: int) -> Any:
        """The next `count` bytes, or where they lie."""
        return self._held(count, encoded=False) or self.take(count)

    def old_text(self, count: int) -> str | bytes:
        """A Python 2 string of `count` bytes: a text where it is one, else bytes."""
        data = self.take(count)
        return data.decode("ascii") if data.isascii() else data

    def _held(self, count: int, encoded: bool) -> HeldBytes | None:
        """The place of the next bytes when they are the values of an array and may stay in the file."""
        if not self.hold or count < _HELD_BYTES or not self._in_array(encoded):
            return None
        offset = self.stream.tell()
        if offset + count > self.size:
            raise ValueError(f"it ends before the {count:,} bytes that it announces")
        self.stream.seek(count, 1)
        return HeldBytes(offset, count, encoded)

    def _in_array(self, encoded: bool) -> bool:
        """Whether the values of an array come next, by what stands before them."""
        stack = self.stack
        if not stack and self.marks and not encoded:
            return bool(self.marks[-1]) and self.marks[-1][-1] is from_buffer
        if encoded and stack:
            return stack[-1] is latin1 and len(stack) > 2 and isinstance(stack[-3], np.dtype)
        return len(stack) > 1 and type(stack[-1]) is bool and isinstance(stack[-2], np.dtype)


def _integer(line: bytes) -> int:
    known = {b"00": False, b"01": True}
    return known[line] if line in known else int(line)


def _quoted(line: bytes) -> str | bytes:
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"') or b"\\" in line:
        raise ValueError("it holds a quoted text that is written wrongly")
    return line[1:-1].decode("ascii")


STEPS: dict[bytes, Callable[[Any], None]] = {
    pickle.NONE: lambda m: m.stack.append(None),
    pickle.NEWTRUE: lambda m: m.stack.append(True),
    pickle.NEWFALSE: lambda m: m.stack.append(False),
    pickle.INT: lambda m: m.stack.append(_integer(m.line())),
    pickle.LONG: lambda m: m.stack.append(int(m.line().removesuffix(b"L"))),
    pickle.BININT1: lambda m: m.stack.append(m.number(1)),
    pickle.BININT2: lambda m: m.stack.append(m.number(2)),
    pickle.BININT: lambda m: m.stack.append(m.signed(4)),
    pickle.LONG1: lambda m: m.stack.append(m.signed(m.number(1))),
    pickle.LONG4: lambda m: m.stack.append(m.signed(m.number(4))),
    pickle.FLOAT: lambda m: m.stack.append(float(m.line())),
    pickle.BINFLOAT: lambda m: m.stack.append(_DOUBLE.unpack(m.take(8))[0]),
    pickle.UNICODE: lambda m: m.stack.append(str(m.line(), "raw-unicode-escape")),
    pickle.SHORT_BINUNICODE: lambda m: m.stack.append(str(m.take(m.number(1)), "utf-8", "surrogatepass")),
    pickle.BINUNICODE: lambda m: m.stack.append(m.text(m.number(4))),
    pickle.BINUNICODE8: lambda m: m.stack.append(m.text(m.number(8))),
    pickle.STRING: lambda m: m.stack.append(_quoted(m.line())),
    pickle.SHORT_BINSTRING: lambda m: m.stack.append(m.old_text(m.number(1))),
    pickle.BINSTRING: lambda m: m.stack.append(m.old_text(m.number(4))),
    pickle.SHORT_BINBYTES: lambda m: m.stack.append(m.take(m.number(1))),
    pickle.BINBYTES: lambda m: m.stack.append(m.values(m.number(4))),
    pickle.BINBYTES8: lambda m: m.stack.append(m.values(m.number(8))),
    pickle.BYTEARRAY8: lambda m: m.stack.append(_writable(m.values(m.number(8)))),
}


def _writable(values: Any) -> Any:
    return bytearray(values) if isinstance(values, bytes) else values


_PROTOCOL = 5
MAX_STEPS = 100_000_000  # NTU 120 takes ten million; a stranger's byte can cost 64 bytes of memory


def load(stream: IO[bytes], size: int, hold: bool = False, words: Words = ANNOTATION) -> Any:
    """The object in the pickle that begins where `stream`, of `size` bytes in all, stands.

    With `hold`, arrays of 256 bytes and more are HeldArray. Raises Refused, naming what the pickle asks for, and for what
    is damaged ValueError or whatever Python raises for values that cannot be (IndexError, TypeError, OverflowError, …).
    """
    machine = _Machine(stream, size, hold, words)
    steps, read = _STEPS, stream.read
    for _ in range(MAX_STEPS):
        code = read(1)
        if code in steps:
            steps[code](machine)
        elif code == pickle.STOP:
            return _finished(machine.stack.pop())
        else:
            raise machine.unknown(code)
    raise ValueError(f"it has more than {MAX_STEPS:,} steps")


def cause(error: Exception) -> str:
    """What is wrong with a pickle, by what `load` raised: "it ends in the middle"."""
    if isinstance(error, IndexError):
        return "it needs a value that is not there"
    if isinstance(error, UnicodeError):
        return "it holds a text that cannot be decoded"
    if type(error) is ValueError and str(error).startswith("it "):
        return printable(error)[:200]
    return "it holds values that do not fit together"


def _finished(value: Any) -> Any:
    """What stands for a value that a later step has filled in."""
    if type(value) is Pending:
        return value if value.value is None else value.value
    return value


class _Machine(Values):
    """The steps that put values together."""

    def __init__(self, stream: IO[bytes], size: int, hold: bool, words: Words) -> None:
        super().__init__(stream, size, hold)
        self.words = words
        self.memo: dict[int, Any] = {}

    def unknown(self, code: bytes) -> Exception:
        """What to say of a step that is not taken."""
        if code == pickle.INST:
            self._asked(self.line().decode(), self.line().decode())
        if code in _ASKING:
            return Refused(_ASKING[code])
        return ValueError(f"{code!r} is no step of a pickle" if code else "it ends in the middle")

    def protocol(self) -> None:
        """Look at the version."""
        if (version := self.number(1)) > _PROTOCOL:
            raise ValueError(f"it is of protocol {version}, and {_PROTOCOL} is the last one known")

    def skip(self, value: Any) -> None:
        """Nothing."""

    def push(self, value: Any) -> None:
        """Put a value on the stack, which its making may have replaced."""
        self.stack.append(value)

    def marked(self) -> list[Any]:
        """The values since the last mark, taken off."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def mark(self) -> None:
        """Begin a group."""
        self.marks.append(self.stack)
        self.stack = []

    def drop(self) -> None:
        """Take the last value, or an empty group, off."""
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def keep(self, place: int) -> None:
        """Note the last value under a number."""
        self.memo[place] = self.stack[-1]

    def memoize(self) -> None:
        """Note the last value under the next number."""
        memo = self.memo
        memo[len(memo)] = self.stack[-1]

    def again(self, place: int) -> None:
        """Bring a noted value again."""
        if place not in self.memo:
            raise ValueError(f"it refers to its value {place}, which is not there")
        value = self.memo[place]
        self.stack.append(_finished(value))

    def group(self, count: int) -> None:
        """Make a tuple of the last values."""
        if len(self.stack) < count:
            raise ValueError("it makes a tuple of values that are not there")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def append(self, values: list[Any]) -> None:
        """Append to the list that stands last."""
        if type(self.stack[-1]) is not list:
            raise ValueError(f"it appends to {shown(self.stack[-1])}")
        self.stack[-1].extend(values)

    def enter(self, items: list[Any]) -> None:
        """Put keys and values, by turns, into the table that stands last."""
        if not isinstance(table := self.stack[-1], dict):
            raise ValueError(f"it sets entries of {shown(table)}")
        table.update(zip(plain_keys(items[::2]), items[1::2], strict=True))

    def table(self) -> None:
        """Make a table of the values since the last mark."""
        items = self.marked()
        self.stack.append({})
        self.enter(items)

    def add(self, items: list[Any]) -> None:
        """Put values into the set that stands last."""
        if type(self.stack[-1]) is not set:
            raise ValueError(f"it adds to {shown(self.stack[-1])}")
        self.stack[-1].update(plain_keys(items))

    def last(self, count: int) -> list[Any]:
        """The last values, taken off."""
        values = self.stack[-count:]
        del self.stack[-count:]
        if len(values) < count:
            raise ValueError("it needs values that are not there")
        return values

    def name(self) -> None:
        """Bring what a name, written in two lines, stands for."""
        self._asked(self.line().decode(), self.line().decode())

    def stacked_name(self) -> None:
        """Bring what a name, in the last two values, stands for."""
        self._asked(*self.last(2))

    def _asked(self, module: Any, name: Any) -> None:
        known = self.words.names.get(f"{module}.{name}") if type(module) is type(name) is str else None
        if known is None:
            raise Refused(f"{shown_name(module)}.{shown_name(name)}")
        self.stack.append(known)

    def call(self) -> None:
        """Make what a name stands for out of the tuple that stands last."""
        known, args = self.last(2)
        if id(known) not in self.words.makers or not isinstance(args, tuple):
            raise Refused(f"a call of {shown(known)}")
        self.stack.append(known(*args))

    def persistent(self, name: Any) -> None:
        """Bring what lies elsewhere under this id."""
        if self.words.persistent is None:
            raise Refused("a persistent object")
        self.stack.append(self.words.persistent(name))

    def build(self) -> None:
        """Fill an array or a type in."""
        begun, state = self.last(2)
        if self.words.attributes and isinstance(begun, dict):
            self.stack.append(begun)
            return
        if type(begun) is not Pending:
            raise Refused(f"attributes of {shown(begun)}")
        if begun.dtype is None:
            begun.value = finished_array(state)
        else:
            begun.value = finished_dtype(begun.dtype, state)
        self.stack.append(begun.value)


_ASKING = {  # steps that make objects of a class, and what they ask for
    pickle.OBJ: "an object of a class", pickle.NEWOBJ: "an object of a class", pickle.NEWOBJ_EX: "an object of a class",
    pickle.EXT1: "a registered extension", pickle.EXT2: "a registered extension", pickle.EXT4: "a registered extension",
    pickle.NEXT_BUFFER: "a buffer outside the file", pickle.READONLY_BUFFER: "a buffer outside the file",
}  # fmt: skip
_STEPS: dict[bytes, Callable[[_Machine], None]] = STEPS | {
    pickle.PROTO: _Machine.protocol,
    pickle.FRAME: lambda m: m.skip(m.take(8)),  # frames only help a reader that waits for a network
    pickle.MARK: _Machine.mark,
    pickle.POP: _Machine.drop,
    pickle.POP_MARK: lambda m: m.skip(m.marked()),
    pickle.DUP: lambda m: m.stack.append(m.stack[-1]),
    pickle.EMPTY_TUPLE: lambda m: m.stack.append(()),
    pickle.TUPLE1: lambda m: m.group(1),
    pickle.TUPLE2: lambda m: m.group(2),
    pickle.TUPLE3: lambda m: m.group(3),
    pickle.TUPLE: lambda m: m.push(tuple(m.marked())),
    pickle.EMPTY_LIST: lambda m: m.stack.append([]),
    pickle.LIST: lambda m: m.push(m.marked()),
    pickle.APPEND: lambda m: m.append(m.last(1)),
    pickle.APPENDS: lambda m: m.append(m.marked()),
    pickle.EMPTY_DICT: lambda m: m.stack.append({}),
    pickle.DICT: _Machine.table,
    pickle.SETITEM: lambda m: m.enter(m.last(2)),
    pickle.SETITEMS: lambda m: m.enter(m.marked()),
    pickle.EMPTY_SET: lambda m: m.stack.append(set()),
    pickle.ADDITEMS: lambda m: m.add(m.marked()),
    pickle.FROZENSET: lambda m: m.push(frozenset(plain_keys(m.marked()))),
    pickle.GLOBAL: _Machine.name,
    pickle.STACK_GLOBAL: _Machine.stacked_name,
    pickle.REDUCE: _Machine.call,
    pickle.PERSID: lambda m: m.persistent(m.line()),
    pickle.BINPERSID: lambda m: m.persistent(*m.last(1)),
    pickle.BUILD: _Machine.build,
    pickle.PUT: lambda m: m.keep(int(m.line())),
    pickle.BINPUT: lambda m: m.keep(m.number(1)),
    pickle.LONG_BINPUT: lambda m: m.keep(m.number(4)),
    pickle.MEMOIZE: _Machine.memoize,
    pickle.GET: lambda m: m.again(int(m.line())),
    pickle.BINGET: lambda m: m.again(m.number(1)),
    pickle.LONG_BINGET: lambda m: m.again(m.number(4)),
}
