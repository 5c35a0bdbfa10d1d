"""Raw bodies -> the clip a network sees: the two bodies that move most, then centred and turned to face the camera.

Follows MMAction2 0.24.1 (`gen_ntu_rgbd_raw.py`) to the bit, except that clips longer than 300 frames are kept whole. A body
or frame is "empty" when the float32 sum of its coordinates is exactly 0, as there. One pass over whole arrays, any source.

Shapes: M bodies, T frames, V joints, C = 3. Inside, channels come first (C T V), so that each axis is one run of memory.
"""

import math

import numpy as np

_MIDDLE = 1  # the joint every frame is centred on: mid spine
_SPINE = (0, 1)  # turned to +z
_SHOULDERS = (4, 8)  # left to right, turned to +x
_Z, _X = 2, 0
_TINY = 1e-6
_CANDIDATES = 4  # the reference always ranks four bodies, absent ones with motion 0


def choose_two(bodies_MTVC: np.ndarray) -> np.ndarray:
    """(2, T, V, 3) float32: the two of at most four bodies (M, T, V, 3) with the most motion, the one with more motion first.

    Motion is the sum over x, y, z of the standard deviation over the frames where the body is not empty, in the
    precision given. Of equals, the one later in the frame is first. A missing body is zeros.
    """
    bodies_MCTV = bodies_MTVC.transpose(0, 3, 1, 2)
    motion = np.zeros(_CANDIDATES)
    motion[: len(bodies_MCTV)] = [_motion(body) for body in bodies_MCTV]
    two_CMTV = np.zeros((3, 2, *bodies_MTVC.shape[1:3]), np.float32)
    for place, body in enumerate(motion.argsort(kind="stable")[::-1][:2]):
        if body < len(bodies_MCTV):
            two_CMTV[:, place] = bodies_MCTV[body]
    return two_CMTV.transpose(1, 2, 3, 0)


def _motion(body_CTV: np.ndarray) -> float:
    present = _sum_joints(body_CTV).sum(-1) != 0
    frames = body_CTV if present.all() else body_CTV[:, present]
    return frames.reshape(3, -1).std(axis=1).sum() if present.any() else 0.0


def pre_normalise(bodies_MTVC: np.ndarray) -> np.ndarray:
    """(M, T, V, 3) float32, contiguous: gaps closed, centred on the first body's mid spine, spine up, shoulders level.

    Takes any number of bodies (M, T, V, 3); the first one determines the transform of the others. A clip without persons stays zeros.
    """
    bodies_MCTV = bodies_MTVC.transpose(0, 3, 1, 2).astype(np.float32, order="C")  # a copy
    bodies = [body for body in bodies_MCTV if body.any()]  # zeros would stay zeros
    for body in bodies:
        _close_gaps(body)
    centre_CT1 = bodies_MCTV[0, :, :, _MIDDLE, None].copy()
    for body in bodies:
        _centre(body, centre_CT1)
    for (start, end), axis in ((_SPINE, _Z), (_SHOULDERS, _X)):
        matrix = turn_onto(bodies_MCTV[0, :, 0, end] - bodies_MCTV[0, :, 0, start], axis)
        for body in bodies:
            _apply(matrix, body)
    return np.ascontiguousarray(bodies_MCTV.transpose(0, 2, 3, 1))


def _sum_joints(body_CTV: np.ndarray) -> np.ndarray:
    """(T, V): x + y + z of each joint, added in this order."""
    return body_CTV[0] + body_CTV[1] + body_CTV[2]


def _sum_frames(body_CTV: np.ndarray) -> np.ndarray:
    """(T,): the sum of each frame, joints first: the order decides whether float32 cancels to exactly 0."""
    return _sum_joints(body_CTV.sum(-1, keepdims=True))[:, 0]


def _close_gaps(body_CTV: np.ndarray) -> None:
    """Move a body that appears late to the start of the clip; repeat it from where it disappears for good."""
    sums, frames = _sum_frames(body_CTV), body_CTV.shape[1]
    if sums.sum() == 0:
        return
    if sums[0] == 0:
        shown = body_CTV[:, _sum_joints(body_CTV).sum(-1) != 0]
        body_CTV[:] = 0
        body_CTV[:, : shown.shape[1]] = shown
        sums = _sum_frames(body_CTV)
    filled = np.flatnonzero(sums)
    end = filled[-1] + 1 if len(filled) else frames
    if end < frames:
        body_CTV[:, end:] = body_CTV[:, np.arange(end, frames) % end]


def _centre(body_CTV: np.ndarray, centre_CT1: np.ndarray) -> None:
    """Subtract the frame's centre from every joint, except where the coordinates sum to 0, which means "not seen"."""
    sums = _sum_joints(body_CTV)
    if sums.sum() != 0:
        body_CTV -= centre_CT1
        body_CTV *= sums != 0


def turn_onto(bone: np.ndarray, axis: int) -> np.ndarray:
    """(3, 3) float64 matrix that turns a float32 bone onto a coordinate axis; identity where there is nothing to turn.

    A bone exactly against the axis is not turned either: the reference finds no plane to turn it in.
    """
    if np.abs(bone).sum() < _TINY:
        return np.eye(3)
    unit = bone / np.linalg.norm(bone)  # in float32, as in the reference
    angle = math.acos(min(1.0, max(-1.0, float(unit[axis]))))
    normal = np.zeros(3)  # the cross product of the bone with the axis
    normal[axis - 2], normal[axis - 1] = bone[axis - 1], -bone[axis - 2]
    if np.abs(normal).sum() < _TINY or angle < _TINY:
        return np.eye(3)
    return _rotation(normal, angle)


def _rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """(3, 3) matrix of the rotation by `angle` radians, counter-clockwise around `axis` (Euler-Rodrigues formula)."""
    a = math.cos(angle / 2)
    b, c, d = (-axis / math.sqrt(axis @ axis) * math.sin(angle / 2)).tolist()
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c + a * d), 2 * (b * d - a * c)],
            [2 * (b * c - a * d), a * a + c * c - b * b - d * d, 2 * (c * d + a * b)],
            [2 * (b * d + a * c), 2 * (c * d - a * b), a * a + d * d - b * b - c * c],
        ]
    )


def _apply(matrix: np.ndarray, body_CTV: np.ndarray) -> None:
    """Turn the joints of all frames that are not empty; float64 inside, rounded to the body's float32 at the end."""
    sums = _sum_frames(body_CTV)
    if sums.sum() == 0:
        return
    turned = (matrix @ body_CTV.reshape(3, -1)).reshape(body_CTV.shape)  # fuses multiply and add, like the reference
    np.copyto(body_CTV, turned, where=(sums != 0)[:, None], casting="same_kind")
