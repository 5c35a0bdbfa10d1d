"""Versions of what stgcn is made of."""

import importlib.metadata
import platform
from collections.abc import Iterator

from stgcn_cli import __version__
from stgcn_cli.health.finding import Finding

_NEEDED = ("torch", "numpy", "pandas", "rich", "typer", "matplotlib")
_OPTIONAL = ("tensorboard", "onnx", "onnxruntime")


def look() -> Iterator[Finding]:
    """stgcn, Python, and every library, those of the extras where they are installed."""
    yield Finding("stgcn", __version__)
    yield Finding("python", f"{platform.python_version()} ({platform.python_implementation()})")
    for name in _NEEDED:
        version = _version(name)
        yield Finding(name, version or "missing", "" if version else f"Install it: pip install {name}")
    for name in _OPTIONAL:
        if version := _version(name):
            yield Finding(name, version)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
