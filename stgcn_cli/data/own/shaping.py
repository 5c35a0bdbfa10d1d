"""What the arrays of one record are, and the small changes that make it like the others."""

from typing import Any

import numpy as np

from stgcn_cli.data.own.fitting import Shape, words

KINECT = (25, 3)  # joints, coordinates
_CENTRED = 1e-3  # metres from the middle joint to zero in clips that have been normalised


def shape_of(record: dict[str, Any]) -> Shape:
    """Joints, coordinates, and whether there is a score."""
    joints, values = record["keypoint"].shape[2:]
    return joints, values, record.get("keypoint_score") is not None


def is_centred(record: dict[str, Any]) -> bool:
    """Whether the middle joint of a Kinect's first body is at zero throughout, as it is in prepared clips."""
    return record["keypoint"].shape[2:] == KINECT and bool((np.abs(record["keypoint"][0, :, 1]) < _CENTRED).all())


def with_score(record: dict[str, Any]) -> dict[str, Any]:
    """The third value of each joint becomes its score."""
    keypoint = record["keypoint"]
    if keypoint.shape[3] != 3 or record.get("keypoint_score") is not None:
        raise ValueError(f"it has {words(shape_of(record))}; --score-last is for x, y, score")
    return record | {
        "keypoint": np.ascontiguousarray(keypoint[..., :2]),
        "keypoint_score": np.ascontiguousarray(keypoint[..., 2]),
    }


def with_size(record: dict[str, Any], given: tuple[int, int] | None) -> dict[str, Any]:
    """The image size under both names MMAction2 knows; the one the user gives is for records that do not tell theirs."""
    size = record.get("img_shape") or given
    return record | {"img_shape": size, "original_shape": record.get("original_shape") or size} if size else record
