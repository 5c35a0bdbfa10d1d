"""Arrays of a known clip in any order are read as that clip, or refused with the orders that are possible; nothing else."""

import numpy as np
import pytest

from stgcn_cli.data import axes
from stgcn_cli.data.readers.annotation import rearranged
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.errors import DataError, UsageError
from tests.factories import bodies


def arranged(x_NMTVC, order):
    """The array in this order, by hand: a transpose, and a reshape for letters in brackets."""
    letters = order.replace("(", "").replace(")", "")
    absent = [i for i, letter in enumerate("NMTVC") if letter not in letters]
    x = x_NMTVC.transpose(*("NMTVC".index(letter) for letter in letters), *absent).reshape(
        [x_NMTVC.shape["NMTVC".index(letter)] for letter in letters]
    )
    return x.reshape(*x.shape[: order.index("(")], -1) if "(" in order else x


def kinect(clips, persons, frames):
    return np.stack([bodies.kinect(frames, persons, seed) for seed in range(clips)])


def with_scores(clips, persons, frames, joints=17):
    """Pixels and scores: the same people, who stand apart."""
    rng = np.random.default_rng(0)
    sway, place = bodies.flat(frames, joints), np.arange(persons)[:, None, None, None] * (230.0, 0)
    flat = np.stack([sway + place + (0, 9 * clip) for clip in range(clips)])
    return np.concatenate([flat, rng.uniform(0.3, 0.9, (*flat.shape[:-1], 1))], axis=-1).astype(np.float32)


SINGLE = ("TVC", "CTV", "TCV", "T(VC)", "MTVC", "TMVC", "CTVM", "NTVC", "NCTV", "NCTVM", "NMTVC")
READ = [(make, (1, 1, frames), order) for make in (kinect, with_scores) for frames in (17, 25, 40) for order in SINGLE]
READ += [(kinect, (1, 2, 30), order) for order in ("MTVC", "TMVC", "CTVM", "T(MVC)")]
READ += [(kinect, (12, 2, 30), order) for order in ("NCTVM", "NMTVC", "NTMVC", "NT(MVC)")]
READ += [(kinect, (12, 1, 30), order) for order in ("NTVC", "NCTV", "NT(VC)")]


@pytest.mark.parametrize(("make", "sizes", "order"), READ)
def test_an_array_in_any_order_is_the_same_clips(make, sizes, order):
    x = make(*sizes)
    np.testing.assert_array_equal(axes.understand(arranged(x, order)).arranged(arranged(x, order)), x)


@pytest.mark.parametrize("dtype", ["f2", "f8", ">f4", "i4"])
def test_types_and_orders_of_memory_do_not_matter(dtype, tmp_path):
    x = (100 * kinect(1, 2, 30)).astype(dtype)
    np.save(tmp_path / "a.npy", np.asfortranarray(arranged(x, "CTVM")))
    (clip,) = read_inputs([str(tmp_path / "a.npy")])
    np.testing.assert_array_equal(clip.record["keypoint"], x[0].astype(np.float32))
    assert "axes C T V M: 30 frames, 2 persons, 25 joints with x, y, z" in axes.summaries([clip.understood])


@pytest.mark.parametrize(
    ("persons", "options"), [(6, ("MTVC", "NTVC")), (3, ("MTVC", "NTVC")), (2, ("MT(VC)", "NT(VC)"))]
)
def test_where_persons_and_clips_are_equally_likely_the_user_is_asked(persons, options):
    x = arranged(kinect(1, persons, 20), options[0])
    with pytest.raises(DataError) as asked:
        axes.understand(x)
    assert all(f"--axes {option}" in asked.value.message for option in options)
    for option in options:
        assert axes.understand(x, axes.parse_axes(option)).order == option


def test_two_clips_of_one_place_are_not_taken_for_two_persons():
    with pytest.raises(DataError, match="--axes MTVC or --axes NTVC"):
        axes.understand(kinect(2, 1, 20)[:, 0])
    assert axes.understand(kinect(1, 2, 20)[0]).order == "MTVC"


@pytest.mark.parametrize("shape", [(7,), (10, 11), (5, 25, 12), (2, 2, 2, 2, 2, 2), (0, 25, 3), (10, 1662)])
def test_what_fits_no_order_is_refused_with_what_is_expected(shape):
    with pytest.raises(DataError, match=r"expected T V C|nothing in it"):
        axes.understand(np.ones(shape))


def test_the_order_a_user_gives_decides():
    x = np.arange(4 * 5 * 2.0).reshape(4, 5, 2)
    assert axes.understand(x, axes.parse_axes("v t c")).arranged(x)[0, 0, 3, 1].tolist() == x[1, 3].tolist()
    rows = np.arange(30.0).reshape(2, 15)
    reading = axes.understand(rows, axes.parse_axes("TVC"), joints=5)
    assert reading.arranged(rows)[0, 0, 1, 4].tolist() == [27, 28, 29]
    for wrong in ("TVX", "TVV", "TV", "T(VC", ""):
        with pytest.raises(UsageError, match="no order of axes"):
            axes.parse_axes(wrong)
    with pytest.raises(DataError, match="names 4 axes"):
        axes.understand(np.ones((4, 5)), "T(VC)MN")


def test_records_of_a_pickle_are_rearranged_with_their_scores():
    x = with_scores(1, 2, 12)[0]
    record = {"keypoint": x[..., :2].transpose(1, 0, 2, 3), "keypoint_score": x[..., 2].transpose(1, 0, 2)}
    fixed = rearranged(record, "TMVC")
    np.testing.assert_array_equal(fixed["keypoint"], x[..., :2])
    np.testing.assert_array_equal(fixed["keypoint_score"], x[..., 2])
    assert "more persons than frames" in axes.persons_exceed_frames((12, 3, 17, 2))
    assert not axes.persons_exceed_frames((2, 1, 17, 2)) and not axes.persons_exceed_frames((3, 3, 17, 2))


def test_more_persons_than_two_are_persons_where_the_user_says_how_many(tmp_path):
    x = with_scores(1, 4, 10)[0]
    np.save(tmp_path / "a.npy", x)
    with pytest.raises(DataError, match="--axes MTVC or --axes NTVC"):
        list(read_inputs([str(tmp_path / "a.npy")]))
    (clip,) = read_inputs([str(tmp_path / "a.npy")], options=Options(max_persons=3))
    assert len(clip.record["keypoint"]) >= 3
    np.testing.assert_array_equal(clip.record["keypoint"][:3], x[:3, ..., :2])
