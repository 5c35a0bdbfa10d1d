"""Skeleton layouts: which joints a body has, which pairs are bones, which joint is its centre.

Joint indices are 0-based and follow the files of each data set. A bone (i, j) runs inward: j is the end nearer to the
centre. Source: the layouts of Yan et al. 2018 and MMAction2 0.24.1.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """One skeleton: `joints` names the V joints in file order, `bones` are index pairs, `centre` is a joint index."""

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    centre: int


NTU = Layout(
    "ntu",
    (
        "base of spine", "mid spine", "neck", "head", "left shoulder", "left elbow", "left wrist", "left hand",
        "right shoulder", "right elbow", "right wrist", "right hand", "left hip", "left knee", "left ankle",
        "left foot", "right hip", "right knee", "right ankle", "right foot", "spine", "left hand tip", "left thumb",
        "right hand tip", "right thumb",
    ),
    (
        (0, 1), (1, 20), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8), (10, 9), (11, 10),
        (12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18), (21, 22), (22, 7), (23, 24),
        (24, 11),
    ),
    centre=20,
)  # fmt: skip

COCO = Layout(
    "coco",
    (
        "nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow",
        "right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle",
        "right ankle",
    ),
    (
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (7, 5), (8, 6), (9, 7), (10, 8),
        (1, 2), (1, 0), (2, 0), (3, 1), (4, 2), (3, 5), (4, 6),
    ),
    centre=0,
)  # fmt: skip

OPENPOSE_18 = Layout(
    "openpose-18",
    (
        "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
        "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle", "right eye", "left eye",
        "right ear", "left ear",
    ),
    (
        (4, 3), (3, 2), (7, 6), (6, 5), (13, 12), (12, 11), (10, 9), (9, 8), (11, 5), (8, 2), (5, 1), (2, 1), (0, 1),
        (15, 0), (14, 0), (17, 15), (16, 14),
    ),
    centre=1,
)  # fmt: skip

OPENPOSE_25 = Layout(
    "openpose-25",
    (
        "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
        "mid hip", "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle", "right eye",
        "left eye", "right ear", "left ear", "left big toe", "left small toe", "left heel", "right big toe",
        "right small toe", "right heel",
    ),
    (
        (4, 3), (3, 2), (7, 6), (6, 5), (23, 22), (22, 11), (24, 11), (11, 10), (10, 9), (9, 8), (20, 19), (19, 14),
        (21, 14), (14, 13), (13, 12), (12, 8), (8, 1), (5, 1), (2, 1), (0, 1), (15, 0), (16, 0), (17, 15), (18, 16),
    ),
    centre=1,
)  # fmt: skip

LAYOUTS = {layout.name: layout for layout in (NTU, COCO, OPENPOSE_18, OPENPOSE_25)}
