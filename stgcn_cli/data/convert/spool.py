"""Clips that wait on disk until all have been seen: labels are numbered and splits made when the last one is known.

Only names and labels stay in memory, so any number of clips can be converted.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from stgcn_cli.data.output import Add, unlisted, with_label
from stgcn_cli.data.records import label_of
from stgcn_cli.io.files import make_dirs, writing

Word = int | str | None


@dataclass(frozen=True, slots=True)
class Spooled:
    """A clip that waits: `label` is an index, a class name, or None where it is hidden."""

    name: str
    label: Word
    subject: str | None
    splits: tuple[str, ...]


class Spool:
    """Takes records, then gives them to a writer of annotation pickles in the same order."""

    def __init__(self, stream: IO[bytes], folder: Path) -> None:
        self._stream, self._folder = stream, folder
        self._sizes: list[int] = []
        self.clips: list[Spooled] = []

    def add(self, record: dict[str, Any], clip: Spooled) -> None:
        """Take in a record; its label is left out until it is written. Raises RunError when the disk is full."""
        item = unlisted({key: value for key, value in record.items() if key != "label"})
        with writing(self._folder):
            self._stream.write(item)
        self._sizes.append(len(item))
        self.clips.append(clip)

    def write(
        self, add: Add, labels: Sequence[int | None], splits: Sequence[Sequence[str]], advance: Callable[[int], Any]
    ) -> None:
        """Every record with its label to its splits. Raises RunError when the disk is full."""
        with writing(self._folder):
            self._stream.seek(0)  # writes what waits in memory, too
        for size, label, where in zip(self._sizes, labels, splits, strict=True):
            add(with_label(self._stream.read(size), label), where)
            advance(1)


@contextmanager
def spool_in(folder: Path) -> Iterator[Spool]:
    """A spool in `folder`, of a file without a name: it is gone when the block ends, and when the program is killed."""
    with writing(folder):
        stream = tempfile.TemporaryFile(dir=make_dirs(folder))  # noqa: SIM115
    try:
        yield Spool(stream, folder.resolve())
    finally:
        with suppress(OSError):  # a full disk was reported already, or the spooled clips are not needed any more
            stream.close()


def plain_label(value: Any) -> Word:
    """A label as int, text or None. Raises ValueError for anything else."""
    if isinstance(value, str) and value:
        return value
    label = label_of({"label": value})
    return None if label < 0 else label
