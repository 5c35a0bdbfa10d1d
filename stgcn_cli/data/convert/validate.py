"""`stgcn data validate`: the problems of a file, and whether a preset can be trained on it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data import preflight
from stgcn_cli.data.facts import is_pickle, take_census
from stgcn_cli.data.findings import Findings
from stgcn_cli.data.locations import beside
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.errors import DataError
from stgcn_cli.io.reporter import Reporter


@dataclass(frozen=True, kw_only=True)
class ValidateOptions:
    """What to check."""

    file: Path
    preset: str | None = None
    settings: tuple[str, ...] = ()
    names: Sequence[str] | None = None  # of the classes
    verify: bool = False  # check every byte of the store


def validate(options: ValidateOptions, reporter: Reporter) -> Findings:
    """The problems of the file, and with a preset those that stop its training. Raises DataError, UsageError."""
    preset = presets.load(options.preset, options.settings) if options.preset else None
    census = take_census(str(options.file), reporter)
    found = census.finish(beside(options.file).classes if options.names is None else options.names)
    if not census.is_pickle:
        found.add("note", str(options.file), "record", "not an annotation pickle; convert it before training", "")
        return found
    if options.verify and not found.count("error"):
        open_stores([options.file], reporter, verify=True)
    if preset is None or found.count("error"):
        return found
    try:
        _check_with(preset, options.file, found)
    except DataError as error:
        found.add("error", preset.name, "preset", _in_one_line(error), "")
    return found


def _check_with(preset: Preset, file: Path, found: Findings) -> None:
    """Run the checks that precede training. A missing split is reported, and the whole file is checked in its place."""
    stores, splits = open_stores([file]), []
    for name, training in ((preset.data.train, True), (preset.data.val, False)):
        if not stores[0].has_splits and stores[0].indices(name) is None:
            continue  # a list is one split; the other has its own file
        try:
            split = find_split(stores, name)
            splits.append(split)
        except DataError as error:
            found.add("error", f"split {name}", "preset", _in_one_line(error), "")
            split = Split(name, stores[0], np.arange(len(stores[0])))
        for warning in preflight.check(preset, split, training=training):
            found.add("warning", f"split {name}", "preset", warning, "")
    for warning in preflight.check_pair(*splits) if len(splits) == 2 else ():
        found.add("warning", "both splits", "preset", warning, "")


def _in_one_line(error: DataError) -> str:
    return " ".join(f"{error.message} {error.hint}".split("\n")).strip()


def next_command(options: ValidateOptions, found: Findings) -> str:
    """The command to type after this one."""
    file, own = options.file, options.file.with_suffix(".toml")
    if found.count("error"):
        return f"stgcn data validate {shlex.quote(str(file))}"
    shipped = (name for name in presets.names() if presets.load(name).data.dataset == file.stem)
    preset = options.preset or (str(own) if own.is_file() else next(shipped, None))
    if preset is None or not is_pickle(file):
        unpacked = file.with_suffix("") if file.suffix == ".gz" else file
        out = file.with_stem(f"{file.stem}_own") if is_pickle(file) else unpacked.with_suffix(".pkl")
        return f"stgcn data convert {shlex.quote(str(file))} --out {shlex.quote(str(out))}"
    return f"stgcn train --preset {shlex.quote(preset)} --data {shlex.quote(str(file))}"
