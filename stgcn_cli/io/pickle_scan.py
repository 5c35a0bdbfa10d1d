"""The opcodes of an untrusted pickle, looked at before any of them is executed.

Refused are opcodes that have no place in data, lengths beyond the end of the file, huge integers, and tuples that nest
without end: Python would hash such a tuple, as the key of a dict, for longer than anybody waits, and could not be interrupted.
Long values (those of arrays) stay in the file: the scanned pickle has a reference in their place, so that a pickle of any
size is read in the memory that its names and labels take.
"""

import io
import pickle
import pickletools
import struct
from dataclasses import dataclass
from typing import IO

MAX_TUPLE = 1_000_000  # values in a tuple, counted as often as they are referred to
MAX_DIGITS = 1000  # bytes of an integer
_LONG = {  # opcode -> bytes from which its value stays in the file, and how it is stored
    "BINBYTES": (256, "bytes"), "BINBYTES8": (256, "bytes"), "BYTEARRAY8": (256, "bytearray"),
    "BINSTRING": (256, "latin-1"), "BINUNICODE": (4096, "utf-8"), "BINUNICODE8": (4096, "utf-8"),
}  # fmt: skip


class Refused(pickle.UnpicklingError):
    """A pickle asks for something that is not created; the text names it: "os.system"."""


@dataclass(slots=True)
class Held:
    """A value that stays in the file: `size` bytes of the kind "bytes", "bytearray", or text in this encoding."""

    offset: int
    size: int
    kind: str

    def read(self, stream: IO[bytes]) -> bytearray:
        """Return the bytes. Raises ValueError when the file has changed."""
        raw = bytearray(self.size)
        stream.seek(self.offset)
        filled, view = 0, memoryview(raw)
        while filled < len(raw) and (more := stream.readinto(view[filled:])):  # type: ignore[attr-defined]
            filled += more
        if filled < len(raw):
            raise ValueError("the file ends before its values: it was changed while it was read")
        return raw


_REFUSED = {
    "EXT1": "a registered extension", "EXT2": "a registered extension", "EXT4": "a registered extension",
    "PERSID": "a persistent object", "BINPERSID": "a persistent object", "NEXT_BUFFER": "a buffer outside the file",
}  # fmt: skip


_PUSH, _GET, _PUT, _MEMOIZE, _OTHER, _MARK, _DUP, _POP, _STOP = range(
    9
)  # kinds of opcodes; half of all only push one value
_KINDS = {
    "GET": _GET, "BINGET": _GET, "LONG_BINGET": _GET, "PUT": _PUT, "BINPUT": _PUT,
    "LONG_BINPUT": _PUT, "MEMOIZE": _MEMOIZE, "MARK": _MARK, "DUP": _DUP, "POP": _POP, "STOP": _STOP,
}  # fmt: skip


class _Opcode:
    """What `scan` needs to know of an opcode: its argument, and what it takes from the stack."""

    __slots__ = ("argument", "is_hashable", "kind", "lines", "name", "pops", "pushes", "takes_mark")

    def __init__(self, info: pickletools.OpcodeInfo) -> None:
        before = info.stack_before
        self.name, self.argument = info.name, info.arg.n if info.arg else 0
        self.lines = 2 if info.name in ("GLOBAL", "INST") else 1
        self.is_hashable = info.name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")
        self.takes_mark = pickletools.markobject in before
        kept = before[: before.index(pickletools.markobject)] if self.takes_mark else before
        self.pops, self.pushes = len(kept), len(info.stack_after)
        plain = not before and self.pushes == 1 and info.name not in _REFUSED and not self.is_hashable
        self.kind = _KINDS.get(info.name, _PUSH if plain else _OTHER)


_OPCODES = {info.code.encode("latin1"): _Opcode(info) for info in pickletools.opcodes}
_LENGTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}


