"""NTU RGB+D `.skeleton` texts: up to four bodies a frame, told apart by their place in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import NTU
from stgcn_cli.data.archives import Entry, read_text
from stgcn_cli.data.ntu.names import parse_name
from stgcn_cli.data.ntu.parser import read_skeleton
from stgcn_cli.data.readers.parsing import Options


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The one clip in a text. A name like S001C002P003R004A005 gives label and subject."""
    yield read_entry(Entry(path.stem, str(path), str(path), path.stat().st_size))


def read_entry(entry: Entry) -> dict[str, Any]:
    """The same for a text in a zip. Raises DataError."""
    keypoint = read_skeleton(read_text(entry)).astype(np.float32, order="C")
    record: dict[str, Any] = {"keypoint": keypoint, "layout": NTU}
    if named := parse_name(entry.name):
        record |= {"label": named.action - 1, "subject": str(named.person)}
    return record
