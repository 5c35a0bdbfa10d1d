"""numpy arrays in pickles, made by us out of checked parts. Nothing here calls numpy's own unpickling.

numpy rebuilds an array by calling whatever the pickle names and handing it a state; with a forged state (a record type
with objects in it) that reads memory through any pointer a stranger writes down. Here a type is one of the plain kinds,
a size is what the bytes say, and objects come only out of a list.
"""

import math
import pickle
import re
from dataclasses import dataclass, replace
from typing import IO, Any, Literal

import numpy as np

from stgcn_cli.wording import shown

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
