"""Pre-normalisation and augmentation: PYSKL's figures, and that each clip's change depends on its own draws alone."""

import json
import pickle

import numpy as np
import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.config.schema import AugmentConfig
from stgcn_cli.data import augment
from stgcn_cli.data.draws import Draws
from stgcn_cli.data.loader import Clips
from stgcn_cli.data.prenormalize import BodyFrames, Boxes
from stgcn_cli.data.splits import Split, open_stores
from tests.conftest import make_records
from tests.data.test_streams import SHORT, whole_clip

NAMES = tuple(augment.AUGMENTATIONS)


def stored(record):
    """Frames (rows, V, C) and first rows (1, M) of one record, as a store has them."""
    x = record["keypoint"]
    if "keypoint_score" in record:
        x = np.concatenate([x, record["keypoint_score"][..., None]], -1)
    persons, length = x.shape[:2]
    return np.concatenate([np.zeros_like(x[0, :1]), *x]), 1 + length * np.arange(persons)[None], np.array([length])


def test_body_frames_are_the_references(shared):
    folder = shared / "golden" / "pyskl" / "streams"
    with np.load(folder / "out_3d.npz") as wanted:
        for record in pickle.loads((folder / "in_3d.pkl").read_bytes()):
            frames, starts, lengths = stored(record)
            body = BodyFrames.of(frames, starts, lengths)
            x = torch.tensor(frames)[body.starts[0][:, None] + body.kept][None]
            got = body.apply(x, torch.tensor([0]))[0].numpy()
            expected = wanted[f"{record['frame_dir']}|prenorm"]
            assert got.shape == expected.shape
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
            np.testing.assert_array_equal(got.astype(np.float32), expected.astype(np.float32))


def test_boxes_are_the_references_to_the_bit(shared):
    folder = shared / "golden" / "pyskl" / "streams"
    with np.load(folder / "out_2d.npz") as wanted:
        for record in pickle.loads((folder / "in_2d.pkl").read_bytes()):
            frames, starts, lengths = stored(record)
            frames = frames.astype(np.float32)
            x = torch.tensor(frames[1:]).unflatten(0, (starts.size, -1))[None]
            image = Boxes.of_images(np.array([record.get("img_shape", (1080, 1920))]))
            around = Boxes.of_clips(frames, starts, lengths, frames.shape[-1] == 3)
            cases = [("", image, 0.01), ("|auto", around, 0.01), ("|threshold0.5", image, 0.5)]
            for name, boxes, threshold in cases:
                key = f"{record['frame_dir']}|prenorm{name}"
                if key in wanted.files:
                    np.testing.assert_array_equal(boxes.apply(x, torch.tensor([0]), threshold)[0], wanted[key], key)


def tensor(values):
    return torch.tensor(np.asarray(values, dtype=np.float64))[None]


def changed(operation, x, draws):
    """What the reference's draws do to x (1, M, T, V, D)."""
    name, *more = operation
    if name.startswith("scale"):
        strength = np.array([0.2, 0.05, 0.1]) if "(" in name else float(name.removeprefix("scale"))
        return x * tensor(1 + strength * np.array(draws["scale_draws" if x.shape[-1] == 3 else "scale2d_draws"]))[0]
    if name == "rot0.3":
        return augment.rotated(x, augment.rotation(tensor(draws["rot_draws"])))
    if name == "rot2d":
        return augment.rotated(x, augment.rotation(tensor([draws["rot2d_draw"]])))
    shape = x.shape[1:]
    count = shape[2] if "shared" in more else np.prod(shape[:3])
    lengths, ways = (np.random.default_rng(5).normal(size=count), np.random.default_rng(6).uniform(-1, 1, (3, count)))
    lengths = np.broadcast_to(
        lengths.reshape(-1, shape[2]) if "shared" in more else lengths.reshape(shape[:3]), shape[:3]
    )
    ways = np.broadcast_to(ways.T.reshape(*(() if "shared" in more else shape[:2]), shape[2], 3), shape)
    size = augment.body_sizes(x)
    if more[0] == "video":
        live = x.amin(3).square().sum(-1) > 1e-4
        size = (x[live].amax((0, 1)) - x[live].amin((0, 1))).norm() * live[..., None]
    return augment.noisy(x, 0.01 * tensor(lengths) * size, tensor(ways))


