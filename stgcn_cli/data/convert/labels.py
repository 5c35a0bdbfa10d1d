"""Class names and labels of one's own data: lists of names, tables of labels, names found -> indices."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stgcn_cli.data.convert.spool import Spooled, Word
from stgcn_cli.data.name_index import NameIndex
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io import foreign
from stgcn_cli.io.text import natural, nearest, nearest_file, one_line

MAX_BYTES = 16 << 20


class LabelRow(NamedTuple):
    """What a table of labels says of a clip."""

    label: Word
    subject: str | None
    split: str = ""


def read_names(path: Path) -> list[str]:
    """The class names in a text, one a line, in the order of the labels. Raises UsageError."""
    names = [line.strip() for line in _text(path).splitlines()]
    while names and not names[-1]:
        names.pop()
    if not names or not all(names):
        where = f"line {names.index('') + 1} is empty" if names else "it is empty"
        raise UsageError(f"{path}: {where}.", "A list of classes has one name a line, the first for label 0.")
    if len(set(names)) < len(names):
        raise UsageError(f"{path}: the class {one_line(Counter(names).most_common(1)[0][0])!r} is listed twice.")
    return names


def read_list(path: Path) -> list[str]:
    """The names in a text, one a line; empty lines do not count. Raises UsageError."""
    names = [name for line in _text(path).splitlines() if (name := line.strip())]
    if not names:
        raise UsageError(f"{path} is empty.", "A list has one name a line.")
    return names


class LabelTable:
    """What a table of labels says of each clip, found by name; names may differ in folders and suffix."""

    def __init__(self, path: Path, rows: Mapping[str, LabelRow]) -> None:
        self._path, self._rows, self._index = path, rows, NameIndex(rows)
        self._used: dict[str, str] = {}  # row -> clip
        self.matched: dict[str, str] = {}  # clips found under another spelling

    def __getitem__(self, clip: str) -> LabelRow:
        """The row of a clip. Raises ValueError when it has none, or the one of another clip."""
        name = self._index.find(clip)
        if name is None:
            example = next(iter(self._rows), "")
            raise ValueError(
                f"it is not in {self._path}, which names {one_line(example)!r} for instance; add a line for it, with an "
                "empty label to hide it, or skip it: --skip-bad"
            )
        if self._used.setdefault(name, clip) != clip:
            raise ValueError(f"the name {one_line(name)!r} in {self._path} fits {one_line(self._used[name])} as well")
        if name != clip:
            self.matched[name] = clip
        return self._rows[name]

    def notes(self) -> list[str]:
        """What was matched under another spelling."""
        if not self.matched:
            return []
        name, clip = next(iter(self.matched.items()))
        count = f"{len(self.matched):,} clips" if len(self.matched) > 1 else "1 clip"
        return [f"Labels matched without folders and suffixes for {count}: {one_line(name)!r} is {one_line(clip)}."]


_COLUMNS = {  # of a table of labels, and how they are called, too
    "name": ("name", "frame_dir", "clip", "file", "filename", "file_name", "path", "video", "id"),
    "label": ("label", "class", "action", "category", "class_name", "target"),
    "subject": ("subject", "person", "actor", "participant"),
    "split": ("split", "subset", "partition", "set"),
}  # fmt: skip


def read_labels(path: Path) -> LabelTable:
    """A CSV with the header name,label[,subject][,split]: what it says of each clip. Raises UsageError naming the line."""
    lines = _text(path).splitlines()
    delimiter = max(",;\t", key=(lines[0] if lines else "").count)
    rows = csv.DictReader(lines, skipinitialspace=True, delimiter=delimiter)
    header = [name.strip().lower() for name in rows.fieldnames or []]
    columns = {key: next((name for name in names if name in header), "") for key, names in _COLUMNS.items()}
    if not columns["name"] or not columns["label"]:
        raise UsageError(f"{path} begins with {','.join(header)[:60]!r}, expected name,label[,subject].")
    rows.fieldnames = header
    found: dict[str, LabelRow] = {}
    for row in rows:
        name, label, subject, split = ((row.get(columns[key]) or "").strip() for key in _COLUMNS)
        if not any(word.strip() for word in row.values() if isinstance(word, str)):
            continue
        if not name or name in found:
            cause = f"{one_line(name)!r} is listed twice" if name else "the name is empty"
            raise UsageError(f"{path}, line {rows.line_num}: {cause}.")
        found[name] = LabelRow(number_or_name(label), subject or None, split)
    return LabelTable(path, found)


def number_or_name(word: str) -> Word:
    """An index where it is written as one, None where empty."""
    return int(word) if word.isascii() and word.isdecimal() else word or None


def number(clips: Sequence[Spooled], names: Sequence[str] | None) -> tuple[list[int | None], list[str] | None]:
    """The label of each clip, and the class names: those given, else those found, in natural order; None for indices only.

    Raises DataError for a name that is not in the list, an index that has none, and names mixed with indices.
    """
    words = [clip for clip in clips if isinstance(clip.label, str)]
    if names is None and words:
        if indexed := next((clip for clip in clips if isinstance(clip.label, int)), None):
            raise DataError(
                f"{one_line(words[0].name)} has the label {words[0].label!r}, {one_line(indexed.name)} the label {indexed.label}: "
                "the class index of a name is unknown.",
                "Give the names in the order of the indices: --classes names.txt",
            )
        names = sorted({clip.label for clip in words if isinstance(clip.label, str)}, key=natural)
    places = {name: index for index, name in enumerate(names or ())}
    return [_index(clip, places, names) for clip in clips], None if names is None else list(names)


def _index(clip: Spooled, places: Mapping[str, int], names: Sequence[str] | None) -> int | None:
    if isinstance(clip.label, str):
        if clip.label not in places:
            close = nearest(clip.label, list(places))
            raise DataError(f"{one_line(clip.name)} has the label {clip.label!r:.60}, which is no class.{close}")
        return places[clip.label]
    if clip.label is not None and names is not None and clip.label >= len(names):
        based = " Are the labels counted from 1?" if clip.label == len(names) else ""
        raise DataError(f"{one_line(clip.name)} has the label {clip.label}, but there are {len(names)} classes.{based}")
    return clip.label


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as stream:
            text = stream.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise UsageError(f"{path} is larger than {MAX_BYTES >> 20} MB: not a list of names.")
        foreign.refuse(path, text[: foreign.HEAD], "a text", ("empty",))
        return foreign.decode(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.{nearest_file(path)}") from error
    except DataError as error:
        raise UsageError(error.message, error.hint) from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}.") from error
