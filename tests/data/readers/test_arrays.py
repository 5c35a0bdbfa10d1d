"""Arrays of other projects: clips with their labels, names and splits, one array a frame, and Python objects."""

import pickle

import numpy as np
import pytest

from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.readers.units import list_units
from stgcn_cli.errors import DataError
from tests.factories import bodies


def read(*paths, **options):
    return list(read_inputs(list(map(str, paths)), options=Options(**options)))


def told(clips):
    return [(clip.name, clip.record.get("label"), clip.splits) for clip in clips]


CLIPS = np.stack([bodies.kinect(16, 2, seed) for seed in range(3)])  # N M T V C
CLIPS[0, 1] = CLIPS[1, 1] = 0
CLIPS[2, :, 12:] = 0  # filled up
LENGTHS = (16, 16, 12)


def check(clips):
    for clip, x, frames in zip(clips, CLIPS, LENGTHS, strict=True):
        assert clip.record["total_frames"] == frames
        np.testing.assert_array_equal(clip.record["keypoint"], x[:, :frames])


def test_feeders_of_st_gcn_and_2s_agcn(tmp_path):
    names = ["S001C001P001R001A001.skeleton", "S001C001P002R001A008.skeleton", "S001C001P003R001A023.skeleton"]
    for split, clips in (("train", CLIPS), ("val", CLIPS[:1])):
        np.save(tmp_path / f"{split}_data_joint.npy", clips.transpose(0, 4, 2, 3, 1))
        (tmp_path / f"{split}_label.pkl").write_bytes(pickle.dumps((names[: len(clips)], [0, 7, 22][: len(clips)])))
    found = read(tmp_path)
    check(found[:3])
    plain = [name.removesuffix(".skeleton") for name in names]
    assert told(found[:3]) == [(plain[0], 0, ("train",)), (plain[1], 7, ("train",)), (plain[2], 22, ("train",))]
    assert told(found[3:]) == [(plain[0], 0, ("val",))]


def test_npz_of_ctr_gcn(tmp_path):
    rows = CLIPS.transpose(0, 2, 1, 3, 4).reshape(3, 16, 150)
    np.savez(tmp_path / "a.npz", x_train=rows, y_train=np.eye(60)[[3, 0, 7]], x_test=rows[:1], y_test=np.eye(60)[[5]])
    found = read(tmp_path / "a.npz")
    check(found[:3])
    assert told(found)[::3] == [("a_train_00000", 3, ("train",)), ("a_test_00000", 5, ("test",))]


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        (np.array([2, 0, 1]), [2, 0, 1]),
        (np.array([[2.0], [0.0], [1.0]]), [2, 0, 1]),
        (np.array([b"wave", b"kick", b"sit"]), ["wave", "kick", "sit"]),
        (np.eye(4, dtype=bool)[[3, 0, 1]], [3, 0, 1]),
    ],
)
def test_labels_in_an_array_beside(labels, wanted, tmp_path):
    np.save(tmp_path / "X_train.npy", CLIPS.transpose(0, 2, 1, 3, 4).reshape(3, 16, 150))
    np.save(tmp_path / "y_train.npy", labels)
    assert [label for _, label, _ in told(read(tmp_path))] == wanted


def test_labels_that_do_not_fit_are_refused(tmp_path):
    np.save(tmp_path / "X.npy", CLIPS.transpose(0, 4, 2, 3, 1))
    np.save(tmp_path / "y.npy", np.array([1, 2]))
    with pytest.raises(DataError, match="2 labels for 3 clips"):
        read(tmp_path / "X.npy")
    np.save(tmp_path / "y.npy", np.full((3, 4), 0.5))
    with pytest.raises(DataError, match="not one-hot"):
        read(tmp_path / "X.npy")


def test_a_folder_of_frames_is_a_clip_in_the_order_of_the_numbers(tmp_path):
    x = bodies.flat(12, 33) / np.array([1280, 720], np.float32)
    (tmp_path / "squat").mkdir()
    for frame, joints in enumerate(x):
        np.save(
            tmp_path / "squat" / f"{frame}.npy", np.c_[joints, joints[:, :1] * 0 - 0.1, joints[:, :1] * 0 + 0.9].ravel()
        )
    (clip,) = read(tmp_path)
    assert (
        clip.name == "squat"
        and clip.record["keypoint"].shape == (1, 12, 33, 2)
        and (clip.record["keypoint_score"] == np.float32(0.9)).all()
    )
    np.testing.assert_allclose(clip.record["keypoint"][0] / (1920, 1080), x, atol=1e-6)
    assert len(list_units([str(tmp_path)], Options())) == 1


def test_named_arrays_of_any_name(tmp_path):
    x = bodies.kinect(10)[0]
    np.savez(tmp_path / "a.npz", joints3d=x, betas=np.zeros(10), fps=30)
    np.savez(tmp_path / "b.npz", x)
    for name in "ab":
        np.testing.assert_array_equal(read(tmp_path / f"{name}.npz")[0].record["keypoint"][0], x)
    np.savez(tmp_path / "c.npz", pred=x, gt=x)
    with pytest.raises(DataError, match=r"pred \(10, 25, 3\), gt .*Call the one that is meant keypoint"):
        read(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", walk=x, run=x[:7])
    walk, run = read(tmp_path / "d.npz")
    np.testing.assert_array_equal(run.record["keypoint"][0], x[:7])
    assert (walk.name, run.name) == ("walk", "run") and "taken for a clip: walk, run" in run.notes[0]


def test_python_objects_that_are_arrays_are_read_and_others_named(tmp_path):
    ntu = {"file_name": "S001C001P001R001A001", "nbodys": [1] * 10, "skel_body0": bodies.kinect(10)[0]}
    np.save(tmp_path / "S001C001P001R001A001.skeleton.npy", np.array(ntu, object), allow_pickle=True)
    (clip,) = read(tmp_path / "S001C001P001R001A001.skeleton.npy")
    np.testing.assert_array_equal(clip.record["keypoint"], bodies.kinect(10))
    ragged = np.empty(2, object)
    ragged[:] = [bodies.kinect(10)[0], bodies.kinect(7)[0]]
    np.save(tmp_path / "b.npy", ragged, allow_pickle=True)
    assert [clip.record["total_frames"] for clip in read(tmp_path / "b.npy")] == [10, 7]
    np.save(tmp_path / "c.npy", np.array([{"name": 3}] * 2, object), allow_pickle=True)
    with pytest.raises(DataError, match="Python objects"):
        read(tmp_path / "c.npy")


def test_joints_with_nan_are_not_seen_and_counted(tmp_path):
    x = bodies.kinect(10)
    x[0, 5, 3, 1] = x[0, 7, 20] = np.nan
    np.save(tmp_path / "a.npy", x[0])
    (clip,) = read(tmp_path / "a.npy")
    assert clip.gaps == 2 and not clip.record["keypoint"][0, 5, 3].any() and np.isfinite(clip.record["keypoint"]).all()


def test_25_joints_are_kinects_only_where_they_lie_so():
    from stgcn_cli.config.skeletons import NTU, OPENPOSE_25
    from stgcn_cli.data.clips import Clip

    x = bodies.kinect(10)
    shuffled = x[:, :, np.random.default_rng(0).permutation(25)]
    for keypoint, kinect in ((x, True), (shuffled, False)):
        clip = Clip(record={"frame_dir": "a", "keypoint": keypoint}, source=None)
        assert clip.is_kinect(None) is kinect and (clip.layout_or(None) == NTU) is kinect
        assert clip.is_kinect(NTU) and not clip.is_kinect(OPENPOSE_25)
