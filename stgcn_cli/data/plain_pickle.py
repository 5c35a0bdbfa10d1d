"""Pickles read as data: a machine for plain containers, numbers, texts and numpy arrays, which can call nothing.

A pickle is a program for a small stack machine, and Python's own lets it call what it names. This one knows a few names,
listed in `plain_names`; what they make is made here out of checked parts. Any other name is refused, and so is every step
that makes objects of a class. With `hold` the values of larger arrays stay in the file, and a HeldArray stands in their
place: so a pickle of any size is read in the memory that its names and labels take.
"""

import pickle
from collections.abc import Callable
from typing import IO, Any

from stgcn_cli.data import plain_arrays, plain_values
from stgcn_cli.data.plain_arrays import Pending, Refused
from stgcn_cli.data.plain_names import ANNOTATION, Words, plain_keys
from stgcn_cli.data.plain_values import Values
from stgcn_cli.wording import printable, shown, shown_name

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
            begun.value = plain_arrays.finished_array(state)
        else:
            begun.value = plain_arrays.finished_dtype(begun.dtype, state)
        self.stack.append(begun.value)


_ASKING = {  # steps that make objects of a class, and what they ask for
    pickle.OBJ: "an object of a class", pickle.NEWOBJ: "an object of a class", pickle.NEWOBJ_EX: "an object of a class",
    pickle.EXT1: "a registered extension", pickle.EXT2: "a registered extension", pickle.EXT4: "a registered extension",
    pickle.NEXT_BUFFER: "a buffer outside the file", pickle.READONLY_BUFFER: "a buffer outside the file",
}  # fmt: skip
_STEPS: dict[bytes, Callable[[_Machine], None]] = plain_values.STEPS | {
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
