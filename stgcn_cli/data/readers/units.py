"""What there is to read in files of every format, zips and folders of them, and globs.

A unit is what is read at a time. The name of a clip that is a whole unit is its path below the folder that was named,
without suffix: "wave/clip1"; NTU's names stay as they are.
"""

import contextlib
import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from stgcn_cli.data.archives import list_source
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
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io import foreign
from stgcn_cli.io.text import nearest, nearest_file, some

_SUFFIXES = {suffix for format in FORMATS.values() for suffix in format.suffixes} - {".txt"}  # that tell the format
_KNOWN = "Read are:\n" + "\n".join(f"  {name:9} {format.what}" for name, format in FORMATS.items())
_FOLDERS_OF_FRAMES = 3  # that are taken for those of one clip, at least
_BESIDE = re.compile(
    r".*(label|split|subject|meta).*|class(es|_?names)?|info|index|list|train|val|test", re.IGNORECASE
)  # no clips
_UNZIPPED = {suffix for format in FORMATS.values() if format.raw for suffix in format.suffixes} - {".skeleton"}
PLAIN = Options()


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
    """What there is to read, in the order of the words, frames after other files, within a folder by path. Raises DataError, UsageError."""
    format = options.format
    if format is not None and format not in FORMATS:
        raise UsageError(f"Unknown format {format!r}.{nearest(format, list(FORMATS))}", f"Known: {', '.join(FORMATS)}")
    paths = list(dict.fromkeys(path for word in words for path in _paths(word)))
    units: list[Unit] = []
    pictures: dict[tuple[Path, str], list[Path]] = {}  # files of a frame each, that a shell has listed
    for path in paths:
        known = None
        with contextlib.suppress(OSError):  # refused where it is read
            known = _format_of(path, format) if len(paths) > 1 and path.is_file() else None
            known = known if known and is_frame(path, known) else None
        if known:
            pictures.setdefault((path.parent, known), []).append(path)
        else:
            units += _units_of(path, options)
    groups = {key: files for key, files in pictures.items() if len(files) > 1}
    root = Path(os.path.commonpath([folder for folder, _ in groups])) if groups else Path()
    for key, files in pictures.items():
        units += _videos(key[0], root, key[1], files, options) if key in groups else _units_of(files[0], options)
    return units


def _format_of(path: Path, format: str | None) -> str | None:
    """The format of a file: the one that the user gave, else as its content tells."""
    damaged = "openpose" if path.name.endswith(openpose.NAME) else None  # not passed over
    known = recognise(path) or damaged
    return known if format in (None, known) else None


def _paths(word: str) -> list[Path]:
    path = Path(word)
    if path.exists():
        return [path]
    if glob.has_magic(word):
        if found := sorted(glob.glob(word, recursive=True)):
            return [Path(name) for name in found]
        raise DataError(f"No file matches {word}.", "Put patterns in quotes: 'clips/*.npy'")
    raise DataError(f"{word} not found.{nearest_file(path)}")


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
        raise DataError(f"The format of {path} is not recognised.", _KNOWN)
    return [_file(path, path.parent, name, options)]


def _in_folder(root: Path, options: Options) -> list[Unit]:
    """Everything readable below `root`; files of other kinds are passed over, tables among tables with a note."""
    units: list[Unit] = []
    passed: list[Path] = []  # files that are called as one format alone is, but do not look like it
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
            elif format is None and by_suffix(path) and not _BESIDE.fullmatch(path.stem):
                passed.append(path)
        for known, found in pictures.items():
            units += _videos(folder, root, known, found, options)
    if not units and not passed:
        raise DataError(f"There is nothing in {root} that can be read.", _KNOWN)
    units = _across(units or [_file(path, root, by_suffix(path) or "", options) for path in passed], root, options)
    units.sort(key=lambda unit: unit.place)
    if lost := [str(path) for path in passed if path.suffix in {unit.path.suffix for unit in units} - {""}]:
        note = f"{root}: passed over, since no columns name joints: {some(lost, 3)}."
        units[0] = replace(units[0], read=partial(_noted, units[0].read, note))
    return units


def _noted(read: Callable[[], Iterator[dict[str, Any]]], note: str) -> Iterator[dict[str, Any]]:
    yield from (record | {"notes": (*record.get("notes", ()), note)} for record in read())


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
        called = str(PurePosixPath(name or own))
        units.append(Unit(folder, f"{folder}/{video.name}", called, group, format, read, options))
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
        several = len(found) > 1
        chosen = [single[item] for item in video.items]
        name = video.name.removesuffix(f"/{chosen[0].path.stem}") if several else root.resolve().name
        read = partial(_frames, chosen[0].format, video.numbers, [unit.path for unit in chosen], options)
        group = chosen[0].group if several else ""
        merged.append(Unit(root, f"{root}/{name}", name, group, chosen[0].format, read, options))
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
            raise DataError(f"{path} holds no files of a format that is read here.", _KNOWN)
        return [
            replace(unit, path=path, place=f"{path}: {unit.path.relative_to(root).as_posix()}")
            for unit in _in_folder(root, options)
        ]
    members = [PurePosixPath("/" + entry.place.removeprefix(f"{path}: ").lstrip("/")) for entry in entries]
    common = os.path.commonpath([member.parent for member in members]) if len(members) > 1 else members[0].parent
    units = []
    for entry, member in zip(entries, members, strict=True):
        below = member.relative_to(common)
        read: Callable[[], Iterator[dict[str, Any]]] = partial(map, ntu_text.read_entry, (entry,))
        units.append(Unit(path, entry.place, _name(below), _group(below), "skeleton", read))
    return units


def _file(path: Path, root: Path, format: str, options: Options) -> Unit:
    below = PurePosixPath(path.relative_to(root).as_posix())
    read = partial(read_file, path, format, options)
    return Unit(path, str(path), _name(below), _group(below), format, read, options)


def _name(below: PurePosixPath) -> str:
    return below.stem if parse_name(below.stem) else str(below.with_suffix(""))


def _group(below: PurePosixPath) -> str:
    return below.parts[0] if len(below.parts) > 1 else ""
