"""What the values of a joint are, told by their ranges: pixels, shares of the image, metres, and scores."""

import numpy as np
import pytest

from stgcn_cli.data import joint_values
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.errors import DataError
from tests.factories import bodies

SIZE = (720, 1280)  # height, width
PIXELS = bodies.flat(9)
SHARES = PIXELS / np.array(SIZE[::-1], np.float32)
SCORE = np.random.default_rng(0).uniform(0.2, 0.95, (*PIXELS.shape[:2], 1)).astype(np.float32)
DEPTH = np.random.default_rng(1).uniform(-0.4, 0.3, SCORE.shape).astype(np.float32)
METRES = bodies.kinect(9)[0]


def together(*parts):
    return np.concatenate(parts, axis=-1)


@pytest.mark.parametrize(
    ("x", "keypoint", "score"),
    [
        (PIXELS, PIXELS, None),
        (SHARES, PIXELS, None),
        (together(PIXELS, SCORE), PIXELS, SCORE),
        (together(PIXELS, np.full_like(SCORE, 2)), PIXELS, np.ones_like(SCORE)),  # COCO's visibility
        (together(PIXELS, np.zeros_like(SCORE)), PIXELS, None),
        (together(SHARES, DEPTH, SCORE), PIXELS, SCORE),  # MediaPipe
        (together(SHARES, DEPTH), PIXELS, None),
        (METRES, METRES, None),
        (together(METRES, SCORE[:, :1].repeat(25, axis=1)), METRES, SCORE[:, :1].repeat(25, axis=1)),
        (METRES * 1000, METRES * 1000, None),
    ],
)
def test_values_are_understood_by_their_ranges(x, keypoint, score):
    found, scores = joint_values.plan(x).split(x, SIZE)
    np.testing.assert_allclose(found, keypoint, rtol=1e-5, atol=1e-3)
    assert (scores is None) == (score is None)
    if score is not None:
        np.testing.assert_array_equal(scores, score[..., 0])


def test_arrays_of_st_gcns_kinetics_are_shares_around_the_middle_of_the_image():
    pixels = bodies.flat(9, 18)
    x = together(pixels / np.array(SIZE[::-1], np.float32) - 0.5, SCORE[:, :1].repeat(18, axis=1))
    x[2, 3] = 0
    keypoint, score = joint_values.plan(x).split(x, SIZE)
    wanted = pixels.copy()
    wanted[2, 3] = 0
    np.testing.assert_allclose(keypoint, wanted, atol=1e-3)
    np.testing.assert_array_equal(score, x[..., 2])


def test_what_may_be_a_score_or_z_is_asked_for_and_the_answer_holds():
    x = together(SHARES, SCORE)
    with pytest.raises(DataError, match=r"--score-last.*--no-score-last"):
        joint_values.plan(x)
    assert joint_values.plan(x, True).coordinates == 2 and joint_values.plan(x, False).coordinates == 3
    assert joint_values.plan(together(PIXELS, SCORE), False).coordinates == 3
    with pytest.raises(DataError, match="no score"):
        joint_values.plan(METRES, True)
    with pytest.raises(DataError, match="4 values a joint"):
        joint_values.plan(together(METRES, METRES[..., :1] + 5))


@pytest.mark.parametrize("size", [None, (480, 640)])
def test_shares_become_pixels_of_the_image_that_the_record_names(size, tmp_path):
    np.save(tmp_path / "a.npy", SHARES)
    (clip,) = read_inputs([str(tmp_path / "a.npy")], options=Options(image_size=size))
    height, width = clip.record["img_shape"]
    assert (height, width) == (size or (1080, 1920))
    np.testing.assert_allclose(clip.record["keypoint"][0] / (width, height), SHARES, atol=1e-6)


def test_the_joint_a_clip_is_centred_on_is_seen_and_a_missing_one_is_not():
    x = METRES[None] - METRES[None, :, 1:2]
    assert np.flatnonzero(joint_values.origin_joints(x)[0]).tolist() == [1]
    far = METRES[None].copy()
    far[:, :, 3] = 0
    assert not joint_values.origin_joints(far).any() and not joint_values.origin_joints(x[..., :2]).any()
