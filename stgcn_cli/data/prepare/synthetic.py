"""Moving 25-joint skeletons of a few actions, written as NTU `.skeleton` texts: an input that needs no gated data.

Every subject has its own size, tempo, place before the camera and habits, so that the subjects kept for validation
ask for the movement, not for the person. Metres, Kinect camera coordinates (x right, y up, z away from the camera).
"""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stgcn_cli.io.files import atomic_write

Array = np.ndarray

# Rest pose: joint -> (parent, offset from it). A parent is before its children.
_POSE = {
    0: (0, (0.0, 0.0, 0.0)), 1: (0, (0.0, 0.28, 0.0)), 20: (1, (0.0, 0.24, 0.0)), 2: (20, (0.0, 0.08, 0.0)),
    3: (2, (0.0, 0.16, 0.0)), 4: (20, (-0.18, -0.03, 0.0)), 5: (4, (-0.04, -0.27, 0.0)), 6: (5, (-0.02, -0.25, 0.0)),
    7: (6, (0.0, -0.08, 0.0)), 21: (7, (0.0, -0.08, 0.0)), 22: (7, (0.04, -0.02, 0.0)), 8: (20, (0.18, -0.03, 0.0)),
    9: (8, (0.04, -0.27, 0.0)), 10: (9, (0.02, -0.25, 0.0)), 11: (10, (0.0, -0.08, 0.0)), 23: (11, (0.0, -0.08, 0.0)),
    24: (11, (-0.04, -0.02, 0.0)), 12: (0, (-0.09, -0.04, 0.0)), 13: (12, (0.0, -0.40, 0.0)),
    14: (13, (0.0, -0.39, 0.0)), 15: (14, (0.0, -0.06, -0.11)), 16: (0, (0.09, -0.04, 0.0)), 17: (16, (0.0, -0.40, 0.0)),
    18: (17, (0.0, -0.39, 0.0)), 19: (18, (0.0, -0.06, -0.11)),
}  # fmt: skip

# Joints whose turning an action uses. Angles are radians about x (to front) and z (to the side).
_LEFT_SHOULDER, _LEFT_ELBOW, _RIGHT_SHOULDER, _RIGHT_ELBOW = 4, 5, 8, 9
_LEFT_HIP, _LEFT_KNEE, _RIGHT_HIP, _RIGHT_KNEE = 12, 13, 16, 17

Turns = dict[tuple[int, str], Array]  # (joint, axis) -> angle per frame (T,)


def _wave_one(phase: Array) -> Turns:
    return {(_RIGHT_SHOULDER, "z"): np.full_like(phase, 2.2), (_RIGHT_ELBOW, "z"): 0.5 + 0.6 * np.sin(3 * phase)}


def _wave_both(phase: Array) -> Turns:
    return _wave_one(phase) | {
        (_LEFT_SHOULDER, "z"): np.full_like(phase, -2.2),
        (_LEFT_ELBOW, "z"): -0.5 - 0.6 * np.sin(3 * phase),
    }


def _kick(phase: Array) -> Turns:
    swing = np.clip(np.sin(phase), 0, None)
    return {(_RIGHT_HIP, "x"): 1.1 * swing, (_RIGHT_KNEE, "x"): -0.5 * np.clip(np.sin(phase + 0.8), 0, None)}


def _squat(phase: Array) -> Turns:
    bend = 0.5 - 0.5 * np.cos(phase)
    hips = {(hip, "x"): 1.2 * bend for hip in (_LEFT_HIP, _RIGHT_HIP)}
    return hips | {(knee, "x"): -2.0 * bend for knee in (_LEFT_KNEE, _RIGHT_KNEE)}


def _turn_around(phase: Array) -> Turns:
    return {(0, "y"): phase / 2}


ACTIONS: tuple[Callable[[Array], Turns], ...] = (_wave_one, _wave_both, _kick, _squat, _turn_around)


def write_zip(path: Path, subjects: tuple[int, ...], repetitions: int, seed: int = 0) -> int:
    """Write a zip of `.skeleton` texts, one for every action, subject and repetition; returns how many.

    The same seed gives the same clips. Raises RunError when the file cannot be written.
    """
    count = 0
    with atomic_write(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for subject in subjects:
            for action in range(len(ACTIONS)):
                for repetition in range(1, repetitions + 1):
                    rng = np.random.default_rng([seed, subject, action, repetition])
                    name = f"S001C001P{subject:03d}R{repetition:03d}A{action + 1:03d}.skeleton"
                    archive.writestr(f"demo_skeletons/{name}", skeleton_text(clip(action, subject, rng)))
                    count += 1
    return count


def clip(action: int, subject: int, rng: np.random.Generator) -> Array:
    """Joint positions (T, 25, 3) in metres of one performance of ACTIONS[action]."""
    body = np.random.default_rng(subject)  # what stays the same for a subject
    size, tempo, facing = body.uniform(0.85, 1.15), body.uniform(0.8, 1.25), body.uniform(-0.5, 0.5)
    frames = int(rng.integers(32, 56))
    phase = 2 * np.pi * tempo * rng.uniform(0.9, 1.1) * np.arange(frames) / 32 + rng.uniform(-0.4, 0.4)
    turns = ACTIONS[action](phase)
    idle = {(joint, "x"): rng.normal(0, 0.08) + 0.05 * np.sin(phase + joint) for joint in (4, 5, 8, 9, 12, 16)}
    for key, angle in idle.items():
        turns[key] = turns.get(key, np.zeros(frames)) + angle
    turns[0, "y"] = turns.get((0, "y"), np.zeros(frames)) + facing
    joints = size * _move(turns, frames) + rng.normal(0, 0.008, (frames, 25, 3))
    joints[..., 1] -= joints[..., 1].min(axis=1, keepdims=True) + 0.9  # feet on the floor, the camera 0.9 m above it
    return joints + np.array([body.uniform(-0.4, 0.4), 0.0, body.uniform(2.4, 3.4)])


def _move(turns: Turns, frames: int) -> Array:
    """(T, 25, 3): the rest pose with every joint turned against its parent."""
    positions, frames_of = np.zeros((frames, 25, 3)), np.zeros((25, frames, 3, 3))
    for joint, (parent, offset) in _POSE.items():
        turned = np.broadcast_to(np.eye(3), (frames, 3, 3)) if joint == parent else frames_of[parent]
        positions[:, joint] = positions[:, parent] + turned @ np.array(offset)
        for axis in "yxz":
            if (joint, axis) in turns:
                turned = turned @ _rotation(axis, turns[joint, axis])
        frames_of[joint] = turned
    return positions


def _rotation(axis: str, angle: Array) -> Array:
    """(T, 3, 3) matrices about a coordinate axis."""
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.broadcast_to(np.eye(3), (len(angle), 3, 3)).copy()
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix[:, i, i], matrix[:, i, j], matrix[:, j, i], matrix[:, j, j] = cos, -sin, sin, cos
    return matrix


def skeleton_text(joints: Array) -> str:
    """One person's joints (T, 25, 3) as an NTU `.skeleton` text; columns other than x y z are zeros."""
    text = io.StringIO()
    text.write(f"{len(joints)}\n")
    for frame in joints:
        text.write("1\n72057594037927936 0 1 1 1 1 0 0 0 2\n25\n")
        text.writelines(f"{x:.7f} {y:.7f} {z:.7f} 0 0 0 0 0 0 0 0 2\n" for x, y, z in frame)
    return text.getvalue()
