"""Skeletons that files describe: lists of joint names and of the links between them (MMPose meta_info, COCO categories, BVH)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import LAYOUTS, MAX_JOINTS, Layout, joint_key
from stgcn_cli.data.readers.wide_columns import order_of
from stgcn_cli.io.text import one_line

_CENTRES = ("spine", "neck", "mid hip", "hip", "pelvis", "hips", "hip centre", "nose")  # middle joints, best first
_MAX_NAME = 100  # characters


def described(
    clip: dict[str, Any], names: Any, links: Any, called: Any, given: Layout | None, first: int = 0
) -> dict[str, Any]:
    """The clip with the skeleton that its file describes; without links in the order of the built-in one with such names.

    Raises ValueError where a skeleton has as many joints, but other names.
    """
    joints = _names(names)
    if joints is None or len(joints) != clip["keypoint"].shape[2]:
        return clip
    layout = layout_of(names, links, called if isinstance(called, str) else "own", first=first)
    if layout is None and not links:
        order, layout = order_of(joints, (clip["keypoint"].shape[3],), given)
        index = [joints.index(joint) for joint in order]
        clip |= {key: clip[key][:, :, index] for key in ("keypoint", "keypoint_score")}
    return clip if layout is None else clip | {"layout": layout}


def layout_of(names: Any, links: Any, called: str, up: str = "-y", first: int = 0) -> Layout | None:
    """The skeleton of these joint names and index pairs, which count from `first`; None where they do not make one.

    A built-in layout with the same names in the same order is preferred: it is known to presets and weights. The centre is a
    joint in the middle of the body by its name, else the one from which all others are near. Bones lead to it.
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
    hops = np.where(np.eye(len(joints)), 0, np.inf)
    hops[tuple(np.transpose(pairs + [(b, a) for a, b in pairs]))] = 1
    for joint in range(len(joints)):  # Floyd and Warshall
        hops = np.minimum(hops, hops[:, joint, None] + hops[joint])
    near = np.isfinite(hops)
    reach = np.where(near, hops, 0).max(axis=1) - len(joints) * near.sum(axis=1)
    centre = next((keys.index(name) for name in _CENTRES if name in keys), int(reach.argmin()))
    away = hops[centre]
    turned = [(a, b) if away[a] >= away[b] else (b, a) for a, b in pairs]
    bones = sorted(turned, key=lambda bone: away[bone[0]] == away[bone[1]])
    name = f"{one_line(called)[:_MAX_NAME].strip() or 'own'}-{len(joints)}".replace("/", "-")
    name = f"{name}-file" if name in LAYOUTS or name.endswith(".toml") else name
    return Layout(name, joints, tuple(bones), centre, up)


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
