"""What PYSKL publishes of ST-GCN and ST-GCN++: top-1 accuracies by stream and of fused streams, and where the weights lie.

Facts only; source: its model pages (commit 3f6795f). Fusions add up probabilities: joint and bone 1 : 1, all four 2 : 2 : 1 : 1.
"""

from typing import NamedTuple

FOLDER = "pyskl/ckpt"  # below the base address
STREAMS = {"joint": "j", "bone": "b", "joint-motion": "jm", "bone-motion": "bm"}  # ours -> the name of the file


class System(NamedTuple):
    """One recipe on one split: percentages of the four streams, of two and of four fused."""

    preset: str
    folder: str  # below FOLDER
    streams: tuple[float, float, float, float]
    fused: tuple[float, float]


SYSTEMS = (
    System("ntu60-xsub-3d-uniform", "stgcn/stgcn_pyskl_ntu60_xsub_3dkp", (87.8, 88.6, 85.8, 86.2), (90.0, 90.7)),
    System("ntu60-xsub-2d-uniform", "stgcn/stgcn_pyskl_ntu60_xsub_hrnet", (89.0, 91.2, 86.7, 87.8), (92.0, 92.4)),
    System("ntu60-xsub-3d-stgcnpp", "stgcnpp/stgcnpp_ntu60_xsub_3dkp", (89.3, 90.1, 87.5, 87.3), (91.4, 92.1)),
    System("ntu60-xsub-2d-stgcnpp", "stgcnpp/stgcnpp_ntu60_xsub_hrnet", (89.3, 92.3, 84.0, 88.8), (92.8, 93.2)),
    System("ntu60-xsub-3d-stgcnpp-aug", "strong_aug/ntu60_xsub_3dkp", (90.3, 90.8, 88.3, 87.8), (92.2, 92.6)),
    System("ntu60-xview-3d-uniform", "stgcn/stgcn_pyskl_ntu60_xview_3dkp", (95.5, 95.0, 93.7, 92.8), (96.2, 96.5)),
    System("ntu60-xview-3d-stgcnpp", "stgcnpp/stgcnpp_ntu60_xview_3dkp", (95.6, 95.5, 94.3, 93.8), (96.7, 97.0)),
    System("ntu60-xview-3d-stgcnpp-aug", "strong_aug/ntu60_xview_3dkp", (96.6, 95.9, 95.1, 93.7), (97.1, 97.4)),
    System("ntu120-xsub-3d-uniform", "stgcn/stgcn_pyskl_ntu120_xsub_3dkp", (82.1, 83.7, 80.3, 80.6), (85.6, 86.2)),
    System("ntu120-xsub-3d-stgcnpp", "stgcnpp/stgcnpp_ntu120_xsub_3dkp", (83.2, 85.6, 80.4, 81.5), (87.0, 87.5)),
    System("ntu120-xsub-3d-stgcnpp-aug", "strong_aug/ntu120_xsub_3dkp", (84.3, 87.0, 82.2, 81.9), (88.2, 88.6)),
    System("ntu120-xset-3d-uniform", "stgcn/stgcn_pyskl_ntu120_xset_3dkp", (84.5, 85.8, 82.7, 83.0), (87.5, 88.4)),
    System("ntu120-xset-3d-stgcnpp", "stgcnpp/stgcnpp_ntu120_xset_3dkp", (85.6, 87.5, 84.3, 83.0), (89.1, 89.8)),
    System("ntu120-xset-3d-stgcnpp-aug", "strong_aug/ntu120_xset_3dkp", (86.7, 88.3, 85.1, 84.4), (90.1, 90.8)),
)
