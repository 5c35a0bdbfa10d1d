import pickle

import numpy as np
import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.config.choices import STREAMS
from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.data import streams
from stgcn_cli.data.loader import Clips
from stgcn_cli.data.splits import Split, open_stores
from tests.conftest import make_records

SHORT = dict(zip(("j", "b", "jm", "bm"), STREAMS, strict=True))
PARENTS = {
    "nturgb+d": streams.parents(LAYOUTS["ntu"]),
    "coco": streams.parents(LAYOUTS["coco"]),
    "openpose": streams.parents(LAYOUTS["openpose-18"]),
    "handmp": tuple(0 if joint % 4 == 1 else max(0, joint - 1) for joint in range(21)),
}


def whole_clip(stream, x, layout, has_score):
    """The stream of all frames of x (M, T, V, C)."""
    x = torch.tensor(x)
    after, last = torch.cat([x[:, 1:], x[:, -1:]], 1), torch.zeros(x.shape[:2], dtype=torch.bool)
    last[:, -1] = True
    return streams.stream_of(stream, x, after, last, torch.tensor(PARENTS[layout]), has_score).float().numpy()


@pytest.mark.parametrize(("name", "layout"), [("out_3d", "nturgb+d"), ("out_2d", "coco")])
def test_streams_of_real_clips_are_the_references_to_the_bit(shared, name, layout):
    with np.load(shared / "golden" / "pyskl" / "streams" / f"{name}.npz") as stored:
        cases = [key.split("|") for key in stored.files if key.rpartition("|")[2] in SHORT]
        assert len(cases) >= 20
        for clip, short in cases:
            x, wanted = stored[f"{clip}|prenorm"], stored[f"{clip}|{short}"][0]
            got = whole_clip(SHORT[short], x, layout, has_score=layout == "coco" and x.shape[-1] == 3)
            np.testing.assert_array_equal(got[:2], wanted[: len(got)], f"{clip} {short}")


def test_bones_of_every_layout_are_the_references_to_the_bit(shared):
    with np.load(shared / "golden" / "pyskl" / "streams" / "bones.npz") as stored:
        for key in stored.files:
            layout, channels, short = key.split("|")
            if (layout, channels) == ("handmp", "3") and short != "b":
                continue  # the reference subtracts the scores of hands in its motion streams, and of nothing else
            joints = stored[key].shape[2]
            x = np.random.default_rng(31 + joints + int(channels)).normal(size=(1, 4, joints, int(channels)))
            has_score = channels == "3" and layout != "nturgb+d"
            got = whole_clip(SHORT[short], x.astype(np.float32), layout, has_score)
            np.testing.assert_array_equal(got, stored[key], key)


def test_motion_is_that_of_the_stored_clip_before_its_frames_are_looped(tmp_path):
    records = make_records(2)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(records))
    store = open_stores([tmp_path / "x.pkl"])[0]
    preset = presets.load("ntu60-xsub-3d", ["data.clip_len=20", "data.stream=bone-motion"])
    clips = Clips.of(Split("all", store, np.arange(2)), preset, torch.device("cpu"))
    x, _ = clips.batch(torch.arange(2))
    for got, record in zip(x, records, strict=True):
        joints, frames = record["keypoint"][0], record["total_frames"]
        bones = joints - joints[:, list(PARENTS["nturgb+d"])]
        moved = np.concatenate([np.diff(bones, axis=0), np.zeros_like(bones[:1])])
        np.testing.assert_array_equal(got[..., 0].permute(1, 2, 0), moved[np.arange(20) % frames])
        assert not got[..., 1].any()
