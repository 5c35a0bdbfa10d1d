"""BABEL's release -> annotation pickle, to the bit what MMAction2 0.24.1 makes of it (`babel2mma2.py`), in flat memory.

Two differences: a clip that float16 cannot hold is set aside (there: infinity), and hidden labels are None.

The release, as folders or as an archive: {train,val,test}_ntu_sk_{60,120}.npy (N, C=3, T=150, V=25, M=1) float;
{train,val,test}_label_{60,120}.pkl = (segment ids, (labels, sequence ids, chunk numbers, annotator ids)). Labels of the test
split are hidden: -1, None, or no file at all.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.output import Add, list_item
from stgcn_cli.data.pickles import read_pickle
from stgcn_cli.data.prepare.babel_archive import MAX_BYTES, unpacked
from stgcn_cli.data.prepare.options import PrepareOptions, PrepareSummary, choose_splits
from stgcn_cli.data.records import check_finite
from stgcn_cli.errors import DataError
from stgcn_cli.io.reporter import SILENT, Advance, Reporter
from stgcn_cli.io.text import printable

SPLITS = ("train", "val", "test")
ARCHIVE = "babel_feats_labels.tar.gz"
MAX_LABELS = MAX_BYTES[".pkl"]
_FOLDERS = (".", "release", "babel_v1.0", "babel_v1.0_release", "babel")  # where people unpack it
_CHUNK = 128  # clips mapped at a time, so that memory stays flat
_COLUMNS = ("sequence ids", "chunk numbers", "annotator ids")
_HIDDEN = -1  # a hidden label in the release
_LARGEST = np.finfo(np.float16).max

Renamed = dict[tuple[str, str], str]  # (split, name) -> the name in a file that holds all splits


BABEL = {  # official counts: those of the release and of the authors' `create_submission.py`
    "babel60": {"classes": 60, "train": 45_473, "test": 15_647},
    "babel120": {"classes": 120, "train": 48_978, "test": 16_839},
}


@dataclass(frozen=True)
class Part:
    """One split: its array on disk, and name and label of each clip as the release has them."""

    split: str
    path: Path
    count: int
    names: list[str]
    labels: list[Any]

    def clips(self) -> Iterator[np.ndarray]:
        """Each clip (C T V M), in order."""
        for start in range(0, self.count, _CHUNK):
            yield from np.asarray(_map(self.path)[start : start + _CHUNK])


def find_babel(dataset: str, data: Path) -> list[Path]:
    """The release in the data folder, unpacked or as the archive. Raises DataError saying where to request it."""
    if _folder_of(BABEL[dataset]["classes"], data) is not None:
        return [data]
    for name in _FOLDERS:
        if (archive := data / name / ARCHIVE).is_file():
            return [archive]
    raise DataError(f"{dataset} not found: expected {ARCHIVE} in {data}, or the files in it.", _how(dataset, data))


@contextlib.contextmanager
def open_release(dataset: str, sources: Sequence[Path], beside: Path, reporter: Reporter) -> Iterator[list[Part]]:
    """The splits in the folders and archives `sources`, in the order of SPLITS; archives are unpacked in `beside`.

    Raises DataError for a source that cannot be read, a file without its other half, or a split that is there twice.
    """
    classes, parts = BABEL[dataset]["classes"], dict[str, Part]()
    with contextlib.ExitStack() as stack:
        for source in sources:
            folder = source
            if not source.is_dir():
                folder = stack.enter_context(unpacked(source, _files(classes), beside, reporter))
            place = _folder_of(classes, folder)
            if place is None:
                raise DataError(f"{_files(classes)[0]} not found in {source}.", _how(dataset, Path("data")))
            for split in SPLITS:
                if (part := _read_part(classes, split, place, source)) is None:
                    continue
                if split in parts:
                    raise DataError(f"{split!r} is in two sources, the second is {source}.", "Name one of them.")
                parts[split] = part
        yield [parts[split] for split in SPLITS if split in parts]


def _how(dataset: str, data: Path) -> str:
    files = _files(BABEL[dataset]["classes"])
    return (
        "Access to BABEL must be requested: sign up at https://babel.is.tue.mpg.de, then get the features,\n"
        f"https://human-movement.is.tue.mpg.de/{ARCHIVE}, and put that file into {data} as it is.\n"
        f"Or unpack it: {', '.join(files[:4])} (and {', '.join(files[4:])},\n"
        f"if you have them) belong in {data}, {data / 'release'} or {data / 'babel_v1.0'}.\n"
        f"Or name what you have: stgcn prepare {dataset} --source FOLDER_OR_TAR_GZ"
    )


def _files(classes: int) -> list[str]:
    return [name for split in SPLITS for name in (f"{split}_ntu_sk_{classes}.npy", f"{split}_label_{classes}.pkl")]


def _folder_of(classes: int, folder: Path) -> Path | None:
    """The first of the usual folders in `folder` that holds any file of this subset."""
    places = (folder / name for name in _FOLDERS)
    return next((place for place in places if any((place / file).is_file() for file in _files(classes))), None)


def _read_part(classes: int, split: str, folder: Path, source: Path) -> Part | None:
    array, labels = folder / f"{split}_ntu_sk_{classes}.npy", folder / f"{split}_label_{classes}.pkl"
    if not array.is_file() and not labels.is_file():
        return None
    if not array.is_file() or (not labels.is_file() and split != "test"):
        there, absent = (labels, array) if labels.is_file() else (array, labels)
        raise DataError(f"{source} has {there.name} but no {absent.name}.", "Is it complete? Each split needs both.")
    count = len(_map(array))
    if not labels.is_file():
        return Part(split, array, count, [f"{split}_{index:06d}" for index in range(count)], [None] * count)
    names, values = _read_labels(labels)
    if len(names) != count:
        raise DataError(f"{labels.name} has {len(names):,} clips, {array.name} {count:,}: a mismatch in {source}.")
    return Part(split, array, count, names, values)


def _map(path: Path) -> np.ndarray:
    """(N, 3, T, 25, M), mapped from disk. Raises DataError for a damaged file or another shape."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header is parsed as Python text, and can raise what parsers raise
        raise DataError(f"{path} cannot be read: {printable(error)[:200]}.", "Was it cut off in a copy?") from error
    if not isinstance(array, np.memmap) or array.dtype.kind != "f":
        raise DataError(f"{path} is invalid: expected an array of floating-point numbers.")
    if array.ndim != 5 or array.shape[1] != 3 or array.shape[3] != 25 or 0 in array.shape:
        raise DataError(f"{path} has the shape {array.shape}, expected (clips, 3, 150, 25, 1).")
    return array


