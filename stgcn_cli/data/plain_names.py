"""What a pickle may ask for by name, and what is made of it. Anything else by name is refused."""

import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgcn_cli.data import plain_arrays
from stgcn_cli.data.plain_arrays import HeldBytes, Pending, Refused

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
    "numpy.dtype": lambda *args: Pending(plain_arrays.dtype_of(args)),
    "numpy.core.multiarray._reconstruct": _empty_array,  # numpy 1; below, numpy 2
    "numpy._core.multiarray._reconstruct": _empty_array,
    "numpy.core.multiarray.scalar": plain_arrays.scalar,
    "numpy._core.multiarray.scalar": plain_arrays.scalar,
    "numpy.core.numeric._frombuffer": plain_arrays.from_buffer,
    "numpy._core.numeric._frombuffer": plain_arrays.from_buffer,
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
