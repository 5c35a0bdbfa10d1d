"""NW-UCLA as CTR-GCN's authors give it: a JSON a clip, {"file_name": "a01_s01_e00_v01", "skeletons": T x 20 x 3, "label"}.

The names tell action, subject and camera. Classes are named as the actions are, a01 to a12 (ten of them).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.data.readers.parsing import MAX_VALUES, Options, load_json, numbers

_NAME = re.compile(r"(a\d\d)_s(\d\d)_e\d\d_v(\d\d)")
_KINECT = LAYOUTS["kinect-20"]


def fits(head: bytes) -> bool:
    """Whether a text begins like one of the data set."""
    return b'"skeletons"' in head and (b'"file_name"' in head or b'"label"' in head)


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The one clip in a file."""
    value = load_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"it is a {type(value).__name__}, expected an object with skeletons")
    skeletons = numbers(value.get("skeletons"), "skeletons")
    if skeletons.ndim == 3:
        skeletons = skeletons[None]
    if skeletons.ndim != 4 or skeletons.shape[3] != 3 or skeletons.size > MAX_VALUES:
        raise ValueError(f"skeletons has the shape {skeletons.shape}, expected frames, joints, 3")
    record: dict[str, Any] = {"keypoint": skeletons}
    if skeletons.shape[2] == len(_KINECT.joints) and options.layout is None:
        record["layout"] = _KINECT
    name = value.get("file_name")
    if isinstance(name, str) and name:
        record["frame_dir"] = name
    if named := _NAME.fullmatch(str(name)):
        note = "NW-UCLA: classes are named by the actions in names, a01, a02, …, not by the label numbers of the files."
        record |= {"label": named[1], "subject": named[2], "notes": (note,)}
    elif isinstance(label := value.get("label"), int | str) and not isinstance(label, bool):
        record["label"] = label
    yield record
