"""Tables whose cells hold lists, [x, y, score, …] of all joints or (x, y) of one: rows become objects as they stand in JSON.

Also tables in JSON, as pandas writes them.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from stgcn_cli.data.readers.persons import joints_key
from stgcn_cli.data.readers.table_text import Table
from stgcn_cli.data.readers.wide_columns import place_of, with_axes

_LIST = re.compile(r"\s*(?:(?:np\.|numpy\.)?array)?[\[({]\s*[-+\d.\[({'\"nN].*[\s,].*[\])}]\s*", re.DOTALL)
_NUMBERS = re.compile(r"\s*(?:[-+]?[\d.]+(?:[eE][-+]?\d+)?[\s,;]+){5,}[-+\d.eE]*\s*")  # at least six in a cell
_KEYS = {"clip": "video", "person": "track_id"}  # roles of columns that have other names in JSON
_WHOLE = re.compile(r"-?\d{1,9}(\.0*)?")


def list_columns(table: Table) -> list[int]:
    """The columns of lists of numbers or points; none where these are too few for joints, as a box is."""
    first = [next((cell for cell in column if cell.strip()), "") for column in table.columns]
    found = [index for index, cell in enumerate(first) if _LIST.fullmatch(cell) or _NUMBERS.fullmatch(cell)]
    longest = max((len(re.findall(r"\.{3}|\d+(?:\.\d+)?", first[index])) for index in found), default=0)
    return found if longest > 4 or len(found) > 4 else []


def _list(cell: str, where: str) -> Any:
    """What a cell holds, as JSON, Python or numpy writes it."""
    if not cell:
        return None
    if "..." in cell:
        raise ValueError(f"{where}: numpy cut the list short when it was printed; write array.tolist() into the table")
    text = re.sub(r",\s*dtype=\w+", "", re.sub(r"(?:np\.|numpy\.)?(?:array|float\d+)(?=\()", "", cell))
    text = text.replace("(", "[").replace(")", "]").replace("'", '"')
    text = re.sub(r"\bnan\b", "NaN", re.sub(r"\bNone\b", "null", text))
    for _ in range(2):
        try:
            return json.loads(text if text[0] in "[{" else f"[{text}]")
        except (ValueError, RecursionError):  # numbers with spaces between them, and "1."
            text = re.sub(r"(?<=[\d.N\]])[\s;]+(?=[-+\d.N\[])", ",", re.sub(r"(\d)\.(?!\d)", r"\1.0", text))
    raise ValueError(f"{where} is {cell[:40]!r}, not a list of numbers")


def objects(table: Table, columns: list[int], roles: Mapping[str, int], names: list[str]) -> list[dict[str, Any]]:
    """The rows as objects: lists in `columns`, words in columns of `roles`. Raises ValueError naming the line."""
    names = [name.strip() for name in names]
    found: dict[str, list[Any]] = {}
    for index in columns:
        cells = zip(table.columns[index], table.lines, strict=True)
        found[names[index]] = [_list(cell.strip(), f"line {line}: {table.names[index]}") for cell, line in cells]
    has_points = all(value is None or 2 <= len(value) <= 4 for column in found.values() for value in column)
    if not has_points and joints_key(found) is None and not {"x", "y"} <= found.keys():
        found["keypoints"] = max(found.values(), key=lambda column: max(len(value or ()) for value in column))
    kept = {_KEYS.get(role, role): index for role, index in roles.items()}
    kept |= {"name": names.index("name")} if "name" in names else {}
    for name, index in kept.items():
        if index not in columns:
            words = table.words(index)
            found[name] = [int(float(word)) if _WHOLE.fullmatch(word) else word or None for word in words]
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def rows_of(value: Any) -> list[dict[str, Any]]:
    """The rows of a table in JSON: a list of them, or any other form (`orient`) that pandas writes. Raises ValueError."""
    while isinstance(value, dict) and isinstance(value.get("data"), list) and "columns" not in value:
        value = value["data"]  # with a schema, or alone
    if isinstance(value, dict):
        columns, data, inner = value.get("columns"), value.get("data"), list(value.values())
        if isinstance(columns, list) and isinstance(data, list):
            value = [dict(zip(map(str, columns), row, strict=False)) for row in data if isinstance(row, list)]
        elif all(isinstance(each, list) for each in inner):
            value = [dict(zip(value, row, strict=False)) for row in zip(*inner, strict=False)]
        elif all(isinstance(each, dict) for each in inner):
            by_row = any(place_of(name) or name in ("x", "y") for name in with_axes(list(inner[0])))
            value = inner if by_row else [{name: each.get(key) for name, each in value.items()} for key in inner[0]]
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        raise ValueError("it holds no list of rows, objects with a key for each column")
    return [_flat(row) for row in value]


def _flat(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """{"nose": {"x": 1}} as {"nose_x": 1}."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        found |= _flat(value, f"{before}{key}_") if isinstance(value, dict) else {f"{before}{key}": value}
    return found