def test_augmentations_under_given_draws_are_the_references(shared):
    golden = shared / "golden" / "pyskl"
    draws = json.loads((golden / "augment" / "augment.json").read_text())
    with (
        np.load(golden / "augment" / "augment.npz") as wanted,
        np.load(golden / "streams" / "out_3d.npz") as three,
        np.load(golden / "streams" / "out_2d.npz") as two,
    ):
        for key in wanted.files:
            clip, *operation = key.split("|")
            x = (two if clip == "no_score" else three)[f"{clip}|prenorm"]
            if operation[0] == "rot_no_draw":
                assert not wanted[key].any()
            elif operation[0] == "strong":
                strong = changed(["rot0.3"], changed(["scale0.1"], tensor(x), draws), draws)
                got = whole_clip(SHORT[operation[1]], strong[0].numpy(), "nturgb+d", False)
                np.testing.assert_allclose(got, wanted[key][0, : len(got)], rtol=0, atol=1e-6, err_msg=key)
            else:
                got = changed(operation, tensor(x), draws)[0].numpy()
                np.testing.assert_allclose(got, wanted[key], rtol=0, atol=1e-12, err_msg=key)


def test_a_mirror_negates_x_and_exchanges_left_and_right():
    x, other = torch.arange(12.0).view(1, 1, 1, 4, 3), torch.tensor([0, 2, 1, 3])
    y = augment.mirrored(x.expand(2, -1, -1, -1, -1), other, torch.tensor([True, False]))
    assert y[0, 0, 0].tolist() == [[-0.0, 1, 2], [-6, 7, 8], [-3, 4, 5], [-9, 10, 11]] and torch.equal(y[1], x[0])


def batch_of(tmp_path, settings, index, draws, base="ntu60-xsub-3d", joints=25):
    records = make_records(6, joints=joints)
    if joints == 17:
        records = [r | {"keypoint": r["keypoint"][..., :2], "keypoint_score": r["keypoint"][..., 2]} for r in records]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(records))
    preset = presets.load(base, [f"data.augment={json.dumps(NAMES)}", "data.clip_len=20", *settings])
    clips = Clips.of(Split("all", open_stores([tmp_path / "x.pkl"])[0], np.arange(6)), preset, torch.device("cpu"))
    return clips.batch(torch.tensor(index), draws)[0]


@pytest.mark.parametrize("stream", SHORT.values())
@pytest.mark.parametrize("sampling", ["loop", "uniform"])
def test_a_clip_changes_by_its_own_draws_alone(tmp_path, stream, sampling):
    settings = [f"data.stream={stream}", f"data.sampling={sampling}"]
    whole = batch_of(tmp_path, settings, range(6), Draws.of(0, 1, torch.arange(6)))
    alone = batch_of(tmp_path, settings, [4], Draws.of(0, 1, torch.tensor([4])))
    torch.testing.assert_close(whole[4:5], alone, rtol=0, atol=0)
    assert not torch.equal(whole, batch_of(tmp_path, settings, range(6), Draws.of(0, 2, torch.arange(6))))
    assert not whole[..., 1].any()  # a missing person stays away


def test_evaluation_is_not_augmented(tmp_path):
    assert torch.equal(batch_of(tmp_path, [], [0, 1], None), batch_of(tmp_path, ["data.augment=[]"], [0, 1], None))


def test_a_missing_person_stays_at_the_edge_of_the_image(tmp_path):
    x = batch_of(tmp_path, [], [0], Draws.of(0, 0, torch.tensor([0])), base="ntu60-xsub-2d", joints=17)
    assert (x[..., 1] == -0.5).all() and x[..., 0].unique().numel() > 100


def test_strengths_are_bounds():
    draws = Draws.of(0, 0, torch.arange(2000))
    x = torch.ones(2000, 1, 1, 2, 3, dtype=torch.float64)
    sides = augment.Sides(torch.tensor([1, 0]))
    config = AugmentConfig(mirror=0.25, scale=0.2, drop_joints=0.3, rotate=(0.0, 0.0, 0.5))
    mirror = augment.augmented(x, ("mirror",), config, draws, sides, False)
    assert abs(float((mirror[..., 0] < 0).double().mean()) - 0.25) < 0.03
    scale = augment.augmented(x, ("scale",), config, draws, sides, False)
    assert 0.8 <= float(scale.min()) < 0.81 and 1.19 < float(scale.max()) <= 1.2
    turned = augment.augmented(x, ("rotate",), config, draws, sides, False)
    assert (turned[..., 2] == 1).all() and abs(
        float(torch.atan2(turned[..., 1], turned[..., 0]).max()) - np.pi / 4 - 0.5
    ) < 0.01
    dropped = augment.augmented(x, ("drop-joints",), config, draws, sides, False)
    assert abs(float((dropped == 0).double().mean()) - 0.3) < 0.03