def _read_labels(path: Path) -> tuple[list[str], list[Any]]:
    """For each clip its name, segment_sequence_chunk_annotator, and its label (None: all hidden)."""
    if (size := path.stat().st_size) > MAX_LABELS:
        raise DataError(f"{path} has {size:,} bytes; labels have less than {MAX_LABELS:,}.")
    match read_pickle(path):
        case (segments, (labels, *ids)) if len(ids) == len(_COLUMNS):
            columns = [_column(path, values) for values in (segments, *ids)]
        case _:
            raise DataError(f"{path} does not hold (segment ids, (labels, {', '.join(_COLUMNS)})).")
    values = [None] * len(columns[0]) if labels is None else _column(path, labels)
    if len({len(values), *map(len, columns)}) > 1:
        lengths = ", ".join(str(len(column)) for column in (values, *columns))
        raise DataError(f"{path} is damaged: its columns have {lengths} rows.")
    return ["_".join(map(str, row)) for row in zip(*columns, strict=True)], values


def _column(path: Path, values: Any) -> list[Any]:
    if not isinstance(values, list | tuple | np.ndarray):
        raise DataError(f"{path} is damaged: one of its columns is a {type(values).__name__}.")
    return list(values)


def prepare_babel(options: PrepareOptions, reporter: Reporter = SILENT) -> PrepareSummary:
    """Write the annotation pickle(s) of "babel60" or "babel120" from folders and archives of the release.

    An archive is unpacked beside the output and the unpacked files are removed again. Clips that cannot be used are set
    aside and listed, in the summary and in a report beside the output. Raises UsageError for invalid places and names,
    DataError when a source cannot be read or more than the share `max_bad` of the clips are bad.
    """
    options.check_place()
    official = BABEL[options.dataset]
    with open_release(options.dataset, options.sources, options.out.parent, reporter) as found:
        splits = choose_splits(options.dataset, [part.split for part in found], options.splits)
        parts = [part for part in found if part.split in splits]
        summary = options.summary(splits, official, found_sizes=dict.fromkeys(splits, 0))
        renamed = _tell_apart(parts, summary) if options.format == "single" else {}
        total = sum(part.count for part in parts)
        with options.writer(summary) as add, reporter.progress(f"prepare {options.dataset}", total) as advance:
            for part in parts:
                _write(part, official["classes"], renamed, summary, add, advance)
    return summary


