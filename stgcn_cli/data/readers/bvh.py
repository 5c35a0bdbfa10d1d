"""BVH motion capture: a hierarchy of joints with offsets, and their channels in each frame -> positions by forward kinematics.

Positions are in the unit of the file. End sites, which have no name, are left out. A joint's position channels replace its
offset; rotations, in degrees, are applied in the order of the channels.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import joint_key
from stgcn_cli.data.readers import named_joints
from stgcn_cli.data.readers.parsing import MAX_FRAMES, MAX_JOINTS, MAX_VALUES, Options

_MAX_BYTES = 1 << 30
_TOKEN = re.compile(
    r"(?:ROOT|JOINT)[ \t]*([^{}\n]{0,200}?)\s{0,200}\{|(End\s{1,9}Site)\s{0,200}\{|OFFSET((?:\s{1,9}[^\s{}]{1,40}){3})"
    r"|CHANNELS\s{1,9}(\d{1,3})((?:\s{1,9}[XYZ](?:position|rotation))*)|(\})",
    re.IGNORECASE,
)


@dataclass
class Joint:
    """A joint: its parent's index (-1 for a root), offset (3,), and channels with the column of the first."""

    name: str
    parent: int
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3))
    channels: tuple[str, ...] = ()
    column: int = 0


def fits(head: bytes) -> bool:
    """Whether a text begins like a BVH file."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:9].upper() == b"HIERARCHY"


def read(path: Path, options: Options) -> Iterator[dict[str, Any]]:
    """The one clip in a file. Raises ValueError with the cause."""
    if (size := path.stat().st_size) > _MAX_BYTES:
        raise ValueError(f"{size:,} bytes of BVH; more than {_MAX_BYTES:,} are not read")
    text = path.read_bytes().decode("utf-8-sig", "replace")
    at = text.upper().find("MOTION")
    if not fits(text[:100].encode()) or at < 0:
        raise ValueError("it has no HIERARCHY with a MOTION below it")
    joints = _hierarchy(text[:at])
    values = _motion(text[at:], sum(len(joint.channels) for joint in joints))
    positions = _positions(joints, values)
    record: dict[str, Any] = {"keypoint": positions.astype(np.float32)[None]}
    links = [[index, joint.parent] for index, joint in enumerate(joints) if joint.parent >= 0]
    layout = named_joints.layout_of([joint.name for joint in joints], links, "bvh", up=_up(joints))
    return iter([record if layout is None else record | {"layout": layout}])


def _hierarchy(text: str) -> list[Joint]:
    joints: list[Joint] = []
    open_, column = list[int](), 0  # joints whose brackets are open, -1 for an end site; columns up to now
    if rest := _TOKEN.sub(" ", text).split()[1:]:
        raise ValueError(f"its hierarchy holds {rest[0]!r:.40}, expected JOINT, OFFSET, CHANNELS or End Site")
    for name, end, offset, count, channels, close in (token.groups() for token in _TOKEN.finditer(text)):
        inside = open_[-1] if open_ else -1
        if name is not None:
            joints.append(Joint(name or f"joint {len(joints)}", inside))
            open_.append(len(joints) - 1)
        elif end:
            open_.append(-1)
        elif close and not open_:
            raise ValueError("its hierarchy closes a bracket that is not open")
        elif close:
            open_.pop()
        elif offset and inside >= 0:
            joints[inside].offset = np.array([_float(number) for number in offset.split()])
        elif count:
            names = tuple(channels.split())
            if inside < 0 or joints[inside].channels or len(names) != int(count):
                raise ValueError(f"unexpected channels in its hierarchy: {count} {channels.strip():.80}")
            joints[inside].channels, joints[inside].column, column = names, column, column + len(names)
    if open_ or not 0 < len(joints) <= MAX_JOINTS:
        raise ValueError("its hierarchy is not closed" if open_ else f"its hierarchy has {len(joints)} joints")
    return joints


def _motion(text: str, channels: int) -> np.ndarray:
    """(T, channels)"""
    words = text.split()
    try:
        frames = int(words[words.index("Frames:") + 1])
        at = next(i for i in range(len(words) - 2) if words[i : i + 2] == ["Frame", "Time:"]) + 3
    except (ValueError, IndexError, StopIteration) as error:
        raise ValueError('below MOTION, "Frames: N" and "Frame Time: S" are expected') from error
    if not 0 < frames <= MAX_FRAMES or not channels:
        raise ValueError(f"it has {frames} frames with {channels} channels")
    if len(words) - at != frames * channels:
        raise ValueError(f"{len(words) - at:,} numbers below MOTION, expected {frames:,} frames of {channels} channels")
    return np.array([_float(word) for word in words[at:]]).reshape(frames, channels)


def _float(word: str) -> float:
    try:
        value = float(word.replace(",", "."))
    except ValueError:
        raise ValueError(f"{word!r:.40} stands where a number is expected") from None
    if not abs(value) < 1e9:
        raise ValueError(f"{word!r:.40} is out of range")
    return value


def _positions(joints: list[Joint], values: np.ndarray) -> np.ndarray:
    """(T, V, 3) in the unit of the file."""
    frames = len(values)
    if frames * len(joints) * 9 > MAX_VALUES:
        raise ValueError(f"{frames} frames of {len(joints)} joints are too much for one clip")
    turns = np.empty((len(joints), frames, 3, 3))
    places = np.empty((frames, len(joints), 3))
    for index, joint in enumerate(joints):
        own = np.broadcast_to(np.eye(3), (frames, 3, 3))
        move = np.tile(joint.offset, (frames, 1))
        for column, channel in enumerate(joint.channels, joint.column):
            axis = "XYZ".index(channel[0].upper())
            if channel.lower().endswith("position"):
                move[:, axis] = values[:, column]
            else:
                own = own @ _rotation(axis, np.radians(values[:, column]))
        if joint.parent < 0:
            turns[index], places[:, index] = own, move
        else:
            above = turns[joint.parent]
            turns[index] = above @ own
            places[:, index] = places[:, joint.parent] + np.einsum("tij,tj->ti", above, move)
    return places


def _rotation(axis: int, angle: np.ndarray) -> np.ndarray:
    """(T, 3, 3) around x, y or z."""
    turn = np.zeros((len(angle), 3, 3))
    a, b = (axis + 1) % 3, (axis + 2) % 3
    turn[:, axis, axis] = 1
    turn[:, a, a] = turn[:, b, b] = np.cos(angle)
    turn[:, b, a], turn[:, a, b] = np.sin(angle), -np.sin(angle)
    return turn


def _up(joints: list[Joint]) -> str:
    """The axis along which the head is above the root in the rest pose; y where there is no head."""
    at: list[np.ndarray] = []
    for joint in joints:
        at.append(joint.offset + (at[joint.parent] if joint.parent >= 0 else 0))
    head = next((i for i, joint in enumerate(joints) if "head" in joint_key(joint.name)), None)
    if head is None:
        return "y"
    above = at[head] - at[0]
    axis = int(np.abs(above).argmax())
    return f"{'-' if above[axis] < 0 else ''}{'xyz'[axis]}"
