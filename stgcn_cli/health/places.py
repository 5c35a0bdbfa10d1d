"""Folders: free disk, data that are there, caches."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from stgcn_cli import presets
from stgcn_cli.data.places import cache_folder, data_folder, find_pickles
from stgcn_cli.errors import StgcnError
from stgcn_cli.health.finding import Finding, size

_LEAST = 2e9  # bytes: the checkpoints of a published preset take less than one


def look_at_disk() -> Iterator[Finding]:
    """Free space where data, caches and runs lie, and whether they can be written."""
    for name, folder in (
        ("data folder", data_folder()),
        ("cache folder", cache_folder()),
        ("run folders", Path("runs")),
    ):
        there, free = _nearest(folder), free_disk(folder)
        shown = folder if folder.is_absolute() else Path(".") / folder
        missing = "" if folder.exists() else ", not there yet"
        advice = "Free some space: a run keeps its checkpoints." if free < _LEAST else ""
        if name != "data folder" and not os.access(there, os.W_OK):
            advice = f"{there} cannot be written. Choose another folder ({'STGCN_CACHE' if 'cache' in name else '--work-dir'})."
        yield Finding(name, f"{shown}{missing}, {size(free)} free", advice)


def free_disk(folder: Path) -> int:
    """Bytes free where `folder` is or would be."""
    return shutil.disk_usage(_nearest(folder)).free


def _nearest(folder: Path) -> Path:
    """The folder, or the one above it that is there."""
    folder = Path(os.path.abspath(folder))
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def look_at_data() -> Iterator[Finding]:
    """The annotation files that are there, and which presets could be trained with them."""
    found: dict[tuple[Path, ...], list[str]] = {}
    for name in presets.names():
        data = presets.load(name).data
        try:
            found.setdefault(tuple(find_pickles(data.dataset, (data.train, data.val), ())), []).append(name)
        except StgcnError:
            continue
    for paths, names in found.items():
        files = ", ".join(f"{path.name} ({size(path.stat().st_size)})" for path in paths)
        yield Finding(", ".join(names), f"{files} in {paths[0].parent}")
    if not found:
        yield Finding("none", f"no annotation file of a preset in {data_folder()}; see `stgcn prepare`")


def look_at_caches() -> Iterator[Finding]:
    """What each part of the cache takes."""
    cache = cache_folder()
    kinds = sorted(path for path in cache.iterdir() if path.is_dir()) if cache.is_dir() else []
    for folder in kinds:
        things, taken = _taken(folder)
        yield Finding(folder.name, f"{things} {'entry' if things == 1 else 'entries'}, {size(taken)}")
    if not kinds:
        yield Finding("empty", str(cache))


def _taken(folder: Path) -> tuple[int, int]:
    """Entries of a folder, and the bytes of all files below it."""
    taken = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                taken += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # removed meanwhile
                continue
    return len(list(folder.iterdir())), taken
