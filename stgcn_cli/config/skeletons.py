"""Skeletons of one's own: a layout described in TOML, by joint names or indices.

name = "hand-21"
joints = ["wrist", "thumb cmc", …]
bones = [["thumb cmc", "wrist"], …]     # a joint, then its neighbour nearer to the centre
centre = "wrist"
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.text import nearest, nearest_file, one_line, shown

# Skeleton layouts: which joints a body has, which pairs are bones, which joint is its centre.
#
# Joint indices are 0-based and follow the files of each data set. A bone (i, j) runs inward: j is the end nearer to the
# centre. Source: the layouts of Yan et al. 2018 and MMAction2 0.24.1.


@dataclass(frozen=True)
class Layout:
    """One skeleton: `joints` names the V joints in file order, `bones` are index pairs, `centre` is a joint index."""

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    centre: int


NTU = Layout(
    "ntu",
    (
        "base of spine", "mid spine", "neck", "head", "left shoulder", "left elbow", "left wrist", "left hand",
        "right shoulder", "right elbow", "right wrist", "right hand", "left hip", "left knee", "left ankle",
        "left foot", "right hip", "right knee", "right ankle", "right foot", "spine", "left hand tip", "left thumb",
        "right hand tip", "right thumb",
    ),
    (
        (0, 1), (1, 20), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8), (10, 9), (11, 10),
        (12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18), (21, 22), (22, 7), (23, 24),
        (24, 11),
    ),
    centre=20,
)  # fmt: skip

COCO = Layout(
    "coco",
    (
        "nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow",
        "right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle",
        "right ankle",
    ),
    (
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (7, 5), (8, 6), (9, 7), (10, 8),
        (1, 2), (1, 0), (2, 0), (3, 1), (4, 2), (3, 5), (4, 6),
    ),
    centre=0,
)  # fmt: skip

OPENPOSE_18 = Layout(
    "openpose-18",
    (
        "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
        "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle", "right eye", "left eye",
        "right ear", "left ear",
    ),
    (
        (4, 3), (3, 2), (7, 6), (6, 5), (13, 12), (12, 11), (10, 9), (9, 8), (11, 5), (8, 2), (5, 1), (2, 1), (0, 1),
        (15, 0), (14, 0), (17, 15), (16, 14),
    ),
    centre=1,
)  # fmt: skip

OPENPOSE_25 = Layout(
    "openpose-25",
    (
        "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
        "mid hip", "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle", "right eye",
        "left eye", "right ear", "left ear", "left big toe", "left small toe", "left heel", "right big toe",
        "right small toe", "right heel",
    ),
    (
        (4, 3), (3, 2), (7, 6), (6, 5), (23, 22), (22, 11), (24, 11), (11, 10), (10, 9), (9, 8), (20, 19), (19, 14),
        (21, 14), (14, 13), (13, 12), (12, 8), (8, 1), (5, 1), (2, 1), (0, 1), (15, 0), (16, 0), (17, 15), (18, 16),
    ),
    centre=1,
)  # fmt: skip

LAYOUTS = {layout.name: layout for layout in (NTU, COCO, OPENPOSE_18, OPENPOSE_25)}

MAX_BYTES = 200_000
MAX_JOINTS = 1000


def read_layout(path: Path) -> Layout:
    """The layout in the TOML file `path`. Raises UsageError naming the file, the key and what was expected."""
    path = Path(path)
    try:
        text = path.open("rb").read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise UsageError(f"{path} is larger than {MAX_BYTES:,} bytes: this is no layout.")
        values = tomllib.loads(text.decode("utf-8"))
    except OSError as error:
        raise UsageError(
            f"The layout {path} cannot be read: {error.strerror}.{nearest_file(path)}",
            f"Built in: {', '.join(LAYOUTS)}",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
    return layout_from(values.pop("name", path.stem), values, str(path))


def find_layout(word: str) -> Layout:
    """A built-in layout by name, or that of a TOML file. Raises UsageError."""
    if word in LAYOUTS:
        return LAYOUTS[word]
    if word.endswith(".toml"):
        return read_layout(Path(word))
    raise UsageError(
        f"There is no layout {word!r}.{nearest(word, list(LAYOUTS))}",
        f"Built in: {', '.join(LAYOUTS)}; or a TOML file.",
    )


def layout_from(name: Any, values: Mapping[str, Any], where: str) -> Layout:
    """The layout of a table with joints, bones and centre; `where` names it in messages. Raises UsageError."""
    known = ("joints", "bones", "centre")
    for key in values:
        if key not in known:
            message = f"{where}: there is no key {shown(key)} in a layout."
            raise UsageError(message + nearest(key, known), f"Keys: name, {', '.join(known)}")
    for key in known:
        if key not in values:
            raise UsageError(f"{where}: the layout's {key} is missing.", f"Keys: name, {', '.join(known)}")
    if not isinstance(name, str) or not name or name in LAYOUTS or name.endswith(".toml"):
        raise UsageError(f"{where}: name = {shown(name)} cannot be a layout's name.", "Give one that is not built in.")
    joints = _joints(values["joints"], where)
    bones = values["bones"]
    if not isinstance(bones, list | tuple) or not all(isinstance(b, list | tuple) and len(b) == 2 for b in bones):
        raise UsageError(f"{where}: bones must be a list of pairs of joints.")
    pairs = tuple((_joint(a, joints, where, "bones"), _joint(b, joints, where, "bones")) for a, b in bones)
    if own := next((pair for pair in pairs if pair[0] == pair[1]), None):
        raise UsageError(f"{where}: a bone joins {shown(joints[own[0]])} to itself.")
    return Layout(name, joints, pairs, _joint(values["centre"], joints, where, "centre"))


def _joints(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(joint, str) for joint in value):
        raise UsageError(f"{where}: joints must be a list of names.")
    if len(value) > MAX_JOINTS:
        raise UsageError(f"{where}: {len(value)} joints; at most {MAX_JOINTS} are taken.")
    if len(set(value)) < len(value):
        twice = next(joint for joint in value if list(value).count(joint) > 1)
        raise UsageError(f"{where}: the joint {shown(twice)} stands there twice.")
    return tuple(value)


def _joint(value: Any, joints: Sequence[str], where: str, key: str) -> int:
    """The index of a joint given by name or index."""
    if isinstance(value, str) and value in joints:
        return joints.index(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(joints):
        return value
    close = nearest(value, list(joints)) if isinstance(value, str) else ""
    raise UsageError(
        f"{where}: {key} names {shown(value)}, but there is no such joint.{close}", f"Joints: 0 to {len(joints) - 1}"
    )


# Which built-in skeleton fits an array, and what its values are.

_FITS = {(25, 3): "ntu", (17, 2): "coco", (18, 2): "openpose-18", (25, 2): "openpose-25"}  # joints, coordinates

_SHOWN = 5  # names in a message

Shape = tuple[int, int, bool]  # joints, coordinates, whether there is a keypoint_score


def layout_for(shape: Shape, given: Layout | None = None) -> Layout | None:
    """The layout given, else the built-in one that has these joints; None where there is none.

    Raises DataError when the one given has another number of joints.
    """
    if given is None:
        return LAYOUTS[_FITS[shape[:2]]] if shape[:2] in _FITS else None
    if len(given.joints) != shape[0]:
        raise DataError(f"The clips have {shape[0]} joints, the layout {given.name} has {len(given.joints)}.")
    return given


def channels_of(shape: Shape) -> str | None:
    """What a preset calls these values: xyz, xys or xy; None for what no network here takes."""
    return {(3, False): "xyz", (2, True): "xys", (2, False): "xy"}.get(shape[1:])


def some(names: Sequence[str]) -> str:
    """The first few of many names, for people."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(map(one_line, names[:_SHOWN])) + more


def words(shape: Shape) -> str:
    """For people."""
    values = {2: "x, y", 3: "x, y, z"}.get(shape[1], f"{shape[1]} values")
    return f"{shape[0]} joints with {values}{' and a score' if shape[2] else ''}"
