"""A validation as the user wishes it: the file by itself, then against the preset that is to use it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stgcn_cli import preflight, presets
from stgcn_cli.config import Preset
from stgcn_cli.data.own.findings import Findings
from stgcn_cli.data.own.validate import validate as validate_file
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.errors import DataError
from stgcn_cli.screen import Screen


@dataclass(frozen=True)
class Wishes:
    """What the user asked for."""

    file: Path
    preset: str | None = None
    settings: tuple[str, ...] = ()
    names: Sequence[str] | None = None  # of the classes


def validate(wishes: Wishes, screen: Screen) -> Findings:
    """What is wrong in the file, and with a preset what it would say before training. Raises DataError, UsageError."""
    preset = presets.load(wishes.preset, wishes.settings) if wishes.preset else None
    found = validate_file(wishes.file, wishes.names, screen)
    if preset is None or found.count("error"):
        return found
    try:
        _check_with(preset, wishes.file, found)
    except DataError as error:
        found.add("error", preset.name, "preset", _told(error), "")
    return found


def _check_with(preset: Preset, file: Path, found: Findings) -> None:
    """What is checked before a training. A split that is not there is told, and the whole file is checked in its place."""
    stores, splits = open_stores([file]), []
    for name, training in ((preset.data.train, True), (preset.data.val, False)):
        if not stores[0].has_splits and stores[0].indices(name) is None:
            continue  # a list is one split; the other has its own file
        try:
            split = find_split(stores, name)
            splits.append(split)
        except DataError as error:
            found.add("error", f"split {name}", "preset", _told(error), "")
            split = Split(name, stores[0], np.arange(len(stores[0])))
        for warning in preflight.check(preset, split, training=training):
            found.add("warning", f"split {name}", "preset", warning, "")
    for warning in preflight.check_pair(*splits) if len(splits) == 2 else ():
        found.add("warning", "both splits", "preset", warning, "")


def _told(error: DataError) -> str:
    return " ".join(f"{error.message} {error.hint}".split("\n")).strip()


def next_command(wishes: Wishes, found: Findings) -> str:
    """What to type after this."""
    file, beside = shlex.quote(str(wishes.file)), wishes.file.with_suffix(".toml")
    if found.count("error"):
        return f"stgcn data validate {file}"
    preset = wishes.preset or (str(beside) if beside.is_file() else _shipped_for(wishes.file.stem))
    if preset is None:
        return f"stgcn data convert {file} --out {shlex.quote(str(wishes.file.with_stem(wishes.file.stem + '_own')))}"
    settings = "".join(f" --set {shlex.quote(setting)}" for setting in wishes.settings)
    return f"stgcn train --preset {shlex.quote(preset)}{settings} --data {file}"


def _shipped_for(dataset: str) -> str | None:
    """The first preset that is trained on this data set, as `prepare` calls its file."""
    return next((name for name in presets.names() if presets.load(name).data.dataset == dataset), None)
