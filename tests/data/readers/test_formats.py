"""Every foreign format gives the same clip; odd ones are named, and nobody in a frame is no error."""

import json

import numpy as np
import pytest

from stgcn_cli.config.skeletons import COCO
from stgcn_cli.data.readers import FORMATS, recognise
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.errors import DataError
from tests.factories import foreign

WRITERS = {
    "coco": (foreign.coco, "a.json"), "results": (foreign.results, "a.json"), "mmpose": (foreign.mmpose, "a.json"),
    "openpose": (foreign.openpose, "a"), "csv": (foreign.table, "a.csv"), "npz": (foreign.npz, "a.npz"),
}  # fmt: skip


def one(path, **options):
    (found,) = read_inputs([str(path)], options=Options(**options))
    return found.record


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_clip(name, tmp_path):
    write, file = WRITERS[name]
    xy, score = foreign.clip()
    record = one(write(tmp_path / file, xy, score))
    np.testing.assert_array_equal(record["keypoint"], xy)
    np.testing.assert_array_equal(record["keypoint_score"], score)
    assert record["keypoint"].dtype == np.float32 and record["total_frames"] == 6
    assert record["frame_dir"] == ("walk" if name == "csv" else "a")


@pytest.mark.parametrize("name", WRITERS)
def test_frames_without_anybody_are_zeros(name, tmp_path):
    write, file = WRITERS[name]
    xy, score = foreign.clip()
    xy[:, 3:5], score[:, 3:5] = 0, 0
    record = one(write(tmp_path / file, xy, score))
    np.testing.assert_array_equal(record["keypoint"], xy)


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"results"}))
def test_a_clip_without_anybody_is_one_person_of_zeros(name, tmp_path):
    write, file = WRITERS[name]
    xy, score = foreign.clip(persons=1)
    record = one(write(tmp_path / file, xy * 0, score * 0), layout=COCO)
    assert record["keypoint"].shape == xy.shape and not record["keypoint"].any()


def test_formats_are_recognised_by_their_content(tmp_path):
    xy, score = foreign.clip()
    assert recognise(foreign.coco(tmp_path / "1.json", xy, score)) == "coco"
    assert recognise(foreign.results(tmp_path / "2.json", xy, score)) == "coco"
    assert recognise(foreign.mmpose(tmp_path / "3.json", xy, score)) == "mmpose"
    assert recognise(foreign.mmpose(tmp_path / "4.json", xy, score, bare=True)) == "mmpose"
    foreign.openpose(tmp_path / "5", xy, score)
    assert recognise(sorted((tmp_path / "5").iterdir())[0]) == "openpose"
    (tmp_path / "labels.csv").write_text("name,label\nwalk,1\n")
    assert recognise(tmp_path / "labels.csv") is None
    assert all(name in FORMATS for name in ("skeleton", "pickle", "npy", "npz", "csv"))


def test_without_a_tracker_people_are_followed_by_their_places(tmp_path):
    xy, score = foreign.clip(frames=12)
    mixed = {"instance_info": [
        {"frame_id": t, "instances": [
            {"keypoints": joints, "keypoint_scores": scores} for _, joints, scores in foreign.people(xy, score, t)[:: (-1) ** t]
        ]} for t in range(12)
    ]}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(mixed))
    np.testing.assert_array_equal(one(tmp_path / "a.json")["keypoint"], xy)


def test_a_trackers_ids_decide_and_the_persons_seen_most_are_kept(tmp_path):
    xy, score = foreign.clip(frames=12, persons=3)
    xy[0, 4:], xy[2, 9:] = 0, 0
    record = one(foreign.coco(tmp_path / "a.json", xy, score))
    np.testing.assert_array_equal(record["keypoint"], xy[1:])
    assert one(tmp_path / "a.json", max_persons=5)["keypoint"].shape[0] == 3


