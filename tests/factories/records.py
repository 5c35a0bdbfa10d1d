"""2-D annotation records for tests, as MMAction2 publishes them."""

import pickle
from pathlib import Path

import numpy as np


def records_2d(count: int, first: int = 0, seed: int = 0) -> list[dict]:
    """Records of 1 or 2 persons: float16, pixels, scores."""
    rng = np.random.default_rng(seed + first)
    return [
        {
            "frame_dir": f"S001C001P{i // 60 + 1:03d}R001A{i % 60 + 1:03d}",
            "label": i % 60,
            "img_shape": (1080, 1920),
            "original_shape": (1080, 1920),
            "total_frames": 3 + i % 4,
            "keypoint": rng.uniform(0, 1000, (1 + i % 2, 3 + i % 4, 17, 2)).astype(np.float16),
            "keypoint_score": rng.uniform(0, 1, (1 + i % 2, 3 + i % 4, 17)).astype(np.float16),
        }
        for i in range(first, first + count)
    ]


def write_pickle(path: Path, value: object) -> Path:
    """`value` as a pickle, in a folder that is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=4))
    return path
