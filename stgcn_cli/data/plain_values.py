"""The steps of a pickle that bring one value: numbers, texts, bytes. What is declared and not there is never made room for."""

import pickle
import struct
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from stgcn_cli.data import plain_arrays
from stgcn_cli.data.plain_arrays import HeldBytes
from stgcn_cli.data.plain_names import latin1

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
            return bool(self.marks[-1]) and self.marks[-1][-1] is plain_arrays.from_buffer
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
