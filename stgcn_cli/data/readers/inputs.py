"""Clips from files of every format, zips and folders of them, and globs.

A unit is what is read at a time. The name of a clip that is a whole unit is its path below the folder that was named,
without suffix: "wave/clip1"; NTU's names stay as they are.
"""

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from stgcn_cli.data.archives import Entry, list_source
from stgcn_cli.data.ntu.names import parse_name
from stgcn_cli.data.readers import (
    FORMATS,
    array_labels,
    by_suffix,
    frames,
    is_frame,
    ntu_text,
    openpose,
    read_file,
    recognise,
    sniffed,
)
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.readers.unzipped import gunzipped, is_gzip, unzipped
from stgcn_cli.data.records import KINECT, Clip, frames_of
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io import foreign
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import nearest, nearest_file, printable

_SUFFIXES = {suffix for format in FORMATS.values() for suffix in format.suffixes} - {".txt"}  # that tell the format
_PIXELS = 20  # coordinates beyond this are pixels
_FOLDERS_OF_FRAMES = 3  # that are taken for those of one clip, at least
_UNZIPPED = {suffix for format in FORMATS.values() if format.raw for suffix in format.suffixes} - {".skeleton"}


_PLAIN = Options()


@dataclass(frozen=True)
class Unit:
    """What is read at a time: `read` gives the records, `name` is for those that have none.

    `group` is the first folder below the one given, "" where there is none.
    """

    path: Path
    place: str  # for people
    name: str
    group: str
    format: str
    read: Callable[[], Iterator[dict[str, Any]]]
    options: Options = field(default_factory=Options)


def list_units(words: Sequence[str], options: Options) -> list[Unit]:
    """What there is to read, in the order of the words, within a folder by path. Raises DataError, UsageError."""
    format = options.format
    if format is not None and format not in FORMATS:
        raise UsageError(
            f"There is no format {format!r}.{nearest(format, list(FORMATS))}", f"Known: {', '.join(FORMATS)}"
        )
    paths = list(dict.fromkeys(path for word in words for path in _paths(word)))
    pictures = _by_folder([path for path in paths if path.is_file()], format) if len(paths) > 1 else {}
    taken = {path: files for files in pictures.values() if len(files) > 1 for path in files}
    root = Path(os.path.commonpath([path.parent for path in taken])) if taken else Path()
    units: list[Unit] = []
    for path in paths:
        if path not in taken:
            units += _units_of(path, options)
        elif path == taken[path][0]:  # files of frames that a shell has listed
            known = next(name for (_, name), files in pictures.items() if path in files)
            units += _videos(path.parent, root, known, taken[path], options)
    return units


def _by_folder(paths: Sequence[Path], format: str | None) -> dict[tuple[Path, str], list[Path]]:
    """The files that are one frame each, by folder and format."""
    found: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        try:
            known = _format_of(path, format)
            if known and is_frame(path, known):
                found.setdefault((path.parent, known), []).append(path)
        except OSError:
            continue  # refused where it is read
    return found


def _format_of(path: Path, format: str | None) -> str | None:
    """The format of a file: the one that the user gave, else as its content tells."""
    known = recognise(path) or (
        "openpose" if path.name.endswith(openpose.NAME) else None
    )  # a damaged one is not passed over
    return known if format in (None, known) else None


def _paths(word: str) -> list[Path]:
    path = Path(word)
    if path.exists():
        return [path]
    if glob.has_magic(word):
        if found := sorted(glob.glob(word, recursive=True)):
            return [Path(name) for name in found]
        raise DataError(f"Nothing fits {word}.")
    raise DataError(f"There is no {word}.{nearest_file(path)}")


