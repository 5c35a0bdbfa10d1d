"""Settings of a run besides its preset, recorded in environment.json: a resumed run takes them from there."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stgcn_cli.config import presets
from stgcn_cli.data.locations import find_pickles
from stgcn_cli.errors import StgcnError, UsageError
from stgcn_cli.io.files import atomic_write
from stgcn_cli.io.own_files import read_regular
from stgcn_cli.runs.folder import environment

_MOST_BYTES = 16 << 20  # of an environment.json
_RECORDED: dict[str, tuple[type, ...]] = {  # keyword of RunOptions -> types of its recorded value
    "data": (list,), "seed": (int,), "diff_seed": (bool,), "deterministic": (bool,), "precision": (str,),
    "freeze": (str, type(None)), "validate": (bool,), "skip_nonfinite": (int,), "gpus": (int,),
}  # fmt: skip
_MAY_DIFFER = ("gpus",)  # where a run is computed, not what


def environment_of(folder: Path) -> dict[str, Any]:
    """Return the content of environment.json; empty when it is missing or damaged."""
    try:
        value = json.loads(read_regular(folder / "environment.json", _MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def recorded(folder: Path) -> dict[str, Any]:
    """Return the settings that the run in `folder` was started with, without those that are absent or invalid."""
    known = environment_of(folder)
    settings = {key: known[key] for key, types in _RECORDED.items() if key in known and type(known[key]) in types}
    settings["data"] = tuple(Path(path) for path in settings.get("data", ()) if isinstance(path, str))
    return settings


def resumed(folder: Path, given: Mapping[str, Any], force: bool) -> dict[str, Any]:
    """Return the settings of a resumed run: those recorded in `folder`, and `given` ones where nothing is recorded.

    `given` holds the options of the command line. With `force` it replaces what is recorded.
    Raises UsageError when a given setting differs.
    """
    before = recorded(folder)
    chosen = {key: value for key, value in given.items() if value != ()}
    differing = {
        key: value for key, value in chosen.items()
        if before.get(key, ()) != () and key not in _MAY_DIFFER and not _is_same(folder, before[key], value)
    }  # fmt: skip
    if differing and not force:
        differences = ", ".join(
            f"--{key.replace('_', '-')} {_value(value)} (was {_value(before[key])})" for key, value in differing.items()
        )
        raise UsageError(
            f"The run in {folder} was started with other settings: {differences}.",
            "Leave these options out to resume the run as it was, or add --force to change it.",
        )
    return before | chosen


def _is_same(folder: Path, before: Any, value: Any) -> bool:
    """Compare settings; data as files, so that a relative path, or their folder, equals the absolute paths recorded."""
    if not isinstance(value, tuple):
        return bool(before == value)
    with contextlib.suppress(StgcnError):  # no such preset or data: the paths as given
        recipe = presets.load(str(folder / "preset.toml")).data
        value = find_pickles(recipe.dataset, (recipe.train, recipe.val), value)
    return {os.path.realpath(path) for path in before} == {os.path.realpath(path) for path in value}


def _value(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def record(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write environment.json: machine, versions and `settings`. A resumed run keeps it and adds an entry to "resumed"."""
    now, before = environment(dict(settings)), environment_of(folder)
    if before:
        earlier = before.get("resumed")
        now = before | {"resumed": [*(earlier if isinstance(earlier, list) else []), now]}
    with atomic_write(folder / "environment.json", "w") as stream:
        json.dump(now, stream, indent=2)
