"""Where new annotation pickles and their preset go, and that nothing is there yet."""

import contextlib
import os
import pickle
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.data.ntu.names import benchmark_folder
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.files import atomic_write, is_stream
from stgcn_cli.io.outputs import OutputRule, expect_suffix
from stgcn_cli.io.text import one_line

# Annotation pickles written record by record: any number of clips in flat memory, the same bytes from any number of workers.
#
# A pickle is a program for a small stack machine. In protocol 3 what pickles one object, without its first two bytes and its
# last, can stand anywhere in a larger pickle: nothing in it counts from the start. So each record is pickled where it is
# made, and here the fragments are only strung together. numpy arrays name the module that numpy 1 and 2 both know.

_START, _END = pickle.PROTO + b"\x03", pickle.STOP


Add = Callable[[bytes, Sequence[str]], object]  # takes a record, as `list_item` made it, and its splits


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
def one_pickle(path: Path, members: Mapping[str, Sequence[str]]) -> Iterator[Add]:
    """{"annotations": [records], "split": {name: [frame_dir]}}; `members` is filled by the time the block ends."""
    with atomic_write(path) as stream:
        stream.write(_START + pickle.EMPTY_DICT + _fragment("annotations") + pickle.EMPTY_LIST)
        yield lambda record, splits: stream.write(record)
        stream.write(pickle.SETITEM + _fragment("split") + _fragment(dict(members)) + pickle.SETITEM + _END)


@contextlib.contextmanager
def list_pickles(paths: Mapping[str, Path]) -> Iterator[Add]:
    """One [records] for each split, at its path: what MMAction2 0.x reads."""
    with contextlib.ExitStack() as stack:
        streams = {split: stack.enter_context(atomic_write(path)) for split, path in paths.items()}
        for stream in streams.values():
            stream.write(_START + pickle.EMPTY_LIST)

        def add(record: bytes, splits: Sequence[str]) -> None:
            for split in splits:
                streams[split].write(record)

        yield add
        for stream in streams.values():
            stream.write(_END)
        for stream in streams.values():  # all are on the disk before the first gets its name
            stream.flush()
            os.fsync(stream.fileno())


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # a split that can become part of a path
_USUAL = ("train", "val")


def place_splits(out: Path, format: str, splits: Sequence[str], rule: OutputRule) -> Mapping[str, Path]:
    """Return the file of each split, as MMAction2 0.x has them below a folder; "" for a file that holds them all.

    Raises DataError for a split that cannot be a file name, UsageError for what must not be written over.
    """
    if format != "single" and is_stream(out):
        raise UsageError(f"--format list fills a folder, not {out}.", "Give a folder with --out.")
    if format != "single" and out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file.", "--format list fills a folder: give one with --out.")

    def in_folder(split: str) -> Path:
        benchmark, _, part = split.rpartition("_")
        return out / benchmark_folder(benchmark) / f"{part}.pkl"

    paths = split_paths(format, out, splits, in_folder)
    return {split: rule.place(path) for split, path in paths.items()}


def split_paths(format: str, out: Path, splits: Iterable[str], rule: Callable[[str], Path]) -> Mapping[str, Path]:
    """Return {"": out} for a single file, else the path that `rule` gives each split. Raises DataError."""
    if format == "single":
        return {"": out}
    for split in splits:
        if not _NAME.fullmatch(split):
            raise DataError(
                f"The split {one_line(split)[:80]!r} cannot become part of a file name.", "Use --format single."
            )
    return {split: rule(split) for split in splits}


def open_writer(paths: Mapping[str, Path], members: Mapping[str, Sequence[str]]) -> AbstractContextManager[Add]:
    """What takes the records; `members` of a file with all splits is filled by the time the block ends."""
    return one_pickle(paths[""], members) if "" in paths else list_pickles(paths)


@dataclass(frozen=True)
class Target:
    """Where `convert` and `merge` write to."""

    out: Path
    format: str = "single"  # one file with all splits, or a list for each: OUT_train.pkl, OUT_val.pkl
    preset: bool = True
    force: bool = False
    layout: Layout | None = None
    also_read: tuple[Path, ...] = ()  # files that are read besides the inputs: layout, labels, class names, lists

    @property
    def preset_path(self) -> Path:
        """OUT.toml beside OUT.pkl; not for a stream."""
        return self.out.with_suffix(".toml")

    def check(self, inputs: Sequence[Path]) -> None:
        """Raises UsageError when the output cannot go there, before anything is read."""
        if is_stream(self.out):
            if self.format != "single":
                raise UsageError(f"--format list writes several files, not {self.out}.", "Use --format single.")
            return
        if not self.out.is_dir() and self.out.suffix != ".pickle":
            expect_suffix(self.out, (".pkl",))
        rule = replace(self._rule, inputs=[*inputs, *self.also_read])
        rule.check(*self.paths(_USUAL).values(), *([self.preset_path] if self.preset else []))

    @property
    def _rule(self) -> OutputRule:
        return OutputRule(inputs=self.also_read, force=self.force)

    @property
    def spool_folder(self) -> Path:
        """Where clips wait until all have been seen: beside the output."""
        return Path(tempfile.gettempdir()) if is_stream(self.out) else self.out.parent

    def paths(self, splits: Iterable[str]) -> Mapping[str, Path]:
        """Where each split goes; "" for a file that holds them all. Raises DataError for one that no file can be called."""
        return split_paths(self.format, self.out, splits, lambda split: self.out.with_stem(f"{self.out.stem}_{split}"))

    def checked_paths(self, splits: Iterable[str]) -> Mapping[str, Path]:
        """The same with links followed, none of which is there yet. Raises UsageError besides."""
        return {split: self._rule.place(path) for split, path in self.paths(splits).items()}
