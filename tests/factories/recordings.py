"""Recordings of persons who come and go, and a predictor without a network to ask about their windows."""

import json

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.data.clips import Clip
from stgcn_cli.evaluation.windows import timelines
from tests.factories import checkpoints


class Told:
    """A predictor without a network: the logits of a window follow from its mean, and calls are counted."""

    def __init__(self):
        self.preset = presets.load("ntu60-xsub-3d", checkpoints.SMALL)
        self.classes, self.calls = ["low", "middle", "high"], 0

    def answer(self, clips):
        self.calls += 1
        means = np.array([np.mean(clip.record["keypoint"]) for clip in clips])
        return np.stack([-means, 0 * means, means], 1).astype(np.float32), [None] * len(clips)

    def oddities(self, facts):
        return []


def recording(frames=83, persons=2, seed=0, joints=25):
    """(M, T, V, C) with persons who come and go."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (persons, frames, joints, 3)) + 4 * np.sin(np.arange(frames) / 9 + seed)[None, :, None, None]
    x[0, 30:70] = 0
    x[-1, :5] = 0
    x[:, 40] = 0
    return x.astype(np.float32)


def lines_of(x):
    """A line of JSON for each frame, ten a second."""
    for number, frame in enumerate(x.swapaxes(0, 1)):
        persons = [{"id": who, "keypoints": each.tolist()} for who, each in enumerate(frame) if each.any()]
        yield json.dumps({"t": number / 10, "persons": persons})


def whole(predictor, x, options):
    """The segments of each person, by windows of the whole recording."""
    clip = Clip(record={"frame_dir": "a", "keypoint": x, "total_frames": x.shape[1]}, source="a", raw=True)
    return {track.person: track.segments for track in timelines(predictor, [clip], options).tracks}