def test_coco_videos_are_clips_with_their_names_and_sizes(tmp_path):
    images = [
        {"id": t, "video_id": t % 2, "frame_id": 7 + 2 * (t // 2), "height": 720, "width": 1280, "file_name": "x"}
        for t in range(6)
    ]
    annotations = [{"image_id": t, "track_id": 4, "keypoints": [t + 1, t + 1, 2] * 16 + [5, 5, 0]} for t in range(6)]
    videos = [{"id": 0, "name": "run"}]
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": annotations, "videos": videos}))
    run, other = (found.record for found in read_inputs([str(tmp_path / "a.json")]))
    assert run["frame_dir"] == "run" and other["frame_dir"] == "a_1" and run["img_shape"] == (720, 1280)
    assert run["keypoint"][0, :, 0, 0].tolist() == [1, 0, 3, 0, 5]  # frames 7 9 11: what lies between is nobody
    assert not run["keypoint"][0, :, 16].any() and run["keypoint_score"][0, 0].tolist() == [1] * 16 + [0]


def test_openpose_in_three_dimensions_and_with_18_joints(tmp_path):
    joints = np.arange(18 * 4, dtype=float).tolist()
    (tmp_path / "a_000000000000_keypoints.json").write_text(json.dumps({"people": [{"pose_keypoints_3d": joints}]}))
    record = one(tmp_path / "a_000000000000_keypoints.json")
    values = np.arange(72).reshape(1, 1, 18, 4)
    np.testing.assert_array_equal(record["keypoint"], values[..., :3])
    np.testing.assert_array_equal(record["keypoint_score"], values[..., 3])


def test_a_table_with_names_of_joints_labels_and_gaps(tmp_path):
    (tmp_path / "a.csv").write_text(
        "Clip, frame,joint,x,y,z,label,subject\nwave_1,4,Nose,1,2,3,wave,7\nwave_1,6,left eye,4,5,,wave,7\nkick,0,nose,1,1,1,2,\n"
    )
    wave, kick = (found.record for found in read_inputs([str(tmp_path / "a.csv")], options=Options(layout=COCO)))
    assert wave["keypoint"].shape == (1, 3, 17, 3) and wave["keypoint"][0, 0, 0].tolist() == [1, 2, 3]
    assert not wave["keypoint"][0, 1:].any()  # a coordinate is missing: the joint was not seen
    assert (wave["label"], wave["subject"], kick["label"], "subject" in kick) == ("wave", "7", 2, False)


def test_arrays_of_many_clips(tmp_path):
    keypoint = np.random.default_rng(0).normal(size=(3, 1, 8, 25, 3))
    np.savez(tmp_path / "a.npz", keypoint=keypoint, labels=[2, 0, 1], names=["x", "y", "z"], lengths=[8, 5, 8])
    found = [each.record for each in read_inputs([str(tmp_path / "a.npz")])]
    assert [record["frame_dir"] for record in found] == ["x", "y", "z"] and found[1]["total_frames"] == 5
    assert [record["label"] for record in found] == [2, 0, 1]
    np.save(tmp_path / "b.npy", keypoint[0, 0])
    np.testing.assert_array_equal(one(tmp_path / "b.npy")["keypoint"], keypoint[0].astype(np.float32))


HEADER = "clip,frame,person,joint,x,y\n"
ODD = {
    "a.csv": [
        ("clip,frame,joint,x\n", "column 'y' not found"), (HEADER + "w,0,p,0,1,1\nw,1,p,0,1,abc\n", "line 3: y is 'abc'"),
        (HEADER + "w,0.5,p,0,1,1\n", "line 2: frame is '0.5'"), (HEADER + "w,0,p,hand,1,1\nw,0,p,1,1,1\n", "line 2: joint 'hand', neither"),
        (HEADER + "w,0,p,0,1,1\nw,0,p,0,2,2\n", "stands twice"), (HEADER + "w,0,p,0,1,1\nw,9999999,p,0,2,2\n", "100,000"),
        (HEADER + "w,0,p,99999,1,1\n", "joint counts up to 99999"), (HEADER + "w,0,p,0,1,inf\n", "infinite"),
        (HEADER, "joint counts up to"),
    ],
    "a.json": [
        ('{"instance_info": [{"frame_id": 0, "instances": 3}]}', "instances of frame 0 is a int"),
        ('{"instance_info": [{"frame_id": 0, "instances": [{"keypoints": [[1], [2, 3]]}]}]}', "no regular list"),
        ('{"instance_info": [{"frame_id": 0, "instances": [{"keypoints": [[1, 2]], "keypoint_scores": [1, 1]}]}]}', "2 scores for 1 joints"),
        ('{"instance_info": []}', "no frames"), ('{"instance_info": [}', "line 1, column 20"),
        ('{"people": 3}', '"people" is a int'), ('{"people": [{"pose_keypoints_2d": [1, 2]}]}', "2 numbers"),
        ('[{"image_id": "x", "keypoints": [1, 2, 1]}]', "no frame number"), ('{"annotations": [3]}', "holds a int"),
        ('[{"image_id": 1, "keypoints": [1, 2, 1]}, {"image_id": 999999999, "keypoints": [1, 2, 1]}]', "so far apart"),
        ('{"images": [{"id": 1}, [2]], "annotations": []}', "holds a list"), ('{"images": ' + "[" * 100_000, "no JSON text"),
        ('{"annotations": [{"image_id": 1, "keypoints": {"x": 1}}]}', "no regular list"), ("{}", "not recognised"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("file", "text", "said"), [(file, *case) for file, cases in ODD.items() for case in cases])
def test_odd_files_are_named_with_their_cause(file, text, said, tmp_path):
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError) as error:
        one(tmp_path / file)
    assert said in error.value.message and file in error.value.message


def test_damaged_and_hostile_arrays_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", keypoint=np.array([{"a": 1}], object))
    np.savez(tmp_path / "b.npz", other=np.zeros(3))
    np.savez(tmp_path / "c.npz", keypoint=np.zeros((2, 1, 4, 17, 2)), labels=[1])
    (tmp_path / "d.npz").write_bytes(b"PK\x03\x04 nothing")
    np.save(tmp_path / "e.npy", np.zeros((1, 3, 9, 25, 1, 2)))
    np.save(tmp_path / "f.npy", np.full((3, 17, 2), np.inf))
    (tmp_path / "g.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (9, 9)}")
    for name, said in zip(
        "abcdefg", ("Python objects", "T V C", "go together", "", "T V C", "infinite", ""), strict=True
    ):
        (path,) = tmp_path.glob(f"{name}.np*")
        with pytest.raises(DataError, match=path.name) as error:
            list(read_inputs([str(path)]))
        assert said in error.value.message


STRANGE = [None, True, -1, 3, 1e308, float("nan"), float("inf"), "", "x", "9" * 400, 10**400, [], {}, [[]], [1], [None], [{}], {"a": 1}]  # fmt: skip


def places(value, path=()):
    """Every place in a JSON value, of a list the first two."""
    yield path
    for key in value if isinstance(value, dict) else range(min(2, len(value))) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


@pytest.mark.parametrize("name", ["coco", "results", "mmpose", "openpose"])
def test_a_strange_value_anywhere_is_read_or_named_never_a_crash(name, tmp_path):
    write, _ = WRITERS[name]
    write(tmp_path / "a.json" if name != "openpose" else tmp_path, *foreign.clip(frames=2, joints=2, persons=1))
    file = sorted(tmp_path.glob("*.json"))[0]
    text = file.read_text()
    for place in list(places(json.loads(text)))[1:]:
        for strange in STRANGE:
            value = inside = json.loads(text)
            for key in place[:-1]:
                inside = inside[key]
            inside[place[-1]] = strange
            file.write_text(json.dumps(value))
            try:
                assert all(np.isfinite(each.record["keypoint"]).all() for each in read_inputs([str(file)]))
            except DataError as error:
                assert str(file) in error.message


def test_numpys_advice_to_load_it_unsafely_is_not_passed_on(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"keypoints": 3}, print], object), allow_pickle=True)
    with pytest.raises(DataError, match="it holds Python objects") as told:
        one(tmp_path / "a.npy")
    assert "trust" not in str(told.value) and "allow_pickle" not in str(told.value)
