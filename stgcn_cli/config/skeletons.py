"""Skeleton layouts: the built-in ones (`layouts/*.toml`), those of a user's TOML file, and which one fits an array.

name = "three-fingers"
joints = ["wrist", "thumb cmc", …]
bones = [["thumb cmc", "wrist"], …]     # a joint, then its neighbour nearer to the centre
centre = "wrist"
up = "-y"                               # optional: the axis that points up; "-y" in images
pairs = [["left eye", "right eye"], …]  # optional: joints that change places in a mirror; else by their names
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.own_files import read_regular
from stgcn_cli.io.text import nearest, nearest_file, shown

UPS = ("x", "-x", "y", "-y", "z", "-z")  # axes that may point up; "" where that is not known
_SIDES = {"l": "left", "r": "right", "left": "left", "right": "right"}
_OTHER = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Layout:
    """One skeleton: `joints` names the V joints in file order, `bones` are index pairs, `centre` is a joint index.

    Joint indices are 0-based and follow the files of each data set. A bone (i, j) runs inward: j is the end nearer to the
    centre; of a joint with several, the first one leads to the centre. `up` is the axis that points up in the files, one of
    UPS or "": "-y" in images, whose y points down. `pairs` are the left and right joints that a mirror exchanges.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    centre: int
    up: str = ""
    pairs: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not self.pairs:
            object.__setattr__(self, "pairs", pairs_by_name(self.joints))


def joint_key(name: str) -> str:
    """A joint's name in one spelling: "LeftShoulder", "left_shoulder" and "shoulder.L" are "left shoulder"."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = [_SIDES.get(word, word) for word in re.split(r"[\W_]+", spaced.lower()) if word]
    return " ".join(sorted(words, key=lambda word: word not in _OTHER))


def pairs_by_name(joints: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Index pairs (left, right) of joints whose names differ in the side only."""
    index = {joint_key(joint): i for i, joint in enumerate(joints)}
    left = [(i, key.replace("left", "right", 1)) for key, i in index.items() if key.split()[:1] == ["left"]]
    return tuple((i, index[other]) for i, other in left if other in index)


MAX_BYTES = 200_000
MAX_JOINTS = 1000
_NEEDED = ("joints", "bones", "centre")


def read_layout(path: Path) -> Layout:
    """The layout in the TOML file `path`. Raises UsageError naming the file, the key and what was expected."""
    path = Path(path)
    try:
        text = read_regular(path, MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise UsageError(f"{path} is larger than {MAX_BYTES:,} bytes, which is not a layout.")
        values = tomllib.loads(text.decode("utf-8"))
    except OSError as error:
        raise UsageError(
            f"The layout {path} cannot be read: {error.strerror}.{nearest_file(path)}",
            f"Built in: {', '.join(LAYOUTS)}",
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
    return layout_from(values.pop("name", path.stem), values, str(path))


def find_layout(word: str) -> Layout:
    """A built-in layout by name, or that of a TOML file. Raises UsageError."""
    if word in LAYOUTS:
        return LAYOUTS[word]
    if word.endswith(".toml"):
        return read_layout(Path(word))
    raise UsageError(
        f"Unknown layout {word!r}.{nearest(word, list(LAYOUTS))}",
        f"Built in: {', '.join(LAYOUTS)}; or a TOML file.",
    )


def layout_from(name: Any, values: Mapping[str, Any], where: str) -> Layout:
    """The layout of a table with joints, bones and centre; `where` names it in messages. Raises UsageError."""
    known = (*_NEEDED, "up", "pairs")
    for key in values:
        if key not in known:
            message = f"{where}: there is no key {shown(key)} in a layout."
            raise UsageError(message + nearest(key, known), f"Keys: name, {', '.join(known)}")
    for key in _NEEDED:
        if key not in values:
            raise UsageError(f"{where}: the layout's {key} is missing.", f"Keys: name, {', '.join(known)}")
    if not isinstance(name, str) or not name or name in LAYOUTS or name.endswith(".toml"):
        raise UsageError(f"{where}: name = {shown(name)} cannot be a layout's name.", "Give one that is not built in.")
    return _layout(name, values, where)


def _layout(name: str, values: Mapping[str, Any], where: str) -> Layout:
    """The layout of a table that has the keys that are needed. Raises UsageError."""
    joints = _joints(values["joints"], where)
    bones, pairs = (_pairs(values.get(key, ()), joints, where, key) for key in ("bones", "pairs"))
    up = values.get("up", "")
    if up not in ("", *UPS):
        raise UsageError(f"{where}: up = {shown(up)}, but it must be one of {', '.join(UPS)}.")
    return Layout(name, joints, bones, _joint(values["centre"], joints, where, "centre"), up, pairs)


def table_of(layout: Layout) -> dict[str, Any]:
    """The layout as a table that `layout_from` reads back, without its name."""
    table: dict[str, Any] = {"joints": layout.joints, "bones": layout.bones, "centre": layout.centre}
    if layout.up:
        table["up"] = layout.up
    if layout.pairs != pairs_by_name(layout.joints):
        table["pairs"] = layout.pairs
    return table


def _pairs(value: Any, joints: Sequence[str], where: str, key: str) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(b, list | tuple) and len(b) == 2 for b in value):
        raise UsageError(f"{where}: {key} must be a list of pairs of joints.")
    pairs = tuple((_joint(a, joints, where, key), _joint(b, joints, where, key)) for a, b in value)
    if own := next((pair for pair in pairs if pair[0] == pair[1]), None):
        raise UsageError(f"{where}: {key} joins {shown(joints[own[0]])} to itself.")
    return pairs


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


def _built_in() -> dict[str, Layout]:
    """The layouts beside this module, in the order of _ORDER."""
    found = {}
    for name in _ORDER:
        path = Path(__file__).parent / "layouts" / f"{name}.toml"
        found[name] = _layout(name, tomllib.loads(path.read_text("utf-8")), str(path))
    return found


_ORDER = (
    "ntu", "coco", "openpose-18", "openpose-25", "mediapipe-33", "halpe-26", "coco-wholebody-133", "hand-21", "smpl-22",
    "kinect-20",
)  # fmt: skip
LAYOUTS = _built_in()
NTU, COCO, OPENPOSE_18, OPENPOSE_25 = (LAYOUTS[name] for name in _ORDER[:4])
TURNED = ("ntu", "kinect-20")  # layouts whose joints `data.normalize = "body"` turns clips by

# Which built-in skeleton fits an array, and what its values are.

_FITS = {  # joints, coordinates -> layout
    (25, 3): "ntu", (17, 2): "coco", (18, 2): "openpose-18", (25, 2): "openpose-25", (33, 2): "mediapipe-33",
    (33, 3): "mediapipe-33", (26, 2): "halpe-26", (133, 2): "coco-wholebody-133", (21, 2): "hand-21", (21, 3): "hand-21",
    (22, 3): "smpl-22", (20, 3): "kinect-20",
}  # fmt: skip


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


def words(shape: Shape) -> str:
    """For people."""
    values = {2: "x, y", 3: "x, y, z"}.get(shape[1], f"{shape[1]} values")
    return f"{shape[0]} joints with {values}{' and a score' if shape[2] else ''}"
