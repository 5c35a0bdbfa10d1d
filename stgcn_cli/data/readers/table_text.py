"""Rows of a text table: its encoding, delimiter, decimal comma and header, whatever program wrote it. Held whole."""

import io
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.io import foreign

MAX_BYTES = 1 << 30
MAX_CELLS = 50_000_000
_DELIMITERS = "\t;|,"  # the first one that fits is taken
_COMMENTED = re.compile(r"\A\s*#[ \t]*(?!sep=)")  # a header that numpy.savetxt wrote
_SAMPLE = 20  # lines that tell the delimiter
_COMMA = r"^\s*[-+]?\d*,\d+(?:[eE][-+]?\d+)?\s*$"
MISSING = ("", "nan", "na", "null", "none", "-", "n/a", "#n/a", "nil", "<na>")


@dataclass(frozen=True)
class Table:
    """Columns of texts by name, as they are written, and the line of each row in the file."""

    names: tuple[str, ...]
    columns: tuple[Any, ...]  # pandas Series of str, one a name
    lines: np.ndarray  # (R,) counted from 1
    decimal_comma: bool = False

    def take(self, index: np.ndarray) -> "Table":
        """The rows at `index`."""
        columns = tuple(column.iloc[index].reset_index(drop=True) for column in self.columns)
        return Table(self.names, columns, self.lines[index], self.decimal_comma)

    def words(self, index: int) -> Any:
        """The column at `index` without the spaces around its texts."""
        return self.columns[index].str.strip()

    def is_empty(self) -> np.ndarray:
        """(R,) whether nothing stands in a row."""
        return np.logical_and.reduce([(column == "").to_numpy() for column in self.columns])


def parsed(column: Any) -> np.ndarray:
    """float64 of a column, NaN where there is no number."""
    import pandas as pd

    return pd.to_numeric(column, errors="coerce").to_numpy(np.float64)


def is_missing(column: Any) -> np.ndarray:
    """Where a column says that there is nothing."""
    return column.str.strip().str.lower().isin(MISSING).to_numpy()


def decimals(table: Table, index: int, name: str) -> np.ndarray:
    """float32 of the column at `index`, NaN where it says nothing. Raises ValueError naming the line."""
    column = table.columns[index]
    if table.decimal_comma:
        column = column.str.replace(",", ".", regex=False)
    values = parsed(column)
    lost = np.isnan(values)
    refuse(table, index, lost & ~is_missing(column) if lost.any() else lost, f"{name} is", ", not a number")
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def whole_numbers(table: Table, index: int, name: str) -> np.ndarray:
    """int64. Raises ValueError naming the line."""
    values = parsed(table.columns[index])
    refuse(table, index, ~(np.abs(values) < 2**53) | (values != np.floor(values)), f"{name} is", ", not a whole number")
    return values.astype(np.int64)


def seconds(table: Table, index: int) -> np.ndarray:
    """float64 of a column of times, numbers or "00:01:02.5"; NaN where there is none."""
    import pandas as pd

    column = table.columns[index]
    times = parsed(column.str.replace(",", ".", regex=False) if table.decimal_comma else column)
    if np.isnan(times).all():
        times = pd.to_timedelta(table.words(index), errors="coerce").dt.total_seconds().to_numpy(np.float64)
    return times


def refuse(table: Table, index: int, wrong: np.ndarray, before: str, after: str) -> None:
    """Raise ValueError for the first row that is wrong: what stands there, between `before` and `after`."""
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"line {table.lines[row]}: {before} {table.columns[index].iloc[row]!r:.40}{after}")


def read_table(path: Path) -> Table:
    """The table in a file; without a header, its names are empty. Raises ValueError, OSError."""
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path.stat().st_size:,} bytes; more than {MAX_BYTES:,} are not read")
    return table_of(foreign.decode(path.read_bytes()))


def table_of(text: str) -> Table:
    """The table in a text. Raises ValueError."""
    import pandas as pd

    text = _COMMENTED.sub("", text, count=1)
    raw = text.splitlines()
    delimiter = delimiter_of([line for line in raw[:200] if line.strip()])
    widest = max((len(line.split()) if delimiter == " " else line.count(delimiter) + 1 for line in raw), default=0)
    if widest * len(raw) > MAX_CELLS:
        raise ValueError(f"{len(raw):,} rows of {widest:,} columns are more than are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of rows that are longer than they seem
            rows = pd.read_csv(
                io.StringIO(text), sep=r"\s+" if delimiter == " " else delimiter, header=None, names=range(widest), dtype=str,
                keep_default_na=False, na_filter=False, skipinitialspace=True, skip_blank_lines=False, index_col=False,
            )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, ValueError) as error:
        raise ValueError(f"no readable table: {str(error).strip()[:200]}") from error
    rows = rows.fillna("")
    numbers, empty = np.arange(1, len(rows) + 1), (rows == "").all(axis=1).to_numpy()
    last = int(np.flatnonzero(~empty).max(initial=-1)) + 1
    kept = ~empty[:last]
    if len(raw) >= last:  # a row of delimiters alone is a frame without a person, a blank line is nothing
        kept |= np.array([delimiter in line for line in raw[:last]], bool)
    rows, numbers = rows.iloc[:last][kept], numbers[:last][kept]
    if len(rows) and str(rows.iloc[0, 0]).lstrip("# ").startswith("sep="):  # a line for a spreadsheet
        rows, numbers = rows.iloc[1:], numbers[1:]
    return _with_names(rows.reset_index(drop=True), numbers, delimiter)


