"""Stand-ins for objects that checkpoints of other programs contain beside the weights; none of their code is run.

`archive.check` has read the file as data before: what is named here is named there.
"""

from typing import Any

import numpy as np

from stgcn_cli.io import pickle_values

IGNORED = (  # classes of histories, options and configurations: read as empty objects
    "mmengine.logging.history_buffer.HistoryBuffer", "mmengine.config.config.ConfigDict", "mmengine.config.config.Config",
    "mmcv.utils.config.ConfigDict", "mmcv.utils.config.Config", "addict.addict.Dict", "argparse.Namespace",
    "easydict.EasyDict", "yacs.config.CfgNode", "omegaconf.dictconfig.DictConfig",
    "pytorch_lightning.utilities.parsing.AttributeDict", "lightning_fabric.utilities.data.AttributeDict",
)  # fmt: skip


_PLAIN_MODULES = (
    "builtins.",
    "collections.defaultdict",
    "collections.deque",
    "datetime.",
    "decimal.",
    "fractions.",
    "pathlib.",
)


class Ignored(dict):
    """An object of a class in `IGNORED`, without its attributes."""

    def __new__(cls, *args: Any, **named: Any) -> "Ignored":
        """Take any arguments."""
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Ignore attributes."""


class Array:
    """An array of numpy, put together by `pickle_values` from the state that numpy wrote."""

    def __init__(self, *args: Any) -> None:
        self.value: Any = None

    def __setstate__(self, state: Any) -> None:
        self.value = pickle_values.filled(state)


def plain(value: Any) -> Any:
    """Return `value` with numpy arrays in place of their stand-ins, inside dicts, lists and tuples too."""
    if isinstance(value, Array):
        return value.value
    if isinstance(value, dict):
        for key, each in value.items():
            value[key] = plain(each)
        return value
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def _names() -> list[Any]:
    """Objects for torch's loader with the names that stand in files: as numpy 1 and 2 write them."""
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    dtypes = {
        type(np.dtype(kind)) for kind in ("?", *(f"{k}{n}" for k in "iu" for n in (1, 2, 4, 8)), "f2", "f4", "f8")
    }
    named: list[Any] = [(Ignored, name) for name in IGNORED]
    for core in ("numpy.core", "numpy._core"):
        named += [(scalar, f"{core}.multiarray.scalar"), (Array, f"{core}.multiarray._reconstruct")]
    plain = [(maker, name) for name, maker in pickle_values.NAMES.items() if name.startswith(_PLAIN_MODULES)]
    return [*named, *plain, (Array, "numpy.ndarray"), np.dtype, *dtypes]


NAMES = _names()
