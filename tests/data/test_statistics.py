import io
import pickle
import time

import numpy as np
import pytest
import torch

from stgcn_cli.data.findings import Findings
from stgcn_cli.data.splits import Split, open_stores
from stgcn_cli.data.statistics import describe, spreads
from stgcn_cli.data.store import Store
from tests.conftest import make_records


def split_of(path):
    store = open_stores([path])[0]
    return Split("all", store, np.arange(len(store)))


def written(folder, records):
    (folder / "x.pkl").write_bytes(pickle.dumps(records))
    return split_of(folder / "x.pkl")


def plain_spread(keypoint):
    """The definition, one frame of one person at a time."""
    frames = np.arange(8) * (keypoint.shape[1] - 1) // 7
    squares, count = 0.0, 0
    for person in keypoint:
        for frame in person[frames]:
            seen = frame[(frame != 0).any(-1)].astype(float)
            if len(seen):
                squares, count = squares + ((seen - seen.mean(0)) ** 2).sum(), count + len(seen)
    return np.sqrt(squares / count) if count else np.nan


def test_a_spread_is_the_distance_of_joints_that_are_seen_from_their_mean(tmp_path):
    records = make_records(5, persons=2)
    records[1]["keypoint"][:, :, 3] = 0
    records[2]["keypoint"][1] = 0
    records[3]["keypoint"][:] = 0
    split = written(tmp_path, records)
    wanted = [plain_spread(record["keypoint"]) for record in records]
    np.testing.assert_allclose(spreads(split.store, split.indices), wanted, rtol=1e-6)
    assert np.isnan(wanted[3])


def test_scores_are_no_coordinates_and_images_give_their_size(tmp_path):
    records = make_records(4, joints=17, img_shape=(200, 300))
    for record in records:
        record["keypoint"] = record["keypoint"][..., :2] + 100
        record["keypoint_score"] = np.full(record["keypoint"].shape[:3], 50, np.float32)
    told = describe(written(tmp_path, records))
    np.testing.assert_allclose(told["spread"][1], np.median([plain_spread(r["keypoint"]) for r in records]), rtol=1e-3)
    np.testing.assert_allclose(told["image_spread"], np.array(told["spread"]) / 200, rtol=1e-3)
    assert told["image_sizes"] == [[200, 300]]


def test_lengths_and_persons_are_those_of_the_split_alone(tmp_path):
    records = make_records(9, persons=2)
    split = written(tmp_path, records)
    part = Split("part", split.store, np.array([1, 4]))
    lengths = sorted(records[i]["total_frames"] for i in (1, 4))
    told = describe(part)
    assert told["clips"] == 2 and told["persons"] == 2 and told["image_sizes"] == []
    assert (told["frames"][0], told["frames"][-1]) == tuple(lengths)


def test_clips_without_anybody_have_no_spread(tmp_path):
    records = make_records(2)
    for record in records:
        record["keypoint"][:] = 0
    told = describe(written(tmp_path, records))
    assert "spread" not in told and told["persons"] == 0


def test_statistics_travel_in_a_checkpoint(tmp_path):
    told = describe(written(tmp_path, make_records(5, img_shape=(480, 640))))
    stream = io.BytesIO()
    torch.save({"trained_on": told}, stream)
    stream.seek(0)
    assert torch.load(stream, weights_only=True)["trained_on"] == told


def test_fifty_thousand_clips_take_less_than_two_seconds(tmp_path):
    clips, rows = 50_000, 400_001
    frames = np.random.default_rng(0).normal(size=(rows, 25, 3)).astype(np.float16)
    starts = np.stack([np.arange(clips) * 8 + 1, np.zeros(clips, int)], axis=1)
    sizes, lengths = np.zeros((clips, 2), int), np.full(clips, 8)
    store = Store(
        path=tmp_path, source=tmp_path, frames=frames, starts=starts, lengths=lengths, labels=lengths * 0, image_sizes=sizes,
        names=[], splits={}, has_splits=False, has_score=False, findings=Findings(""),
    )  # fmt: skip
    began = time.perf_counter()
    told = describe(Split("all", store, np.arange(clips)))
    assert time.perf_counter() - began < 2
    assert told["spread"][1] == pytest.approx(np.sqrt(3), rel=0.05)


def test_real_clips_are_as_large_as_people(shared):
    told = describe(split_of(shared / "data" / "uiprmd_2d_train.pkl"))
    assert 28 <= told["frames"][0] <= told["frames"][2] <= told["frames"][4] <= 179
    assert 30 < told["spread"][1] < 400  # pixels in a picture of 1080
    assert told["image_spread"][1] == pytest.approx(told["spread"][1] / 1080, rel=0.01)