def _with_names(rows: Any, lines: np.ndarray, delimiter: str) -> Table:
    if not len(rows):
        raise ValueError("no readable table: it is empty")
    header, names = names_in([[str(word) for word in rows.iloc[row]] for row in range(min(4, len(rows)))])
    one_less = header == 1 < len(names) and all(names[:-1]) and not names[-1]
    if one_less and len(rows) > 1 and (rows.iloc[1:, -1] != "").all():
        names = ["", *names[:-1]]  # R writes names of rows, and none for their column
    rows, lines = rows.iloc[header:].reset_index(drop=True), lines[header:]
    kept = [index for index, name in enumerate(names) if not header or name or (rows[index] != "").any()]
    columns = tuple(rows[index] for index in kept)
    comma = delimiter != "," and any(column.iloc[:_SAMPLE].str.match(_COMMA).any() for column in columns)
    return Table(tuple(names[index] for index in kept), columns, lines, comma)


def delimiter_of(lines: Sequence[str]) -> str:
    """The character between the columns of a text; a space for any white space."""
    sample = [line for line in lines[:_SAMPLE] if line.strip()]
    if sample and (found := re.match(r"#?\s*sep=(.)\s*$", sample[0])):
        return found[1]
    best, most = ",", 1
    for delimiter in _DELIMITERS:
        counts = Counter(len(split_line(line, delimiter)) for line in sample)
        fields, agreeing = counts.most_common(1)[0] if counts else (1, 0)
        if fields > 1 and agreeing > len(sample) / 2:
            if delimiter in "\t;|" and not (delimiter != "\t" and _holds_commas(sample, delimiter)):
                return delimiter
            if fields > most:
                best, most = delimiter, fields
    if most > 1 or not sample:
        return best
    words = sample[0].split()
    spaced = len(words) > 2 or (len(words) == 2 and all(map(_is_number, words)))
    return " " if spaced and len({len(line.split()) for line in sample}) <= 2 else ","


def _holds_commas(lines: Sequence[str], delimiter: str) -> bool:
    """Whether fields hold commas that are no decimal commas: then the columns are between those."""
    fields = [field.strip('" ') for line in lines for field in split_line(line, delimiter) if "," in field]
    return any(not re.match(_COMMA, field) and field[:1] not in "[({" for field in fields)  # a list in a cell is none


def split_line(line: str, delimiter: str) -> list[str]:
    """The fields of a line; delimiters inside quotes do not count."""
    if '"' not in line:
        return line.split() if delimiter == " " else line.split(delimiter)
    parts, inside = [""], False
    for char in line:
        if char == '"':
            inside = not inside
        elif char == delimiter and not inside:
            parts.append("")
            continue
        parts[-1] += char
    return [part.strip('" ') for part in parts]


# The header: one row of names, or DeepLabCut's rows (scorer, individuals, bodyparts, coords) and others' of joints and axes.

_AXIS_WORDS = {"x", "y", "z", "likelihood", "score", "conf", "confidence", "visibility", "c", "v", "p"}


def names_in(rows: Sequence[Sequence[str]]) -> tuple[int, list[str]]:
    """How many of the first rows are the header, and the name of each column; 0 and empty names without a header."""
    first = [word.strip() for word in rows[0]]
    for place in range(1, len(rows)):
        axes = [word.strip().lower() for word in rows[place]]
        inner = [word for word in axes[1:] if word]
        if len(inner) > 1 and all(word in _AXIS_WORDS for word in inner) and {"x", "y"} <= {*inner, axes[0]}:
            return place + 1, _joined(rows[: place + 1])
    if all(_is_number(word) or word.lower() in MISSING for word in first):
        return 0, [""] * len(first)
    return 1, first


def _joined(rows: Sequence[Sequence[str]]) -> list[str]:
    """Names of columns whose header has rows for joints and axes, above them persons and words that are the same in all."""
    first = [row[0].strip().lower() for row in rows[:-1]]
    persons = next((rows[first.index(word)] for word in ("individuals", "individual", "person") if word in first), None)
    names, joint, person = [], "", ""
    for index, axis in enumerate(rows[-1]):
        joint = rows[-2][index].strip() or joint  # merged cells are written once
        if persons is not None:
            person = persons[index].strip() or person
        if axis.strip().lower() in _AXIS_WORDS:
            names.append(f"person[{person}] {joint}_{axis}" if persons is not None else f"{joint}_{axis}")
        else:
            names.append("frame" if index == 0 else f"{joint} {axis}".strip())
    return names


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+[.,]?\d*|[.,]\d+)([eE][-+]?\d+)?|[-+]?inf", word) is not None
