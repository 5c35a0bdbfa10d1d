import pickle

import numpy as np
import pytest

from stgcn_cli.data.ntu.normalize import choose_two, pre_normalise
from stgcn_cli.data.ntu.parser import read_skeleton
from tests.factories.skeletons import golden_texts


def normalised(text: bytes) -> np.ndarray:
    return pre_normalise(choose_two(read_skeleton(text)))


def bodies(count: int = 2, frames: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, frames, 25, 3)) + 3


@pytest.mark.parametrize("name", golden_texts())
def test_a_record_is_the_reference_to_the_bit(name, golden):
    wanted = np.load(golden / "prepare" / "out60.npz")[name]
    found = normalised(golden_texts()[name])
    assert found.dtype == wanted.dtype and found.shape == wanted.shape and found.flags.c_contiguous
    assert np.abs(found - wanted).max() <= 1e-6
    assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize(("archive", "out", "count"), [("raw60.zip", "out60", 42), ("raw120.zip", "out120", 24)])
def test_every_reference_record_is_met_to_the_bit(shared, archive, out, count):
    texts, records = golden_texts(shared / "golden" / "prepare" / archive), {}
    for path in (shared / "golden" / "prepare" / out).glob("*/*.pkl"):
        records |= {record["frame_dir"]: record["keypoint"] for record in pickle.loads(path.read_bytes())}
    equal = [
        normalised(texts[name]).tobytes() == np.ascontiguousarray(keypoint).tobytes()
        for name, keypoint in records.items()
    ]
    assert len(equal) == count and all(equal)


def test_the_two_that_move_most_are_chosen_the_livelier_first():
    four = bodies(4) * np.array([2, 0.1, 3, 1])[:, None, None, None]
    assert np.array_equal(choose_two(four), four[[2, 0]].astype(np.float32))


def test_a_body_is_judged_by_the_frames_it_is_in():
    late, early = bodies(2)
    late[:5] = 0
    late[5] *= 10
    assert np.array_equal(choose_two(np.stack([early, late]))[0], late.astype(np.float32))


def test_who_is_missing_is_zeros():
    assert not choose_two(bodies(1))[1].any()
    nobody = choose_two(np.zeros((0, 4, 25, 3)))
    assert nobody.shape == (2, 4, 25, 3) and not pre_normalise(nobody).any()


def test_the_first_body_is_at_the_origin_with_its_shoulders_along_x():
    first = pre_normalise(choose_two(bodies()))[0]
    shoulders = first[0, 8] - first[0, 4]
    assert not first[:, 1].any()
    assert shoulders[0] > 0 and np.allclose(shoulders[1:], 0, atol=1e-5)


def test_a_spine_is_turned_up_and_one_exactly_down_is_left():
    raw = choose_two(bodies(1))
    raw[0, 0, 4] = raw[0, 0, 8]  # without shoulders only the spine is turned
    spine = np.diff(pre_normalise(raw)[0, 0, :2], axis=0)[0]
    assert spine[2] > 0 and np.allclose(spine[:2], 0, atol=1e-5)
    raw[0, 0, 1] = raw[0, 0, 0] - np.float32([0, 0, 1])
    assert np.allclose(pre_normalise(raw)[0, 0, 0], [0, 0, 1])


def test_turning_keeps_the_distances():
    raw, turned = choose_two(bodies()), pre_normalise(choose_two(bodies()))
    before = np.linalg.norm(raw[:, :, :, None] - raw[:, :, None], axis=-1)
    assert np.allclose(np.linalg.norm(turned[:, :, :, None] - turned[:, :, None], axis=-1), before, atol=1e-5)


def test_a_gap_in_the_middle_stays_and_one_at_the_end_is_filled_from_the_start():
    raw = choose_two(bodies(1, frames=8))
    raw[0, [2, 5, 6, 7]] = 0
    found = pre_normalise(raw)[0]
    assert not found[2].any() and np.array_equal(found[5:], found[:3])


def test_a_body_that_comes_late_moves_to_the_start():
    raw, late = choose_two(bodies(1, frames=6)), np.zeros((2, 8, 25, 3), np.float32)
    late[0, 2:] = raw[0]
    assert np.array_equal(pre_normalise(late)[0, :6], pre_normalise(raw)[0])


def test_more_than_300_frames_are_kept_whole():
    raw = choose_two(bodies(1, frames=700))
    found = pre_normalise(raw)
    assert found.shape == (2, 700, 25, 3) and found[0].any(axis=(1, 2)).all()
    assert np.array_equal(found[:, :300], pre_normalise(raw[:, :300]))


def test_what_comes_in_is_left_alone_and_any_number_of_bodies_will_do():
    raw = bodies(3)
    kept = raw.copy()
    assert pre_normalise(raw).shape == (3, 6, 25, 3)
    assert np.array_equal(raw, kept)
