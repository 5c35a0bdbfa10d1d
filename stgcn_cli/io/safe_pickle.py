"""Untrusted pickles as data: an unpickler that creates only plain values.

A pickle is a program for a stack machine. This one calls only the makers in `NAMES`, which build plain values from checked
arguments, sets no attributes, and takes only plain values as keys: hashing nested tuples can take forever. Python's C
unpickler has no hook for the last two, hence the one in Python. The address space is limited relative to the file's size.
"""

import io
import pickle
from collections.abc import Callable, Mapping
from typing import IO, Any, ClassVar

import numpy as np

from stgcn_cli.io import pickle_values
from stgcn_cli.io.limits import address_space
from stgcn_cli.io.pickle_values import NAMES, HeldArray, Maker, Place, Refused, UnfilledArray
from stgcn_cli.io.text import printable, shown, shown_name

MAX_DEPTH = 100  # containers inside each other
MAX_VALUES = 50_000_000  # counted as often as they are referenced: visiting them all must end
_MOST_LONG = 512  # bytes of an integer: hashing and writing out longer ones takes time that grows with each use
_WORK, _WORK_A_BYTE = 1 << 20, 4  # values that calls may be given: constant, and per byte of the file
_LARGE = 256  # bytes of an array from which it may stay in the file
_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)
_SINGLE = frozenset((str, int, float, bool, bytes, type(None), HeldArray))  # types of most values, of weight 1
_CONTAINERS = (list, dict, tuple)


def load(stream: IO[bytes], size: int, hold: bool = False) -> Any:
    """Return the value of the pickle that begins here in `stream`, in a file of `size` bytes.

    With `hold`, a HeldArray stands in place of each larger array; its values stay in the file. Raises Refused for anything
    but plain values, and whatever Python raises for a damaged pickle: see `cause`.
    """
    with address_space(size):
        return DataUnpickler(stream, size, hold).load()


