"""A body of simple rules in Kinect's 25 joints: its bones are as short as a body's, so that it is taken for one."""

import numpy as np

KINECT_POSE = np.array([  # x right, y up, z away from the sensor, in metres; a person who faces the sensor
    (0, 0, 2.5), (0, 0.25, 2.5), (0, 0.6, 2.5), (0, 0.75, 2.5), (0.18, 0.48, 2.5), (0.25, 0.2, 2.5), (0.28, -0.03, 2.45),
    (0.29, -0.1, 2.45), (-0.18, 0.48, 2.5), (-0.25, 0.2, 2.5), (-0.28, -0.03, 2.45), (-0.29, -0.1, 2.45), (0.09, -0.03, 2.5),
    (0.1, -0.45, 2.5), (0.11, -0.85, 2.55), (0.12, -0.9, 2.43), (-0.09, -0.03, 2.5), (-0.1, -0.45, 2.5), (-0.11, -0.85, 2.55),
    (-0.12, -0.9, 2.43), (0, 0.5, 2.5), (0.3, -0.18, 2.45), (0.25, -0.12, 2.42), (-0.3, -0.18, 2.45), (-0.25, -0.12, 2.42),
], np.float32)  # fmt: skip


def kinect(frames: int = 12, persons: int = 1, seed: int = 0) -> np.ndarray:
    """(M, T, 25, 3) metres: people side by side who lift an arm, each at a pace of their own."""
    rng = np.random.default_rng(seed)
    x = np.tile(KINECT_POSE, (persons, frames, 1, 1))
    for person in range(persons):
        lift = np.sin(np.linspace(0, 3, frames) * (1 + rng.uniform()))[:, None]
        x[person, :, 5:8, 1] += 0.4 * lift
        x[person, ..., 0] += 0.9 * person
    return (x + rng.normal(0, 0.004, x.shape)).astype(np.float32)


def flat(frames: int = 12, joints: int = 17, size: tuple[int, int] = (720, 1280), seed: int = 0) -> np.ndarray:
    """(T, V, 2) pixels in an image of this height and width: joints at places of their own that sway."""
    rng = np.random.default_rng(seed)
    place = rng.uniform((0.3 * size[1], 0.2 * size[0]), (0.6 * size[1], 0.9 * size[0]), (joints, 2))
    sway = 12 * np.sin(np.linspace(0, 4, frames)[:, None, None] + rng.uniform(0, 6, (joints, 2)))
    return (place + sway).astype(np.float32)
