"""From nested values, as TOML gives them, to a preset: unknown keys, wrong types and ranges are refused by name."""

import dataclasses
import math
import types
import typing
from typing import Any, Literal

from stgcn_cli.config import Preset
from stgcn_cli.config_checks import check_together
from stgcn_cli.errors import UsageError
from stgcn_cli.wording import nearest, shown


def preset_from(values: dict[str, Any], where: str) -> Preset:
    """The preset that `values` (nested, as TOML gives them) describe; `where` names the file in messages.

    Raises UsageError naming `where`, the key and what was expected.
    """
    preset = _build(Preset, values, where, "")
    check_together(preset, where)
    return preset


def check_keys(values: dict[str, Any], where: str) -> None:
    """Raise UsageError, naming `where`, for a key, type or range that is wrong taken by itself."""
    _build(Preset, values, where, "")


def _build(kind: type, values: dict[str, Any], where: str, prefix: str) -> Any:
    hints, fields = typing.get_type_hints(kind), {f.name: f for f in dataclasses.fields(kind)}
    for key in values:
        if key not in fields:
            known = [prefix + name for name in fields]
            message = f"{where}: there is no key {shown(prefix + key)}.{_nearest_key(prefix + key, known)}"
            raise UsageError(message, "Known keys: " + ", ".join(known))
    missing = [k for k, f in fields.items() if k not in values and _is_required(f)]
    if missing:
        raise UsageError(f"{where}: the key {prefix + missing[0]!r} is missing.")
    return kind(**{key: _convert(value, hints[key], fields[key], where, prefix + key) for key, value in values.items()})


def _nearest_key(key: str, known: list[str]) -> str:
    """The nearest of the keys that may stand there; else the one of that name in any section: lr -> optim.lr."""
    hints = typing.get_type_hints(Preset)
    sections = {name: _options(hint)[0] for name, hint in hints.items()}
    everywhere = [f"{s}.{f.name}" for s, kind in sections.items() if dataclasses.is_dataclass(kind)
                  for f in dataclasses.fields(kind)]  # fmt: skip
    last = key.rpartition(".")[2]
    same = [each for each in everywhere if each.rpartition(".")[2] == last]
    return f" Did you mean {same[0]!r}?" if same else nearest(key, known) or nearest(key, everywhere)


def _is_required(f: dataclasses.Field) -> bool:
    return f.default is dataclasses.MISSING


def _convert(value: Any, hint: Any, f: dataclasses.Field, where: str, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise UsageError(
                f"{where}: {key} = {shown(value)}, but it is a section.", f"Write [{key}] and its keys below."
            )
        return _build(typing.cast(type, hint), value, where, key + ".")
    for option in _options(hint):
        if dataclasses.is_dataclass(option) and isinstance(value, dict):
            return _build(typing.cast(type, option), value, where, key + ".")
        try:
            return _as(value, option, *f.metadata.get("range", (-math.inf, math.inf)))
        except ValueError:
            continue
    raise UsageError(f"{where}: {key} = {shown(value)}, but it must be {_expected(hint, f)}.")


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


def _as(value: Any, kind: Any, low: float, high: float) -> Any:
    """`value` as `kind`, or ValueError."""
    if typing.get_origin(kind) is Literal:
        if value in typing.get_args(kind):
            return value
    elif kind is type(None):
        if value is None:
            return None
    elif typing.get_origin(kind) is tuple:
        if isinstance(value, list | tuple):
            return tuple(_as(v, typing.get_args(kind)[0], low, high) for v in value)
    elif kind is float:
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and low <= value <= high
        ):
            return float(value)
    elif kind is int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
    elif isinstance(value, kind):
        return value
    raise ValueError


def _expected(hint: Any, f: dataclasses.Field) -> str:
    low, high = f.metadata.get("range", (-math.inf, math.inf))
    words = " or ".join(_word(kind) for kind in _options(hint))
    if high < math.inf:
        return f"{words} from {_number(low)} to {_number(high)}"
    return words + (f" of at least {_number(low)}" if low > -math.inf else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


def _word(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        return f"a list, each {_word(typing.get_args(kind)[0])}"
    if dataclasses.is_dataclass(kind):
        return "a section"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "absent"}[kind]
