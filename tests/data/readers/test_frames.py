"""Which pictures are of one video, and which number in their names is the frame."""

import json

import numpy as np
import pytest

from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.data.readers import frames
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.errors import DataError
from tests.factories import foreign


def names(pattern: str, *numbers: range, **more: object) -> list[str]:
    return [pattern.format(i, **more) for each in numbers for i in each]


TOLD = {
    "folders": (names("walk/{:04d}.jpg", range(3)) + names("run/{:04d}.jpg", range(3)), ["walk", "run"]),
    "backslashes": (names("a\\walk\\{}.jpg", range(3)) + names("a\\run\\{}.jpg", range(3)), ["a/walk", "a/run"]),
    "a number before": (names("10_{}.jpg", range(100, 103)) + names("14_{}.jpg", range(100, 103)), ["10", "14"]),
    "a word before": (names("walk01_{:06d}", range(3)) + names("run02_{:06d}", range(3)), ["walk01", "run02"]),
    "without zeros": (names("walk_{}.txt", range(8, 11)) + names("run_{}.txt", range(8, 11)), ["walk", "run"]),
    "a resolution behind": (names("frame_{:04d}_1080p.jpg", range(3)), ["1080p"]),
    "a resolution before": (names("clip_1920x1080_30fps_{}.png", range(3)), ["clip_1920x1080_30fps"]),
    "a number in the suffix": (names("{:04d}.mp4.jpg", range(3)), [""]),
    "dots": (names("cam01.{:04d}.json", range(23, 26)), ["cam01"]),
    "no separator": (names("frame{:06d}.json", range(3)), [""]),
    "OpenPose": (names("S001_{:012d}_keypoints.json", range(3)) + names("S002_{:012d}_keypoints.json", range(3)), ["S001", "S002"]),
    "the frame first": (names("frame_{}_cam1.png", range(3)) + names("frame_{}_cam2.png", range(3)), ["cam1", "cam2"]),
    "time beside": (["f_1_0.033.png", "f_2_0.066.png", "f_3_0.100.png"], ["0"]),
    "dates": (names("20240102_101150_{:03d}.png", range(3)) + names("20240103_101150_{:03d}.png", range(3)), ["20240102_101150", "20240103_101150"]),
    "times": (["cam 2024-01-02 10-11-58.jpg", "cam 2024-01-02 10-11-59.jpg", "cam 2024-01-02 10-12-00.jpg"], ["cam 2024-01-02 10"]),
    "a folder each": (names("{:04d}/img.jpg", range(3)), ["img"]),
    "deep folders": (names("s1/take2/rgb/{}.png", range(3)) + names("s2/take2/rgb/{}.png", range(3)), ["s1/take2/rgb", "s2/take2/rgb"]),
    "Roboflow": ([f"walk_mp4-{t}_jpg.rf.{7919 * t:08x}ab.jpg" for t in range(3)], ["walk_mp4"]),
    "brackets": (names("My clip (1) {}.jpg", range(3)), ["My clip (1)"]),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD)
def test_the_text_beside_the_number_identifies_the_video(case):
    listed, videos = TOLD[case]
    shuffled = listed[1::2] + listed[::2]
    found = {video.name: [shuffled[item] for item in video.items] for video in frames.videos_of(shuffled)}
    assert found == {name: listed[3 * i : 3 * i + 3] for i, name in enumerate(videos)}


def test_numbers_are_those_of_the_names():
    (video,) = frames.videos_of(["a_7.jpg", "a_12.jpg", "a_9.jpg"])
    assert video.numbers == (7, 9, 12) and video.items == (0, 2, 1)


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (["cat.jpg", "dog.jpg"], "no frame number"),
        (["cat_1.jpg", "dog_1.jpg", "cow_1.jpg"], "nothing in common"),
        (["000000000785.jpg", "000000040083.jpg", "000000196141.jpg"], "far apart"),
        (["0", "250", "500"], "far apart"),
        (["img_1.jpg", "img_2.jpg", "img_02.jpg"], "frame number 2"),
    ],
)
def test_unrelated_pictures_are_refused(listed, said):
    with pytest.raises(ValueError, match=said):
        frames.video_of(listed, "file_name")


@pytest.mark.parametrize("style", ["folders", "results"])
def test_several_videos_of_a_file_are_clips_of_their_own(tmp_path, style):
    clips = {name: foreign.clip(frames=n, persons=1, seed=n) for name, n in (("walk", 4), ("run", 6))}
    images, annotations = [], []
    for name, (xy, score) in clips.items():
        for t in range(xy.shape[1]):
            file = f"{name}/{t:04d}.jpg" if style == "folders" else f"{name}_{t:04d}.jpg"
            images.append({"id": len(images), "file_name": file, "height": 720, "width": 1280})
            of = len(images) - 1 if style == "folders" else file
            annotations += [
                {"image_id": of, "keypoints": foreign.flat(*each[1:])} for each in foreign.people(xy, score, t)
            ]
    value = {"images": images, "annotations": annotations[::-1]} if style == "folders" else annotations[::-1]
    (tmp_path / "poses.json").write_text(json.dumps(value))
    found = {clip.name: clip.record["keypoint"] for clip in read_inputs([str(tmp_path / "poses.json")])}
    assert set(found) == {"poses/walk", "poses/run"}
    for name, (xy, _) in clips.items():
        np.testing.assert_array_equal(found[f"poses/{name}"], xy)


