"""Skeleton action recognition from the command line and from Python, with spatial-temporal graph convolution."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stgcn_cli.api import Prediction, Recognizer, evaluate, load, read, train

__version__ = "0.1.0"
__all__ = ["Prediction", "Recognizer", "__version__", "evaluate", "load", "read", "train"]


def __getattr__(name: str) -> Any:
    """The Python API, imported when it is first used: the command line starts without it, and without torch."""
    if name in __all__:
        from stgcn_cli import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
