"""Uniform sampling: PYSKL's and MMAction2 1.x's frames in evaluation, the same law on the device in training."""

import json

import numpy as np
import pytest
import torch

from stgcn_cli.data.draws import Draws
from stgcn_cli.data.sampling import reference_frames, uniform, uniform_fixed


def test_every_index_and_every_draw_is_the_references(shared):
    folder = shared / "golden" / "pyskl" / "sampling"
    after = dict(json.loads((folder / "uniform_sample.json").read_text())["rng_after"])
    with np.load(folder / "uniform_sample.npz") as stored:
        for key in stored.files:
            kind, length, frames, samples, seed, ratio = key.split("|")
            rng = np.random.RandomState(int(seed))
            bounds = (1.0, 1.0) if ratio == "1" else tuple(map(float, ratio.split("-")))
            got = reference_frames(
                rng, int(length), int(frames), int(samples), training=kind.endswith("train"), ratio=bounds,
                wraps=kind.startswith("decode"),
            )  # fmt: skip
            np.testing.assert_array_equal(got, stored[key], key)
            assert rng.rand() == after[key], key


def test_frames_of_mmaction2_1x_are_drawn_without_a_ratio(shared):
    with np.load(shared / "golden" / "pyskl" / "sampling" / "mmaction1x_uniform_sample.npz") as stored:
        for key in stored.files:
            _, length, frames, samples, seed = key.split("|")
            rng = np.random.RandomState(int(seed))
            got = reference_frames(rng, int(length), int(frames), int(samples), ratio=None)
            np.testing.assert_array_equal(got, stored[key], key)
            table, _ = uniform_fixed(np.array([int(length)]), int(frames), int(samples), has_ratio=False)
            np.testing.assert_array_equal(table.ravel(), stored[key], key)


def test_the_table_of_an_evaluation_holds_each_length_once():
    table, rows = uniform_fixed(np.array([7, 300, 7, 120]), 50, 3)
    assert table.shape == (3, 3, 50) and rows.tolist() == [0, 2, 0, 1]
    expected = reference_frames(np.random.RandomState(255), 120, 50, 3).reshape(3, 50)
    np.testing.assert_array_equal(table[rows[3]], expected)


def drawn(length: int, frames: int, clips: int = 4000) -> torch.Tensor:
    items = torch.arange(clips)
    return uniform(torch.full((clips,), length), frames, Draws.of(3, 1, items))


def test_training_draws_by_the_same_law():
    short = drawn(7, 20)  # consecutive frames from a random start, repeated
    assert ((short - short[:, :1]) % 7 == torch.arange(20) % 7).all() and set(short[:, 0].tolist()) == set(range(7))
    middle = drawn(30, 20)  # 20 of 30 frames in order, each as likely as the others
    assert (middle.diff(dim=1) > 0).all() and (middle < 30).all()
    rng = np.random.RandomState(0)
    wanted = np.array([reference_frames(rng, 30, 20, training=True) for _ in range(4000)])
    np.testing.assert_allclose(middle.double().mean(0), wanted.mean(0), atol=0.15)
    np.testing.assert_allclose(middle.double().std(0), wanted.std(0), atol=0.15)
    edges = torch.arange(21) * 101 // 20
    long = drawn(101, 20)  # one of each of 20 parts
    assert ((long >= edges[:-1]) & (long < edges[1:])).all()
    counts = torch.bincount(long[:, 3], minlength=101)[edges[3] : edges[4]]
    assert counts.min() > 0.85 * 4000 / len(counts)


@pytest.mark.parametrize("length", [5, 30, 101])
def test_what_is_drawn_depends_on_seed_epoch_and_clip_alone(length):
    lengths, items = torch.full((6,), length), torch.arange(6)
    whole = uniform(lengths, 20, Draws.of(0, 2, items))
    assert torch.equal(whole[4:5], uniform(lengths[:1], 20, Draws.of(0, 2, items[4:5])))
    for seed, epoch in ((1, 2), (0, 3)):
        assert not torch.equal(whole, uniform(lengths, 20, Draws.of(seed, epoch, items)))


def test_draws_are_even_and_independent():
    values = Draws.of(0, 0, torch.arange(1000)).uniform(1, 100)
    assert torch.histc(values.float(), 10, 0, 1).sub(10_000).abs().max() < 500
    assert np.abs(np.corrcoef(values.numpy())[np.triu_indices(1000, 1)]).max() < 0.55
    normal = Draws.of(0, 0, torch.arange(1000)).normal(2, 100)
    assert abs(float(normal.mean())) < 0.02 and abs(float(normal.std()) - 1) < 0.02