def test_pictures_of_different_sizes_are_no_video(tmp_path):
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 480 + i, "width": 640} for i in range(3)]
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": []}))
    with pytest.raises(DataError, match=r"different sizes \(640x480, 640x481"):
        list(read_inputs([str(tmp_path / "a.json")]))


@pytest.mark.parametrize("name", ["frame{:06d}.json", "cam01.{:04d}.json", "{}.json", "a_{}_keypoints.json"])
@pytest.mark.parametrize("style", ["openpose", "mmpose"])
def test_files_of_a_frame_each_make_one_clip(tmp_path, name, style):
    xy, score = foreign.clip(frames=12, persons=1)
    (tmp_path / "walk").mkdir()
    for t in range(12):
        people = foreign.people(xy, score, t)
        flat = {"people": [{"pose_keypoints_2d": foreign.flat(*each[1:])} for each in people]}
        listed = [{"keypoints": joints, "keypoint_scores": scores} for _, joints, scores in people]
        (tmp_path / "walk" / name.format(t + 5)).write_text(json.dumps(flat if style == "openpose" else listed))
    (clip,) = read_inputs([str(tmp_path / "walk")])
    assert clip.name == "walk"
    np.testing.assert_array_equal(clip.record["keypoint"], xy)
    listed = sorted(str(path) for path in (tmp_path / "walk").iterdir())
    (again,) = read_inputs(listed)  # as a shell lists them
    np.testing.assert_array_equal(again.record["keypoint"], xy)
    assert again.name == "walk"


def test_track_ids_have_many_spellings(tmp_path):
    xy, score = foreign.clip(frames=2, persons=1)
    xy = np.repeat(xy[:, :1], 50, axis=1)
    xy[0, 25:] += 900  # elsewhere: only the id tells that it is the same person
    for spelled in (1, 1.0, [1.0], "1", ["1"], "anna"):
        listed = [
            {"image_id": f"{t}.jpg", "keypoints": foreign.flat(xy[0, t].tolist(), score[0, 0].tolist()), "idx": spelled}
            for t in range(50)
        ]
        (tmp_path / "a.json").write_text(json.dumps(listed))
        (clip,) = read_inputs([str(tmp_path / "a.json")])
        np.testing.assert_array_equal(clip.record["keypoint"], xy)


@pytest.mark.parametrize("track", [{"idx": 0}, {}])
def test_persons_without_joints_and_ids_that_are_all_the_same_are_understood(tmp_path, track):
    xy, score = foreign.clip(frames=10)
    listed = []
    for t in range(10):
        for _, joints, scores in foreign.people(xy, score, t)[:: (-1) ** t]:
            listed += [
                {"image_id": t, "keypoints": [0] * 51, **track},
                {"image_id": t, "keypoints": foreign.flat(joints, scores), **track},
            ]
    (tmp_path / "a.json").write_text(json.dumps(listed))
    (clip,) = read_inputs([str(tmp_path / "a.json")])
    np.testing.assert_array_equal(clip.record["keypoint"], xy)


def test_json_in_utf_16_is_read(tmp_path):
    path = foreign.mmpose(tmp_path / "a.json", *foreign.clip())
    expected = next(read_inputs([str(path)])).record["keypoint"]
    path.write_bytes(path.read_text().encode("utf-16"))
    np.testing.assert_array_equal(next(read_inputs([str(path)])).record["keypoint"], expected)


LINKS = [[1, 0], [2, 1], [3, 2]]
HAND = ["palm", "left_finger", "tip", "right_finger"]


def test_the_skeleton_is_the_one_the_file_names(tmp_path):
    xy, score = foreign.clip(joints=4)
    path = foreign.mmpose(tmp_path / "a.json", xy, score)
    value = json.loads(path.read_text())
    value["meta_info"] |= {"keypoint_id2name": dict(enumerate(HAND)), "skeleton_links": LINKS}
    path.write_text(json.dumps(value))
    own = next(read_inputs([str(path)])).layout
    assert own.joints == tuple(HAND) and own.centre in (1, 2) and own.up == "-y" and own.pairs == ((1, 3),)
    assert {frozenset(bone) for bone in own.bones} == {frozenset(link) for link in LINKS}
    path = foreign.coco(tmp_path / "b.json", xy, score)
    value = json.loads(path.read_text())
    counted = [[a + 1, b + 1] for a, b in LINKS]
    value["categories"] = [{"name": "coco", "keypoints": HAND, "skeleton": counted}]
    path.write_text(json.dumps(value))
    assert next(read_inputs([str(path)])).layout.bones == own.bones


def test_a_skeleton_of_the_file_that_is_built_in_is_that_one(tmp_path):
    built_in = LAYOUTS["halpe-26"]
    path = foreign.mmpose(tmp_path / "a.json", *foreign.clip(joints=26))
    value = json.loads(path.read_text())
    value["meta_info"]["keypoint_id2name"] = {i: name.replace(" ", "_") for i, name in enumerate(built_in.joints)}
    path.write_text(json.dumps(value))
    assert next(read_inputs([str(path)])).layout is built_in
