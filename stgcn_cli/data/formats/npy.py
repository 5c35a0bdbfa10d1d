"""A numpy file of one array: one clip, (T, V, C) or (M, T, V, C)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.formats.numpy_files import clip_in, damage_told
from stgcn_cli.data.formats.reading import Options


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The one clip."""
    with damage_told():
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    yield {"keypoint": clip_in(array)}
