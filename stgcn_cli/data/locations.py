"""Locations of data: the data folder, the annotation pickles in it, and the preset beside a pickle."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stgcn_cli.config.skeletons import Layout
from stgcn_cli.data.ntu.names import benchmark_folder
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.text import nearest_file

_PREPARED = ("ntu60", "ntu120", "ntu60-2d", "ntu120-2d", "babel60", "babel120", "ntu60-raw", "ntu120-raw")


def data_folder() -> Path:
    """Return $STGCN_DATA, else ./data."""
    return Path(os.environ.get("STGCN_DATA") or "data")


def find_pickles(dataset: str, splits: Sequence[str], given: Sequence[Path]) -> list[Path]:
    """Return the annotation pickles for `dataset`: the given files, or those in the given folders or the data folder.

    In a folder: <dataset>.pkl, else train.pkl and val.pkl of the benchmark of `splits`, in <dataset>/<benchmark>,
    <benchmark>, or directly. Raises DataError naming the missing file and the command that creates it.
    """
    found: list[Path] = []
    for place in given or [data_folder()]:
        if place.is_file():
            found.append(place)
        elif place.is_dir() or not given:
            found += _in_folder(place, dataset, splits)
        else:
            raise DataError(f"{place} not found.{nearest_file(place)}", _hint(dataset, given))
    if not found:
        folders = " and ".join(str(place) for place in given or [data_folder()])
        raise DataError(f"{dataset}.pkl not found in {folders}.", _hint(dataset, given))
    return found


def _in_folder(folder: Path, dataset: str, splits: Sequence[str]) -> list[Path]:
    if (folder / f"{dataset}.pkl").is_file():
        return [folder / f"{dataset}.pkl"]
    lists = []
    for split in splits:
        benchmark, _, part = split.rpartition("_")
        benchmark = benchmark_folder(benchmark)
        places = (folder / dataset / benchmark, folder / dataset, folder / benchmark, folder)
        lists += [place / f"{part}.pkl" for place in places if (place / f"{part}.pkl").is_file()][:1]
    return [path for path in dict.fromkeys(lists) if split_in_name(path)]


def _hint(dataset: str, given: Sequence[Path]) -> str:
    if dataset != "demo" and dataset not in _PREPARED:
        return f"Give the file, or its folder: --data {dataset}.pkl"
    command = "stgcn demo" if dataset == "demo" else f"stgcn prepare {dataset.replace('-raw', ' --raw')}"
    source = " (the release is at https://babel.is.tue.mpg.de)" if dataset.startswith("babel") else ""
    other = "" if given else "\nOr give the file, or its folder, with --data (or set STGCN_DATA)."
    return f"Create it: {command}{source}{other}"


def split_in_name(path: Path) -> str | None:
    """Return the split in the name of a file of the list dialect: "train", "val" or "test", else None."""
    words = path.stem.lower().replace("-", "_").replace(".", "_").split("_")
    return next((word for word in ("train", "val", "test") if word in words), None)


@dataclass(frozen=True)
class Beside:
    """Class names, skeleton and pre-normalisation of a pickle, from the preset beside it; all empty without one."""

    classes: tuple[str, ...] = ()
    layout: Layout | None = None
    pre_normalize: str | None = None


def beside(file: Path) -> Beside:
    """Return the settings in FILE.toml, which `convert` writes beside FILE.pkl."""
    from stgcn_cli.config import presets  # and with it pydantic, which `prepare` need not wait for

    path = file.with_suffix(".toml")
    try:
        preset = presets.load(str(path)) if path.is_file() else None
    except UsageError:
        return Beside()
    if preset is None:
        return Beside()
    classes = preset.data.classes if isinstance(preset.data.classes, tuple) else ()
    return Beside(classes, presets.layout_of(preset), preset.data.pre_normalize)


def common_layout(found: Mapping[Path, Beside]) -> Layout | None:
    """Return the skeleton of the presets beside files, None where there are none. Raises DataError where they differ."""
    layouts = {known.layout: path for path, known in found.items() if known.layout is not None}
    if len(layouts) > 1:
        listed = ", ".join(f"{layout.name} beside {path}" for layout, path in layouts.items())
        raise DataError(
            f"The presets beside the files name different skeletons: {listed}.", "Say which it is: --layout NAME"
        )
    return next(iter(layouts), None)
