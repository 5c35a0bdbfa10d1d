"""Annotation pickles written record by record: any number of clips in flat memory, the same bytes from any number of workers.

A pickle is a program for a small stack machine. In protocol 3 what pickles one object, without its first two bytes and its
last, can stand anywhere in a larger pickle: nothing in it counts from the start. So each record is pickled where it is
made, and here the fragments are only strung together. numpy arrays name the module that numpy 1 and 2 both know.
"""

import contextlib
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from stgcn_cli.files import written_whole

_START, _END = pickle.PROTO + b"\x03", pickle.STOP


class RecordWriter(Protocol):
    """Takes the records of all clips, in order."""

    def add(self, record: bytes, splits: Sequence[str]) -> None:
        """One record, as `list_item` made it, that belongs to these splits."""


def list_item(record: object) -> bytes:
    """The part of a pickle that appends `record`, with at most one array in it, to the list on the stack."""
    return unlisted(record) + pickle.APPEND


def unlisted(record: object) -> bytes:
    """The same, not yet appended: `with_label` does it."""
    return _fragment(record).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n", 1)


def with_label(fragment: bytes, label: int | None) -> bytes:
    """What `list_item` gives of a record that has this label besides; `fragment` is what `unlisted` gave of it."""
    entry = b"" if label is None else _fragment("label") + _fragment(label) + pickle.SETITEM
    return fragment + entry + pickle.APPEND


def _fragment(value: object) -> bytes:
    return pickle.dumps(value, protocol=3)[len(_START) : -len(_END)]


@contextlib.contextmanager
def one_pickle(path: Path, members: Mapping[str, Sequence[str]]) -> Iterator[RecordWriter]:
    """{"annotations": [records], "split": {name: [frame_dir]}}; `members` is filled by the time the block ends."""
    with written_whole(path) as stream:
        stream.write(_START + pickle.EMPTY_DICT + _fragment("annotations") + pickle.EMPTY_LIST)
        yield _OneStream(stream)
        stream.write(pickle.SETITEM + _fragment("split") + _fragment(dict(members)) + pickle.SETITEM + _END)


@contextlib.contextmanager
def list_pickles(paths: Mapping[str, Path]) -> Iterator[RecordWriter]:
    """One [records] for each split, at its path: what MMAction2 0.x reads."""
    with contextlib.ExitStack() as stack:
        streams = {split: stack.enter_context(written_whole(path)) for split, path in paths.items()}
        for stream in streams.values():
            stream.write(_START + pickle.EMPTY_LIST)
        yield _ManyStreams(streams)
        for stream in streams.values():
            stream.write(_END)
        for stream in streams.values():  # all are on the disk before the first gets its name
            stream.flush()
            os.fsync(stream.fileno())


class _OneStream:
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def add(self, record: bytes, splits: Sequence[str]) -> None:
        self._stream.write(record)


class _ManyStreams:
    def __init__(self, streams: Mapping[str, IO[bytes]]) -> None:
        self._streams = streams

    def add(self, record: bytes, splits: Sequence[str]) -> None:
        for split in splits:
            self._streams[split].write(record)
