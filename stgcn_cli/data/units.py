"""What there is to read: files of every format, texts in zips, OpenPose's frames; in folders, by globs.

A unit is what is read at a time. The name of a clip that a unit is by itself is its path below the folder given, without suffix:
"wave/clip1"; NTU's names stay as they are.
"""

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from stgcn_cli.data.formats import FORMATS, openpose, recognise, skeleton
from stgcn_cli.data.formats.reading import Options
from stgcn_cli.data.ntu_names import parse_name
from stgcn_cli.data.sources import Entry, list_source
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.wording import nearest, nearest_file

_FRAMES = "_keypoints.json"  # how OpenPose's files end


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


def list_units(words: Sequence[str], options: Options, format: str | None = None) -> list[Unit]:
    """What there is to read, in the order of the words, within a folder by path. Raises DataError, UsageError."""
    if format is not None and format not in FORMATS:
        raise UsageError(
            f"There is no format {format!r}.{nearest(format, list(FORMATS))}", f"Known: {', '.join(FORMATS)}"
        )
    return [unit for word in words for path in _paths(word) for unit in _units_of(path, options, format)]


def _paths(word: str) -> list[Path]:
    path = Path(word)
    if path.exists():
        return [path]
    if glob.has_magic(word):
        if found := sorted(glob.glob(word, recursive=True)):
            return [Path(name) for name in found]
        raise DataError(f"Nothing fits {word}.")
    raise DataError(f"There is no {word}.{nearest_file(path)}")


def _units_of(path: Path, options: Options, format: str | None) -> list[Unit]:
    try:
        if path.is_dir():
            return _in_folder(path, options, format)
        if path.suffix.lower() == ".zip":
            return _in_zip(path)
        name = format or recognise(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if name is None:
        raise DataError(f"{path} is of no format that is read here.", _known())
    return [_file(path, path.parent, name, options)]


def _in_folder(root: Path, options: Options, format: str | None) -> list[Unit]:
    """Everything readable below `root`; files of other kinds are passed over."""
    units: list[Unit] = []
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        folder, frames = Path(parent), any(name.endswith(_FRAMES) for name in files) and format in (None, "openpose")
        if frames:
            units += _openpose(folder, root, options)
        for file in sorted(files):
            path = folder / file
            if file.startswith(".") or not path.is_file() or (frames and file.endswith(_FRAMES)):
                continue
            if path.suffix.lower() == ".zip":
                units += _in_zip(path)
            elif (known := recognise(path)) and format in (None, known):
                units.append(_file(path, root, known, options))
    if not units:
        raise DataError(f"There is nothing in {root} that can be read.", _known())
    return sorted(units, key=lambda unit: unit.place)


def _openpose(folder: Path, root: Path, options: Options) -> list[Unit]:
    """One unit for each clip of the frames in `folder`; a single clip is called as the folder is."""
    found, below = openpose.clips_in(folder), folder.relative_to(root).as_posix()
    own = root.resolve().name if folder == root else below
    units = []
    for name, files in found.items():
        path = PurePosixPath(own if len(found) == 1 else name if folder == root else f"{below}/{name}")
        group = folder.relative_to(root).parts[:1]
        units.append(
            Unit(folder, f"{folder}/{name}", str(path), "".join(group), "openpose", partial(_frames, files, options))
        )
    return units


def _frames(files: Sequence[Path], options: Options) -> Iterator[dict[str, Any]]:
    yield openpose.read_frames(files, options)


def _in_zip(path: Path) -> list[Unit]:
    """The `.skeleton` texts in a zip; folders that hold them all do not count."""
    entries = [entry for entry, reason in list_source(path, ".skeleton") if not reason]
    if not entries:
        raise DataError(f"{path} holds no .skeleton texts.", "Other formats are read from unpacked folders.")
    members = [PurePosixPath("/", entry.place.removeprefix(f"{path}: ")) for entry in entries]
    common = os.path.commonpath([member.parent for member in members]) if len(members) > 1 else members[0].parent
    units = []
    for entry, member in zip(entries, members, strict=True):
        below = member.relative_to(common)
        read: Callable[[], Iterator[dict[str, Any]]] = partial(_text, entry)
        units.append(Unit(path, entry.place, _name(below), _group(below), "skeleton", read))
    return units


def _text(entry: Entry) -> Iterator[dict[str, Any]]:
    yield skeleton.read_entry(entry)


def _file(path: Path, root: Path, format: str, options: Options) -> Unit:
    below = PurePosixPath(path.relative_to(root).as_posix())
    return Unit(path, str(path), _name(below), _group(below), format, partial(FORMATS[format].read, path, options))


def _name(below: PurePosixPath) -> str:
    return below.stem if parse_name(below.stem) else str(below.with_suffix(""))


def _group(below: PurePosixPath) -> str:
    return below.parts[0] if len(below.parts) > 1 else ""


def _known() -> str:
    return "Read are:\n" + "\n".join(f"  {name:9} {format.what}" for name, format in FORMATS.items())
