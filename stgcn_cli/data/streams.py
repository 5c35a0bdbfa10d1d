"""What a network sees of a skeleton: joints, bones, or how either moves. Pure functions of a batch, on its device.

Shapes: V joints, C channels; x (..., V, C). With `has_score` the third channel is the score of a keypoint.
Source: Shi et al. 2019 (two-stream AGCN); MMAction2 0.24.1 and PYSKL define the same bones.
"""

from torch import Tensor

from stgcn_cli.config.skeletons import Layout

# Trees that are not those of the layout's bones: the published ones of layouts whose graph is no tree or has another root.
_PARENTS = {
    "coco": (0, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 0, 0, 11, 12, 13, 14),
    "openpose-18": (0, 0, 1, 2, 3, 1, 5, 6, 2, 8, 9, 5, 11, 12, 0, 0, 14, 15),
}


def parents(layout: Layout) -> tuple[int, ...]:
    """The joint that the bone of each joint comes from; the joint itself where it has none (the centre)."""
    inward = dict(reversed(layout.bones))  # of several bones the first one counts
    return _PARENTS.get(layout.name) or tuple(inward.get(joint, joint) for joint in range(len(layout.joints)))


def bone(x: Tensor, parent: Tensor, has_score: bool) -> Tensor:
    """Joint minus parent, in float32 as in the references; the score is the mean of both. `parent` holds V indices."""
    inner = x[..., parent, :]
    y = x - inner
    if has_score:
        y[..., 2] = (x[..., 2] + inner[..., 2]) / 2
    return y.float()


def motion(x: Tensor, after: Tensor, last: Tensor, has_score: bool) -> Tensor:
    """The next frame minus this one; the score is the mean of both. Zeros in the `last` frame of a clip.

    `after` holds the frames that follow those of x; `last` (...) is true where none does.
    """
    y = after - x
    if has_score:
        y[..., 2] = (after[..., 2] + x[..., 2]) / 2
    return y.masked_fill_(last[..., None, None], 0)


def moves(stream: str) -> bool:
    """Whether the stream needs the following frames."""
    return stream.endswith("motion")


def stream_of(stream: str, x: Tensor, after: Tensor, last: Tensor, parent: Tensor, has_score: bool) -> Tensor:
    """One of STREAMS of joints x (..., V, C); `after` and `last` count only where `moves`."""
    if stream.startswith("bone"):
        x = bone(x, parent, has_score)
    if not moves(stream):
        return x
    return motion(x, bone(after, parent, has_score) if stream.startswith("bone") else after, last, has_score)
