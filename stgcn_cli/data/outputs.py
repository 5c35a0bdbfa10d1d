"""Where the annotation pickles of a data set go: one file with all splits, or the lists of MMAction2 0.x in a folder."""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from stgcn_cli.data.pickles import RecordWriter, list_pickles, one_pickle
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.wording import nearest, printable

FORMATS = ("single", "mmaction0x")
_FOLDERS = {"xset": "xsetup"}  # the 0.x name, where it differs
_SPLIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # what may become the name of a file


def check_place(dataset: str, out: Path, format: str, sources: Sequence[Path]) -> None:
    """Raises UsageError when the output cannot go to `out`, before anything is read."""
    if format not in FORMATS:
        raise UsageError(f"There is no format {format!r}.{nearest(format, FORMATS)}", f"Known: {', '.join(FORMATS)}.")
    if any(out.resolve() == source.resolve() for source in sources):
        raise UsageError(f"{out} is the source.", "Give another place with --out.")
    if format == "single" and out.is_dir():
        raise UsageError(f"{out} is a folder.", f"Give a file: --out {out / dataset}.pkl")
    if format != "single" and out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file.", "This format fills a folder: give one with --out.")


def place_splits(out: Path, format: str, splits: Sequence[str], sources: Sequence[Path]) -> Mapping[str, Path]:
    """Where each split goes; "" for a file that holds them all.

    Raises DataError for a split that cannot be the name of a file, UsageError when a source would be written over.
    """
    if format == "single":
        return {"": out}
    if bad := [split for split in splits if not _SPLIT.fullmatch(split)]:
        raise DataError(f"The split {printable(bad[0])[:80]!r} cannot become a file.", "Use --format single.")
    paths = {split: _path(out, *split.rpartition("_")[::2]) for split in splits}
    read = {source.resolve() for source in sources}
    for path in paths.values():
        if path.resolve() in read:
            raise UsageError(f"{path} is the source.", "Give another place with --out.")
    return paths


def _path(out: Path, benchmark: str, part: str) -> Path:
    return out / _FOLDERS.get(benchmark, benchmark) / f"{part}.pkl"


def open_writer(
    paths: Mapping[str, Path], members: Mapping[str, Sequence[str]]
) -> AbstractContextManager[RecordWriter]:
    """What takes the records; `members` of a file with all splits is filled by the time the block ends."""
    return one_pickle(paths[""], members) if "" in paths else list_pickles(paths)
