"""The opcodes of an untrusted pickle, looked at before any of them is executed.

Refused are opcodes that have no place in data, lengths beyond the end of the file, huge integers, and tuples that nest
without end: Python would hash such a tuple, as the key of a dict, for longer than anybody waits, and could not be interrupted.
"""

import io
import pickle
import pickletools
from typing import IO

MAX_TUPLE = 1_000_000  # values in a tuple, counted as often as they are referred to
MAX_DIGITS = 1000  # bytes of an integer


class Refused(pickle.UnpicklingError):
    """A pickle asks for something that is not created; the text names it: "os.system"."""


class _Opcode:
    """What `scan` needs to know of an opcode: its argument, and what it takes from the stack."""

    __slots__ = ("argument", "lines", "name", "pops", "pushes", "takes_mark")

    def __init__(self, info: pickletools.OpcodeInfo) -> None:
        before = info.stack_before
        self.name, self.argument = info.name, info.arg.n if info.arg else 0
        self.lines = 2 if info.name in ("GLOBAL", "INST") else 1
        self.takes_mark = pickletools.markobject in before
        kept = before[: before.index(pickletools.markobject)] if self.takes_mark else before
        self.pops, self.pushes = len(kept), len(info.stack_after)


_OPCODES = {info.code.encode("latin1"): _Opcode(info) for info in pickletools.opcodes}
_LENGTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_REFUSED = {
    "EXT1": "a registered extension", "EXT2": "a registered extension", "EXT4": "a registered extension",
    "PERSID": "a persistent object", "BINPERSID": "a persistent object", "NEXT_BUFFER": "a buffer outside the file",
}  # fmt: skip
_HASHABLE = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")


def scan(stream: IO[bytes], size: int, persistent: bool = False) -> None:
    """Read the opcodes up to STOP in a `stream` that ends at `size`. Raises Refused, ValueError.

    `persistent` allows persistent ids, with which torch refers to storages. The stack holds a number for each value: how
    many values a tuple or frozenset has inside, 1 for all others.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    count = 0
    while True:
        code, count = stream.read(1), count + 1
        known = _OPCODES.get(code)
        if known is None:
            raise ValueError(f"it has an unknown opcode {code!r}" if code else "it ends before its STOP")
        argument = _argument(stream, size, known) if known.argument else 0
        name = known.name
        if name == "STOP":
            return
        if name in _REFUSED and not (persistent and name.endswith("PERSID")):
            raise Refused(_REFUSED[name])
        if name == "MARK":
            marks.append(len(stack))
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo.get(argument, 1))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            place = len(memo) if name == "MEMOIZE" else argument
            if place > count:
                raise ValueError(f"it numbers a value {place:,} after {count:,} steps")
            memo[place] = stack[-1] if stack else 1
        elif name == "DUP":
            stack.append(stack[-1] if stack else 1)
        elif name == "POP" and marks and marks[-1] == len(stack):
            marks.pop()
        else:
            inside = 0
            if known.takes_mark:
                if not marks:
                    raise ValueError(f"it has {name} without a MARK")
                place = marks.pop()
                inside = sum(stack[place:])
                del stack[place:]
            if known.pops:
                inside += sum(stack[-known.pops :])
                del stack[-known.pops :]
            weight = 1 + inside if name in _HASHABLE else 1
            if weight > MAX_TUPLE:
                raise ValueError(f"it holds a tuple of more than {MAX_TUPLE:,} values")
            stack.extend([weight] * known.pushes)


def _argument(stream: IO[bytes], size: int, opcode: _Opcode) -> int:
    """Skip the argument; return its value where that is a whole number."""
    if opcode.argument > 0:
        return int.from_bytes(stream.read(opcode.argument), "little")
    if opcode.argument == pickletools.UP_TO_NEWLINE:
        line = b""
        for _ in range(opcode.lines):
            line = stream.readline()
            if not line.endswith(b"\n"):
                raise ValueError("it ends in the middle of a line")
        if opcode.name in ("INT", "LONG") and len(line) > MAX_DIGITS:
            raise ValueError(f"it holds an integer of {len(line):,} digits")
        return int(line) if opcode.name in ("PUT", "GET") and line[:-1].isdigit() and len(line) < 12 else 0
    width = _LENGTHS[opcode.argument]
    length = int.from_bytes(stream.read(width), "little")
    if length > size - stream.tell():
        raise ValueError(f"it ends before the {length:,} bytes that it announces")
    if opcode.name in ("LONG1", "LONG4") and length > MAX_DIGITS:
        raise ValueError(f"it holds an integer of {length:,} bytes")
    stream.seek(length, io.SEEK_CUR)
    return 0