def _tell_apart(parts: Sequence[Part], summary: PrepareSummary) -> Renamed:
    """Other names for the clips of a split whose name an earlier split has: in one file, a split is a list of names.

    BABEL's splits share no sequence, so this happens only in releases put together by others.
    """
    taken = {name for part in parts for name in part.names}
    before: set[str] = set()
    renamed: Renamed = {}
    for part in parts:
        for name in sorted(before.intersection(part.names)):
            other = f"{name}@{part.split}"
            while other in taken:
                other += "@"
            taken.add(other)
            renamed[part.split, name] = other
        before.update(part.names)
    if renamed:
        (_, name), other = next(iter(renamed.items()))
        summary.notes.append(
            f"{len(renamed):,} clips have the name of a clip in another split; in the later split they are renamed, "
            f"for instance {name} to {other}."
        )
    return renamed


def _write(part: Part, classes: int, renamed: Renamed, summary: PrepareSummary, add: Add, advance: Advance) -> None:
    splits = [part.split]
    for index, (name, clip) in enumerate(zip(part.names, part.clips(), strict=True)):
        name = renamed.get((part.split, name), name)
        try:
            label, keypoint = _label(part.labels[index], classes), _keypoint(clip)
        except ValueError as error:
            summary.drop(f"{part.path.name}[{index}]: {printable(name)}", str(error), splits)
        else:
            frames = keypoint.shape[1]
            record = {"keypoint": keypoint, "label": label, "frame_dir": name, "total_frames": frames}
            add(list_item(record), splits)
            summary.keep(name, label, splits, frames=frames, empty=not keypoint.any())
        advance()


def _label(label: Any, classes: int) -> int | None:
    if label is None or (isinstance(label, int | np.integer) and label == _HIDDEN):
        return None
    if isinstance(label, bool) or not isinstance(label, int | np.integer) or not 0 <= label < classes:
        raise ValueError(f"its label {label!r:.40} is none of the {classes} classes")
    return int(label)


def _keypoint(clip_CTVM: np.ndarray) -> np.ndarray:
    """(M, T, V, C) float16, contiguous. Raises ValueError when a value is not finite there."""
    with np.errstate(over="ignore"):  # a value too large becomes infinite, which is reported
        keypoint = clip_CTVM.transpose(3, 1, 2, 0).astype(np.float16, order="C")
    if np.isfinite(keypoint).all():
        return keypoint
    check_finite(clip_CTVM)
    worst = clip_CTVM.flat[np.abs(clip_CTVM).argmax()]
    raise ValueError(f"it holds {worst:g}, beyond what float16 can hold (up to {_LARGEST:,.0f})")