def cause(error: Exception) -> str:
    """Return a line on why a pickle could not be read, from the exception that reading raised."""
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
        self.work = _WORK + _WORK_A_BYTE * size  # values that calls may still be given
        self.read, self.readline = stream.read, stream.readline

    def load(self) -> Any:
        """Return the value. Raises Refused, ValueError for containers that never end, and what Python raises."""
        self.metastack, self.stack = [], []
        self.append = self.stack.append
        read, steps = self.read, self.steps
        while (code := read(1)) != pickle.STOP:
            if not code:
                raise EOFError
            steps[code](self)
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
        self._account(*args)
        self.stack[-1] = maker.make(*args)

    def _account(self, *values: Any) -> None:
        """Take the sizes of what a function is given from the work that is left. Raises ValueError when it is used up."""
        for value in values:
            if isinstance(value, _SIZED):
                self.work -= len(value)
        if self.work < 0:
            raise ValueError("it passes the same values to functions again and again")

    def _build(self) -> None:
        state, value = self.stack.pop(), self.stack[-1]
        self._account(*(state if isinstance(state, tuple) else (state,)))
        if isinstance(value, UnfilledArray):
            self.stack[-1] = array = pickle_values.filled(state)
            self.memo.update(dict.fromkeys(value.places, array))
        elif isinstance(value, np.dtype):
            pickle_values.set_byte_order(value, state)
        elif not isinstance(value, dict):  # its attributes are ignored: torch has some on a state dict
            raise Refused(f"attributes of {value.name if isinstance(value, Maker) else shown(value)}")

    def _update(self, items: list[Any]) -> None:
        """Enter keys and values by turns into the dict on the stack, one by one: keys of one hash take long."""
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError(f"it sets items of {shown(target)}")
        for key, value in zip(pickle_values.plain_keys(items[::2]), items[1::2], strict=True):
            target[key] = value

    def _dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._update(items)

    def _add_items(self) -> None:
        items = self.pop_mark()
        if not isinstance(self.stack[-1], set):
            raise ValueError(f"it adds items to {shown(self.stack[-1])}")
        pickle_values.fill(self.stack[-1], items)

    def _frozenset(self) -> None:
        items = self.pop_mark()  # before `append` is looked up: it belongs to the stack that is the top one
        self.append(frozenset(pickle_values.fill(set(), items)))

    def _long(self) -> None:
        size = int.from_bytes(self.read(4), "little", signed=True)
        if not 0 <= size <= _MOST_LONG:
            raise ValueError(f"it contains an integer of {size:,} bytes")
        self.append(int.from_bytes(self.read(size), "little", signed=True))

    def _is_array(self, size: int, after: int = 4) -> bool:
        """Whether these bytes are an array's: `after` values of its state are on the stack, or its function alone."""
        if not (self.hold and size >= _LARGE and self.metastack and self.metastack[-1]):
            return False
        waiting = self.metastack[-1][-1]
        if isinstance(waiting, Maker):
            return waiting.make is pickle_values.from_buffer and not self.stack
        return isinstance(waiting, UnfilledArray) and len(self.stack) == after

    def _values(self, size: int, is_text: bool = False) -> Place:
        place = Place(self.stream.tell(), size, is_text)
        if place.offset + size > self.size:
            raise EOFError
        self.stream.seek(size, io.SEEK_CUR)
        return place

    def _bytes(self, count: int, make: Callable[[bytes], Any]) -> None:
        """Take bytes after their size, a number of `count` bytes."""
        size = int.from_bytes(self.read(count), "little")
        self.append(self._values(size) if self._is_array(size) else make(self.read(size)))

    def _text(self) -> None:
        size = int.from_bytes(self.read(4), "little")
        is_array = self._is_array(size, 5) and self.stack and self.stack[-1] is NAMES["_codecs.encode"]
        self.append(self._values(size, True) if is_array else self.read(size).decode("utf-8", "surrogatepass"))

    def _put(self, place: int | None = None) -> None:
        place = len(self.memo) if place is None else place
        value = self.memo[place] = self.stack[-1]
        if type(value) is UnfilledArray:
            value.places.append(place)

    steps: ClassVar[dict[bytes, Callable[[Any], None]]] = {
        **{bytes([code]): step for code, step in pickle._Unpickler.dispatch.items()},
        **dict.fromkeys((pickle.EXT1, pickle.EXT2, pickle.EXT4), _refusing("a registered extension")),
        **dict.fromkeys((pickle.NEXT_BUFFER, pickle.READONLY_BUFFER), _refusing("a buffer outside the file")),
        pickle.NEWOBJ_EX: _refusing("an object with keyword arguments"),
        pickle.NEWOBJ: _call,
        pickle.REDUCE: _call,
        pickle.BUILD: _build,
        pickle.SETITEM: lambda self: self._update([self.stack.pop(-2), self.stack.pop()]),
        pickle.SETITEMS: lambda self: self._update(self.pop_mark()),
        pickle.DICT: _dict,
        pickle.ADDITEMS: _add_items,
        pickle.FROZENSET: _frozenset,
        pickle.LONG4: _long,
        pickle.BINBYTES: lambda self: self._bytes(4, bytes),
        pickle.BINUNICODE: _text,
        pickle.BYTEARRAY8: lambda self: self._bytes(8, bytearray),
        pickle.FRAME: lambda self: self.read(8),  # its length is not needed: a stream is buffered
        pickle.MEMOIZE: _put,
        pickle.PUT: lambda self: self._put(int(self.readline())),
        pickle.BINPUT: lambda self: self._put(self.read(1)[0]),
        pickle.LONG_BINPUT: lambda self: self._put(int.from_bytes(self.read(4), "little")),
        pickle.LONG_BINGET: lambda self: self.append(self.memo[int.from_bytes(self.read(4), "little")]),
    }


def _weigh(value: Any, depth: int, known: dict[int, int]) -> int:
    """Return the number of values inside, each counted as often as it is referenced; `known` caches it by id.

    Raises ValueError for containers that contain themselves and for more than MAX_VALUES, Refused for a maker itself.
    """
    if type(value) in _SINGLE:
        return 1
    if isinstance(value, Maker):
        raise Refused(f"{value.name} itself")
    if isinstance(value, (UnfilledArray, Place)):
        raise ValueError("it contains an inconsistent array, or one that contains itself")
    if not (isinstance(value, _CONTAINERS) or (isinstance(value, np.ndarray) and value.dtype.hasobject)):
        return 1
    place = id(value)
    if place in known:
        if not known[place]:
            raise ValueError("a container in it contains itself")
        return known[place]
    if depth > MAX_DEPTH:
        raise RecursionError
    known[place] = 0
    parts = value.values() if isinstance(value, dict) else value.flat if isinstance(value, np.ndarray) else value
    known[place] = weight = 1 + sum(_weigh(part, depth + 1, known) for part in parts)
    if weight > MAX_VALUES:
        raise ValueError(f"it contains more than {MAX_VALUES:,} values")
    return weight