def _units_of(path: Path, options: Options) -> list[Unit]:
    try:
        if path.is_dir():
            return _in_folder(path, options)
        if path.suffix.lower() == ".zip":
            return _in_zip(path, options)
        if is_gzip(path):
            (unit,) = _units_of(gunzipped(path), options)
            return [replace(unit, path=path, place=str(path))]
        name = options.format or recognise(path) or by_suffix(path) or sniffed(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if name is None:
        foreign.refuse(path, foreign.head_of(path), "a format that stgcn reads")
        raise DataError(f"The format of {path} is not recognised.", _known())
    return [_file(path, path.parent, name, options)]


def _in_folder(root: Path, options: Options) -> list[Unit]:
    """Everything readable below `root`; files of other kinds are passed over."""
    units: list[Unit] = []
    format = options.format
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        folder, pictures = Path(parent), dict[str, list[Path]]()
        below = PurePosixPath(folder.relative_to(root).as_posix())
        for path in array_labels.without_labels(folder / file for file in sorted(files)):
            if path.name.startswith(".") or not path.is_file():
                continue
            if path.suffix.lower() == ".zip":
                units += _in_zip(path, options)
            elif path.suffix.lower() == ".gz":
                packed = _units_of(path, options)
                units += [replace(u, name=str(PurePosixPath(below, u.name)), group=_group(below / "a")) for u in packed]
            elif (known := _format_of(path, format)) and is_frame(path, known):
                pictures.setdefault(known, []).append(path)
            elif known:
                units.append(_file(path, root, known, options))
            elif format is not None and known is None and path.suffix.lower() not in _SUFFIXES:
                units.append(_file(path, root, format, options))  # named by --from, whatever the files are called
        for known, found in pictures.items():
            units += _videos(folder, root, known, found, options)
    if not units:
        raise DataError(f"There is nothing in {root} that can be read.", _known())
    units = _across(units, root, options)
    return sorted(units, key=lambda unit: unit.place)


def _videos(folder: Path, root: Path, format: str, files: Sequence[Path], options: Options) -> list[Unit]:
    """One unit for each video of files that hold a frame each; the only one of a folder is called as the folder is."""
    try:
        found = frames.videos_of([file.name for file in files])
    except ValueError as error:
        raise DataError(f"{folder}: {error}.", "Put the frames of each video into a folder of their own.") from error
    below = folder.relative_to(root).as_posix()
    own, group = root.resolve().name if folder == root else below, "".join(folder.relative_to(root).parts[:1])
    units = []
    for video in found:
        chosen = [files[item] for item in video.items]
        if len(chosen) == 1 and (len(found) > 1 or not chosen[0].name.endswith(openpose.NAME)):
            units.append(_file(chosen[0], root, format, options))
            continue
        name = own if len(found) == 1 else video.name if folder == root else f"{below}/{video.name}"
        read = partial(_frames, format, video.numbers, chosen, options)
        units.append(
            Unit(folder, f"{folder}/{video.name}", str(PurePosixPath(name or own)), group, format, read, options)
        )
    return units


def _across(units: list[Unit], root: Path, options: Options) -> list[Unit]:
    """The units, where each frame has a folder of its own with a file of one name in it: these are one clip."""
    single = [unit for unit in units if unit.path.is_file() and is_frame(unit.path, unit.format)]
    alike = {(unit.path.name, unit.format) for unit in single}
    if len(single) < _FOLDERS_OF_FRAMES or len(single) != len(units) or len(alike) > 1:
        return units
    names = [unit.path.relative_to(root).as_posix() for unit in single]
    try:
        found = frames.videos_of(names)
    except ValueError:
        return units  # each by itself, as it lies
    if len(found) == len(single) or not all(video.numbered for video in found):
        return units
    merged = []
    for video in found:
        chosen = [single[item] for item in video.items]
        name = video.name.removesuffix(f"/{chosen[0].path.stem}") if len(found) > 1 else root.resolve().name
        read = partial(_frames, chosen[0].format, video.numbers, [unit.path for unit in chosen], options)
        merged.append(
            Unit(
                root, f"{root}/{name}", name, chosen[0].group if len(found) > 1 else "", chosen[0].format, read, options
            )
        )
    return merged


def _frames(format: str, numbers: Sequence[int], files: Sequence[Path], options: Options) -> Iterator[dict[str, Any]]:
    read = FORMATS[format].read_frames
    assert read is not None  # such files were taken for frames
    yield read(numbers, files, options)


def _in_zip(path: Path, options: Options) -> list[Unit]:
    """The `.skeleton` texts in a zip, else the files of other formats; folders that hold them all do not count."""
    entries = [entry for entry, reason in list_source(path, ".skeleton") if not reason]
    if not entries:
        root = unzipped(path, _UNZIPPED)
        if not any(root.iterdir()):
            raise DataError(f"{path} holds no files of a format that is read here.", _known())
        return [
            replace(unit, path=path, place=f"{path}: {unit.path.relative_to(root).as_posix()}")
            for unit in _in_folder(root, options)
        ]
    members = [PurePosixPath("/", entry.place.removeprefix(f"{path}: ")) for entry in entries]
    common = os.path.commonpath([member.parent for member in members]) if len(members) > 1 else members[0].parent
    units = []
    for entry, member in zip(entries, members, strict=True):
        below = member.relative_to(common)
        read: Callable[[], Iterator[dict[str, Any]]] = partial(_text, entry)
        units.append(Unit(path, entry.place, _name(below), _group(below), "skeleton", read))
    return units


def _text(entry: Entry) -> Iterator[dict[str, Any]]:
    yield ntu_text.read_entry(entry)


def _file(path: Path, root: Path, format: str, options: Options) -> Unit:
    below = PurePosixPath(path.relative_to(root).as_posix())
    read = partial(read_file, path, format, options)
    return Unit(path, str(path), _name(below), _group(below), format, read, options)


def _name(below: PurePosixPath) -> str:
    return below.stem if parse_name(below.stem) else str(below.with_suffix(""))


def _group(below: PurePosixPath) -> str:
    return below.parts[0] if len(below.parts) > 1 else ""


def _known() -> str:
    return "Read are:\n" + "\n".join(f"  {name:9} {format.what}" for name, format in FORMATS.items())


BadUnit = Callable[[str, DataError], None]


def expand(words: Sequence[str], options: Options = _PLAIN) -> list[Path]:
    """The files and folders of OpenPose frames that `words` (files, folders, globs) mean, each once.

    Raises DataError when there is nothing, naming what comes nearest.
    """
    return list(dict.fromkeys(unit.path for unit in list_units(words, options)))


def read_inputs(
    words: Sequence[str],
    reporter: Reporter = SILENT,
    options: Options = _PLAIN,
    on_bad: BadUnit | None = None,
) -> Iterator[Clip]:
    """Every clip of the inputs, one file in memory at a time. A clip with nobody in it has one person of zeros.

    Raises DataError naming the file and the cause; with `on_bad`, that is told and the others are read.
    """
    units = list_units(words, options)
    several = len(units) > 1
    with reporter.progress("read clips", len(units) if several else None) as advance:
        for unit in units:
            try:
                for found in read_unit(unit):
                    yield found
                    advance(0 if several else 1)
            except DataError as error:
                if on_bad is None:
                    raise
                on_bad(unit.place, error)
            advance(1 if several else 0)


def read_unit(unit: Unit) -> Iterator[Clip]:
    """The clips of one unit, each checked. Raises DataError naming the unit and the cause."""
    raw = FORMATS[unit.format].raw
    try:
        for record in unit.read():
            named = {"frame_dir": unit.name, **record}
            splits = named.pop("splits", ())
            layout, understood = named.pop("layout", None) if raw else None, named.pop("axes", None) if raw else None
            notes, lost_splits = named.pop("notes", ()), named.pop("lost_splits", "")
            if raw and (marked := _marked(named)):
                notes += (f"{marked:,} joints at -1, -1 are taken as not seen.",)
            gaps = _gaps(named)
            record = _checked(_finished(named) if raw or gaps else named)
            clip = Clip(
                record=record, source=unit.path, raw=raw, group=unit.group, splits=splits, gaps=gaps, layout=layout,
                notes=notes, lost_splits=lost_splits, understood=understood,
            )  # fmt: skip
            if unit.options.score_last and understood is None and not (raw and clip.shape[2]):
                clip = clip.with_score_last()
            chosen = unit.options.max_persons is not None
            if chosen or (
                raw and clip.shape[:2] != KINECT
            ):  # of whose bodies a normalisation takes those that move most
                clip = clip.with_persons(unit.options.most_persons)
            size = unit.options.image_size if raw and understood is None else None
            if size and clip.shape[1] == 2 and not clip.record.get("img_shape"):
                clip = clip.changed(img_shape=size)
            yield clip
    except DataError as error:
        told = error.message if unit.place in error.message else f"{unit.place}: {error.message}"
        raise DataError(told, error.hint) from error
    except (ValueError, OverflowError) as error:
        raise DataError(f"{unit.place}, read as {unit.format}: {printable(error)[:300]}.") from error
    except MemoryError as error:
        raise DataError(f"{unit.place} asks for more memory than there is.") from error
    except OSError as error:
        raise DataError(f"{unit.place} cannot be read: {error.strerror or error}.") from error


def _gaps(record: dict[str, Any]) -> int:
    """How many joints of a record have NaN in their coordinates or scores."""
    keypoint, score = record.get("keypoint"), record.get("keypoint_score")
    if not isinstance(keypoint, np.ndarray) or keypoint.ndim != 4 or keypoint.dtype.kind != "f":
        return 0
    lost = np.isnan(keypoint).any(axis=-1)
    if isinstance(score, np.ndarray) and score.shape == lost.shape and score.dtype.kind == "f":
        lost |= np.isnan(score)
    return int(lost.sum())


def _marked(record: dict[str, Any]) -> int:
    """Make joints at -1, -1 among pixels, which estimators write for none, zeros; return how many there were."""
    xy = record.get("keypoint")
    if not isinstance(xy, np.ndarray) or xy.shape[-1:] != (2,) or not xy.size or not xy.max() > _PIXELS:
        return 0
    marked = (xy == -1).all(axis=-1)
    if marked.any():
        record["keypoint"] = np.where(marked[..., None], 0, xy)
    return int(marked.sum())


def _finished(record: dict[str, Any]) -> dict[str, Any]:
    """A foreign record as ours are: what is not a number is a joint not seen, all zeros. Raises ValueError."""
    keypoint = np.ascontiguousarray(record["keypoint"], np.float32)
    if keypoint.ndim != 4 or 0 in keypoint.shape[1:]:
        raise ValueError(f"{record['frame_dir']}: keypoint has the shape {keypoint.shape}; there is nothing in it")
    lost = np.asarray(np.isnan(keypoint).any(axis=-1))
    score = record.get("keypoint_score")
    if score is not None:
        lost = lost | np.isnan(score)
        record["keypoint_score"] = np.where(lost, 0, score).astype(np.float32)
    keypoint = np.where(lost[..., None], np.float32(0), keypoint)
    if not np.isfinite(keypoint).all() or (score is not None and np.isinf(score).any()):
        raise ValueError(f"{record['frame_dir']}: it holds infinite values")
    return {"total_frames": keypoint.shape[1], **record, "keypoint": keypoint}


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    """The record, usable; nobody at all becomes one person of zeros. Raises ValueError naming it."""
    try:
        frames = frames_of(record)
    except ValueError as error:
        raise ValueError(f"{printable(record['frame_dir'])[:100]}: {error}") from error
    if not frames.shape[0]:
        for key in ("keypoint", "keypoint_score"):
            if isinstance(value := record.get(key), np.ndarray):
                record = record | {key: np.zeros((1, *value.shape[1:]), value.dtype)}
    return record
