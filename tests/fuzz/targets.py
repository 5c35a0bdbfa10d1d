"""Everything that is fuzzed, by name. Each lies in its own file, which is imported when it is wanted."""

import importlib

from tests.fuzz.target import Target

NAMES = (
    "parser", "annotations", "checkpoint", "presets", "store", "archives", "logs", "http", "clips", "tables", "poses", "arrays",
)  # fmt: skip


def find(name: str) -> Target:
    """The target called `name`."""
    return importlib.import_module(f"tests.fuzz.fuzz_{name}").TARGET
