"""Skeletons that files describe: lists of joint names and of the links between them (MMPose meta_info, COCO categories, BVH)."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from stgcn_cli.config.skeletons import LAYOUTS, MAX_JOINTS, Layout, joint_key
from stgcn_cli.io.text import one_line

# Names of middle joints, best first.
_CENTRES = ("spine", "neck", "mid hip", "hip", "pelvis", "hips", "hip centre", "nose")
_MAX_NAME = 100  # characters


def layout_of(names: Any, links: Any, called: str, up: str = "-y", first: int = 0) -> Layout | None:
    """The skeleton of these joint names and index pairs, which count from `first`; None where they do not make one.

    A built-in layout with the same names in the same order is preferred: it is known to presets and weights.
    """
    joints = _names(names)
    if joints is None:
        return None
    keys = [joint_key(joint) for joint in joints]
    for layout in LAYOUTS.values():
        if keys == [joint_key(joint) for joint in layout.joints]:
            return layout
    pairs = _links(links, len(joints), first)
    if pairs is None:
        return None
    centre = _centre(keys, pairs)
    name = f"{one_line(called)[:_MAX_NAME].strip() or 'own'}-{len(joints)}".replace("/", "-")
    name = f"{name}-file" if name in LAYOUTS or name.endswith(".toml") else name
    return Layout(name, joints, _inward(pairs, centre, len(joints)), centre, up)


def _names(value: Any) -> tuple[str, ...] | None:
    """Names of joints as a list, or a mapping from index to name."""
    if isinstance(value, Mapping):
        value = [value.get(str(index), value.get(index)) for index in range(len(value))]
    if not isinstance(value, list | tuple) or not 1 < len(value) <= MAX_JOINTS:
        return None
    names = tuple(one_line(name)[:_MAX_NAME] if isinstance(name, str) else "" for name in value)
    return names if all(names) and len(set(names)) == len(names) else None


def _links(value: Any, joints: int, first: int) -> list[tuple[int, int]] | None:
    if not isinstance(value, list | tuple):
        return None
    pairs = []
    for link in value:
        if not isinstance(link, list | tuple) or len(link) != 2 or not all(type(end) is int for end in link):
            return None
        a, b = link[0] - first, link[1] - first
        if not (0 <= a < joints and 0 <= b < joints):
            return None
        if a != b and (a, b) not in pairs and (b, a) not in pairs:
            pairs.append((a, b))
    return pairs or None


def _neighbours(pairs: Sequence[tuple[int, int]], joints: int) -> list[list[int]]:
    near: list[list[int]] = [[] for _ in range(joints)]
    for a, b in pairs:
        near[a].append(b)
        near[b].append(a)
    return near


def _hops(near: list[list[int]], start: int) -> dict[int, int]:
    """How many links each joint that can be reached is away."""
    away, queue = {start: 0}, deque([start])
    while queue:
        joint = queue.popleft()
        for other in near[joint]:
            if other not in away:
                away[other] = away[joint] + 1
                queue.append(other)
    return away


def _centre(keys: Sequence[str], pairs: Sequence[tuple[int, int]]) -> int:
    """A joint in the middle of the body by its name, else the one from which all others are near."""
    for name in _CENTRES:
        if name in keys:
            return keys.index(name)
    near = _neighbours(pairs, len(keys))
    reach = [_hops(near, joint) for joint in range(len(keys))]
    return min(range(len(keys)), key=lambda joint: (-len(reach[joint]), max(reach[joint].values())))


def _inward(pairs: Sequence[tuple[int, int]], centre: int, joints: int) -> tuple[tuple[int, int], ...]:
    """Bones as (joint, its neighbour nearer to the centre); of a joint with several the first leads to the centre."""
    away = _hops(_neighbours(pairs, joints), centre)
    far = [joints] * joints
    turned = [(a, b) if away.get(a, far[a]) >= away.get(b, far[b]) else (b, a) for a, b in pairs]
    return tuple(sorted(turned, key=lambda bone: away.get(bone[0], 0) == away.get(bone[1], 0)))
