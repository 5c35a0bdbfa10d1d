"""Skeletons of one's own: a layout described in TOML, by joint names or indices.

name = "hand-21"
joints = ["wrist", "thumb cmc", …]
bones = [["thumb cmc", "wrist"], …]     # a joint, then its neighbour nearer to the centre
centre = "wrist"
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stgcn_cli.errors import UsageError
from stgcn_cli.skeleton import LAYOUTS, Layout
from stgcn_cli.wording import nearest, nearest_file, shown

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