def scan(stream: IO[bytes], size: int, persistent: bool = False) -> tuple[bytes, list[Held]]:
    """Return the pickle that begins here in a `stream` which ends at `size`, and its long values.

    The reference to a long value is a persistent id, its index; `persistent` allows those of the pickle itself (of torch)
    and keeps all values. Raises Refused, ValueError.
    """
    scanned, held = bytearray(), list[Held]()
    stack: list[int] = []  # how many values a tuple or frozenset has inside, 1 for all others
    marks: list[int] = []
    memo: dict[int, int] = {}
    read, opcodes, push, get, put, memoize = stream.read, _OPCODES, _PUSH, _GET, _PUT, _MEMOIZE
    while True:
        code = read(1)
        known = opcodes.get(code)
        if known is None:
            raise ValueError(f"it has an unknown opcode {code!r}" if code else "it ends before its STOP")
        size_of = known.argument
        argument = (
            b"" if not size_of else read(size_of) if size_of > 0 else _argument(stream, size, known, not persistent)
        )
        if isinstance(argument, Held):
            scanned += b"J" + struct.pack("<i", len(held)) + b"Q"
            held.append(argument)
        else:
            scanned += code
            scanned += argument
        kind = known.kind
        if kind == push:
            stack.append(1)
        elif kind == get:
            stack.append(memo.get(argument[0] if size_of == 1 else _number(known.name, argument), 1))  # type: ignore[index]
        elif kind == memoize:
            memo[len(memo)] = stack[-1] if stack else 1
        elif kind == put:
            place = argument[0] if size_of == 1 else _number(known.name, argument)  # type: ignore[index]
            if place > len(scanned):  # a number takes a byte at least
                raise ValueError(f"it numbers a value {place:,} after {len(scanned):,} bytes")
            memo[place] = stack[-1] if stack else 1
        elif kind == _MARK:
            marks.append(len(stack))
        elif kind == _STOP:
            return bytes(scanned), held
        elif kind == _DUP:
            stack.append(stack[-1] if stack else 1)
        elif kind == _POP and marks and marks[-1] == len(stack):
            marks.pop()
        elif known.name == "FRAME":  # its length no longer holds
            del scanned[-9:]
        else:
            if known.name in _REFUSED and not (persistent and known.name.endswith("PERSID")):
                raise Refused(_REFUSED[known.name])
            weight = 1 + _taken(stack, marks, known)
            if known.is_hashable and weight > MAX_TUPLE:
                raise ValueError(f"it holds a tuple of more than {MAX_TUPLE:,} values")
            stack.extend([weight if known.is_hashable else 1] * known.pushes)


def _taken(stack: list[int], marks: list[int], opcode: _Opcode) -> int:
    """Take from the stack what the opcode takes; return how many values were in it."""
    inside = 0
    if opcode.takes_mark:
        if not marks:
            raise ValueError(f"it has {opcode.name} without a MARK")
        place = marks.pop()
        inside = sum(stack[place:])
        del stack[place:]
    if opcode.pops:
        inside += sum(stack[-opcode.pops :])
        del stack[-opcode.pops :]
    return inside


def _argument(stream: IO[bytes], size: int, opcode: _Opcode, hold: bool) -> bytes | Held:
    """Return the argument of an opcode as it stands in the file, or where it stands."""
    if opcode.argument == pickletools.UP_TO_NEWLINE:
        lines = [stream.readline() for _ in range(opcode.lines)]
        if not all(line.endswith(b"\n") for line in lines):
            raise ValueError("it ends in the middle of a line")
        if opcode.name in ("INT", "LONG") and len(lines[0]) > MAX_DIGITS:
            raise ValueError(f"it holds an integer of {len(lines[0]):,} digits")
        return b"".join(lines)
    announced = stream.read(_LENGTHS[opcode.argument])
    length, place = int.from_bytes(announced, "little"), stream.tell()
    if length > size - place:
        raise ValueError(f"it ends before the {length:,} bytes that it announces")
    if opcode.name in ("LONG1", "LONG4") and length > MAX_DIGITS:
        raise ValueError(f"it holds an integer of {length:,} bytes")
    least, kind = _LONG.get(opcode.name, (0, ""))
    if hold and kind and length >= least:
        stream.seek(length, io.SEEK_CUR)
        return Held(place, length, kind)
    return announced + stream.read(length)


def _number(name: str, argument: bytes | Held) -> int:
    """Return the index of a memo opcode: decimal digits and a line break, or little-endian bytes."""
    assert isinstance(argument, bytes)
    if name not in ("GET", "PUT"):
        return int.from_bytes(argument, "little")
    if not argument[:-1].isdigit() or len(argument) > 12:
        raise ValueError(f"it numbers a value {argument[:20]!r}")
    return int(argument)
