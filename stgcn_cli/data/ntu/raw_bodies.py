"""NTU `.skeleton` text -> raw coordinates in the camera's frame, with PYSKL's choice of bodies.

Shapes: M bodies (1 or 2), T frames, V = 25 joints. Bodies are followed by their id. Source: PYSKL's reader of NTU RGB+D.
"""

from dataclasses import dataclass

import numpy as np

from stgcn_cli.data.ntu.parser import read_skeleton
from stgcn_cli.data.ntu.strict_parser import BODY_WORDS, JOINT_WORDS, JOINTS
from stgcn_cli.errors import DataError

_FEW_FRAMES = 11  # a body with no more of them is noise
_WIDE, _MOST_WIDE = 0.8, 0.69754  # x-spread over y-spread of an odd frame; share of odd frames of an odd body
_EMPTY = 1e-3  # sum of absolute x in a frame without a body


@dataclass
class _Body:
    """Frames (N,) of one id, its joints (N, V, 3) there, and its motion."""

    frames: np.ndarray
    xyz: np.ndarray
    motion: float


def read_raw(text: bytes) -> np.ndarray:
    """(M, T, 25, 3) float16. Raises DataError as `read_skeleton` does, and where no body is left."""
    read_skeleton(text)  # every error of the text is found there
    bodies, frames = _bodies(text)
    if not bodies:
        raise DataError("it has no bodies")
    if len(bodies) == 1:
        return bodies[0].xyz[None].astype(np.float16)
    rows = _in_rows(sorted(_without_noise(bodies), key=lambda body: -body.motion), frames)
    return _trimmed(rows).astype(np.float16)


def _bodies(text: bytes) -> tuple[list[_Body], int]:
    """Bodies by id in order of appearance; frames without any are left out, and later ones move up."""
    words, at, frame = text.split(), 1, 0
    found: dict[bytes, tuple[list[int], list[list[float]]]] = {}
    for _ in range(int(words[0])):
        count, at = int(words[at]), at + 1
        for _ in range(count):
            places, joints = found.setdefault(words[at], ([], []))
            at += BODY_WORDS + 1
            places.append(frame)
            joints.append([float(words[at + j * JOINT_WORDS + axis]) for j in range(JOINTS) for axis in range(3)])
            at += JOINTS * JOINT_WORDS
        frame += count > 0
    bodies = []
    for places, joints in found.values():
        xyz = np.array(joints, np.float32).reshape(-1, JOINTS, 3)
        bodies.append(_Body(np.array(places), xyz, _motion(xyz)))
    return bodies, frame


def _motion(xyz: np.ndarray) -> float:
    return float(xyz.reshape(-1, 3).var(axis=0).sum())


def _without_noise(bodies: list[_Body]) -> list[_Body]:
    """Bodies that are seen long enough and are mostly taller than wide. Raises DataError where none is left."""
    kept = []
    for body in bodies:
        if len(body.frames) <= _FEW_FRAMES:
            continue
        spread = np.ptp(body.xyz, axis=1)
        good = spread[:, 0] <= _WIDE * spread[:, 1]
        if 1 - good.mean() >= _MOST_WIDE:
            continue
        motion = min(body.motion, _motion(body.xyz[good])) if not good.all() else body.motion
        kept.append(_Body(body.frames, body.xyz, motion))
    if not kept:
        raise DataError("all of its bodies are too short or too wide to be persons")
    return kept


def _in_rows(bodies: list[_Body], frames: int) -> np.ndarray:
    """(M, T, 25, 3): each body in the first of two rows whose span it does not meet; else it is lost."""
    rows = np.zeros((2, frames, JOINTS, 3), np.float32)
    spans: list[tuple[int, int] | None] = [None, None]
    for body in bodies:
        start, end = int(body.frames[0]), int(body.frames[-1])
        for row, span in enumerate(spans):
            if span is None or end < span[0] or start > span[1]:
                rows[row, start : start + len(body.xyz)] = body.xyz  # gaps are closed
                spans[row] = (start, end) if span is None else (min(start, span[0]), max(end, span[1]))
                break
    return rows[:1] if len(bodies) == 1 else rows


def _trimmed(rows: np.ndarray) -> np.ndarray:
    """Without the frames at both ends that have no person; the person that begins the clip comes first."""
    if len(rows) == 1:
        return rows
    shown = np.flatnonzero(np.abs(rows[..., 0]).sum((0, 2)) >= _EMPTY)
    rows = rows[:, shown[0] : shown[-1] + 1]
    empty = [not rows[row, 0, 1].any() for row in range(2)]
    return rows[::-1] if empty == [True, False] else rows
