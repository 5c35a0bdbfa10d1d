import hashlib
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.data import loader
from stgcn_cli.data.draws import epoch_order, shard
from stgcn_cli.data.loader import Clips
from stgcn_cli.data.splits import Split, open_stores
from stgcn_cli.diagnostics import bench
from tests.conftest import make_records


def clips_of(path, preset, settings=()):
    store = open_stores([path])[0]
    split = Split("all", store, np.arange(len(store)))
    return Clips.of(split, presets.load(preset, settings), torch.device("cpu"))


@pytest.mark.parametrize(
    ("preset", "inputs", "outputs"),
    [
        ("ntu60-xsub-3d", "ntu3d", "ntu60_xsub_keypoint_3d"),
        ("ntu60-xsub-2d", "ntu2d", "ntu60_xsub_keypoint"),
        ("babel60", "babel", "babel60"),
        ("babel60-wfl", "babel", "babel60_wfl"),
        ("babel120", "babel", "babel120"),
        ("babel120-wfl", "babel", "babel120_wfl"),
    ],
)
def test_network_input_equals_the_reference_to_the_bit(shared, preset, inputs, outputs):
    clips = clips_of(shared / "golden" / "batches" / f"in_{inputs}.pkl", preset)
    with np.load(shared / "golden" / "batches" / f"out_stgcn_80e_{outputs}.npz") as wanted:
        assert len(clips) == len(wanted.files)
        for index in range(len(clips)):
            x, _ = clips.batch(torch.tensor([index]))
            np.testing.assert_array_equal(x[0].numpy(), wanted[f"{index:02d}"])


def test_network_input_equals_that_in_the_checkout_to_the_bit(golden, tmp_path):
    with np.load(golden / "batches" / "ntu60-3d.npz") as stored:
        keys = sorted({name.partition("|")[0] for name in stored.files})
        records = [{"frame_dir": key, "label": 0, "total_frames": int(stored[f"{key}|total_frames"]),
                    "keypoint": stored[f"{key}|keypoint"]} for key in keys]  # fmt: skip
        wanted = [str(stored[f"{key}|sha256"]) for key in keys]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(records))
    x, _ = clips_of(tmp_path / "x.pkl", "ntu60-xsub-3d").batch(torch.arange(len(keys)))
    assert x.dtype == torch.float32 and x.shape == (len(keys), 3, 300, 25, 2)
    assert [hashlib.sha256(clip.contiguous().numpy().tobytes()).hexdigest() for clip in x] == wanted


def plain_clip(keypoint, total, clip_len, persons):
    """The rule in REFERENCE words: loop, cut, pad with zero persons; (C, T, V, M)."""
    x = keypoint[:, np.arange(clip_len) % total].astype(np.float32)
    missing = np.zeros((max(0, persons - len(x)), *x.shape[1:]), np.float32)
    return np.concatenate([x, missing])[:persons].transpose(3, 1, 2, 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("persons", [1, 2, 3])
def test_clips_loop_are_cut_and_padded(tmp_path, dtype, persons):
    records = make_records(6, persons=persons)
    for record in records:
        record["keypoint"] = record["keypoint"].astype(dtype)
        record["total_frames"] -= 2
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(records))
    clips = clips_of(tmp_path / "x.pkl", "ntu60-xsub-3d", ["data.clip_len=20"])
    x, labels = clips.batch(torch.arange(6))
    assert labels.tolist() == [record["label"] for record in records]
    for got, record in zip(x, records, strict=True):
        np.testing.assert_array_equal(got.numpy(), plain_clip(record["keypoint"], record["total_frames"], 20, 2))


def test_own_data_can_be_normalised_by_their_own_image_size(tmp_path):
    records = make_records(1, joints=17, img_shape=(480, 640))
    records[0]["keypoint"] = np.full((1, 4, 17, 2), (320.0, 480.0), np.float32)
    records[0]["keypoint_score"] = np.ones((1, 4, 17), np.float32)
    records[0]["total_frames"] = 4
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(records))
    x, _ = clips_of(tmp_path / "x.pkl", "ntu60-xsub-2d", ["data.image_size=record"]).batch(torch.tensor([0]))
    assert x[0, :, 0, 0, 0].tolist() == [0.0, 0.5, 0.5]
    assert x[0, :, 0, 0, 1].tolist() == [-0.5, -0.5, -0.5]  # a missing person


def test_the_order_is_a_pure_function_of_seed_and_epoch():
    assert epoch_order(9, 0, 1).tolist() == epoch_order(9, 1, 0).tolist() != epoch_order(9, 0, 0).tolist()
    assert sorted(epoch_order(9, 3, 4, passes=5).tolist()) == list(range(9 * 5))


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_each_clip_is_seen_once_by_all_ranks_together(world):
    order = epoch_order(10, 0, 0)
    seen = torch.cat([shard(order, rank, world) for rank in range(world)]).tolist()
    assert set(seen) == set(range(10))
    assert len(seen) == -(-10 // world) * world  # up to world-1 clips repeat, as in the reference
    assert len({len(shard(order, rank, world)) for rank in range(world)}) == 1


def test_frames_that_do_not_fit_on_a_gpu_are_gathered_into_memory_to_copy_from(monkeypatch):
    monkeypatch.setattr(loader, "_PINS", False)
    frames, rows = torch.arange(60.0).view(10, 3, 2), torch.tensor([[[0, 9], [4, 4]]])
    assert torch.equal(loader.rows_in_pinned_memory(frames, rows), frames[rows])


def test_splits_of_a_store_share_its_frames_on_a_device():
    preset = presets.load("ntu60-xsub-3d", ["data.clip_len=4"])
    split = bench.split_of(preset, 4)
    train, val = (
        loader.Clips.of(replace(split, indices=split.indices[half]), preset, torch.device("cpu"))
        for half in ([0, 1], [2, 3])
    )
    first, second = (each.moved(torch.device("meta")) for each in (train, val))
    assert first.frames.is_meta and first.frames is second.frames and first.starts is not second.starts
