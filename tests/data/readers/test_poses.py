"""Every form in which pose estimators and people write a clip gives that clip; BVH by forward kinematics."""

import json

import numpy as np
import pytest

from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.errors import DataError
from tests.data.readers.test_formats import STRANGE, places
from tests.factories import foreign, poses

SIZED = Options(image_size=foreign.SIZE)


def one(path, options=SIZED):
    (clip,) = read_inputs([str(path)], options=options)
    return clip


@pytest.mark.parametrize("name", poses.WRITERS)
def test_every_form_gives_the_same_clip(name, tmp_path):
    write, file = poses.WRITERS[name]
    xy, score = foreign.clip()
    clip = one(write(tmp_path / file, xy, score))
    np.testing.assert_allclose(clip.record["keypoint"], xy, atol=2e-4)
    np.testing.assert_allclose(clip.record["keypoint_score"], score, atol=1e-6)
    assert clip.record["img_shape"] == foreign.SIZE and clip.name == "a"


@pytest.mark.parametrize("name", poses.WRITERS)
def test_frames_without_anybody_are_zeros(name, tmp_path):
    write, file = poses.WRITERS[name]
    xy, score = foreign.clip()
    xy[:, 3:5], score[:, 3:5] = 0, 0
    np.testing.assert_allclose(one(write(tmp_path / file, xy, score)).record["keypoint"], xy, atol=2e-4)


def test_kinetics_skeletons_have_labels_and_18_joints(tmp_path):
    xy, score = foreign.clip(joints=18)
    clip = one(poses.kinetics(tmp_path / "a.json", xy, score))
    np.testing.assert_allclose(clip.record["keypoint"], xy, atol=2e-4)
    assert clip.record["label"] == "high kick" and clip.layout is LAYOUTS["openpose-18"]
    unsized = one(tmp_path / "a.json", Options())
    np.testing.assert_allclose(unsized.record["keypoint"] / (340, 256), xy / (1280, 720), atol=1e-6)


def test_nw_ucla_names_hold_action_and_subject(tmp_path):
    skeletons = np.random.default_rng(0).normal(size=(9, 20, 3))
    clip = one(poses.ucla(tmp_path / "x.json", skeletons, "a08_s03_e01_v02", label=7))
    np.testing.assert_array_equal(clip.record["keypoint"][0], skeletons.astype(np.float32))
    assert (clip.name, clip.record["label"], clip.record["subject"]) == ("a08_s03_e01_v02", "a08", "03")
    assert clip.layout is LAYOUTS["kinect-20"] and "img_shape" not in clip.record


def turn(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array(
        {
            "X": [[1, 0, 0], [0, c, -s], [0, s, c]],
            "Y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            "Z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        }[axis]
    )


def test_bvh_is_forward_kinematics(tmp_path):
    values = np.random.default_rng(0).uniform(-90, 90, (5, 15))
    clip = one(poses.bvh(tmp_path / "a.bvh", values))
    for row, at in zip(values, clip.record["keypoint"][0], strict=True):
        hips = turn("Z", row[3]) @ turn("X", row[4]) @ turn("Y", row[5])
        spine = hips @ turn("Y", row[6]) @ turn("X", row[7]) @ turn("Z", row[8])
        places = [row[:3], row[:3] + hips @ (0, 10, 1)]
        places += [places[1] + spine @ (side * 5, 4, 0) for side in (1, -1)]
        np.testing.assert_allclose(at, places, atol=1e-3)
    assert clip.layout.joints == ("Hips", "Spine", "LeftArm", "RightArm") and clip.layout.pairs == ((2, 3),)
    assert set(clip.layout.bones) == {(0, 1), (2, 1), (3, 1)} or set(clip.layout.bones) == {(1, 0), (2, 1), (3, 1)}


ODD = [
    ("a.txt", "0 0.5 0.5 0.2 0.6 0.1 0.1 0.9 0.2\n0 0.5 0.5 0.2\n", "4 numbers"),
    ("a.txt", "0 .5 .5 .2 .6 .1 .1 .9 .2 .2 .9\n0 .5 .5 .2 .6 .1 .1 .9\n", "different numbers of values"),
    ("a.txt", "0 .5 .5 .2 .6 .1 .1 .9 .2 .2 .9\n0 x\n", "line 2: 'x'"),
    ("a.json", json.dumps([{"keypoints": [[1, 2], [3, 4]]}] * 4), "persons of a picture, or frames"),
    ("a.json", json.dumps([[{"keypoints": [[1, 2], [3, 4]]}], [{"keypoints": [[1, 2]]}]]), "different numbers of joints"),
    ("a.json", json.dumps({"cat.jpg": [], "frames": [{"keypoints": [[1, 2, 3, 4, 5]]}]}), "shape (1, 5)"),
    ("a.json", json.dumps({"data": [{"frame_index": 1, "skeleton": [{"pose": [1, 2], "score": [1]}]}]}), "2 coordinates"),
    ("a.json", json.dumps({"file_name": "x", "skeletons": [[1, 2]]}), "shape (1, 2)"),
    ("a.bvh", "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\n", "MOTION"),
    ("a.bvh", "HIERARCHY ROOT a { OFFSET 0 0 x CHANNELS 0 } MOTION Frames: 1 Frame Time: 1", "'x'"),
    ("a.bvh", poses.BVH.replace("FRAMES", "2") + "1 2 3\n", "3 numbers below MOTION, expected 2 frames of 15"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "text", "said"), ODD)
def test_odd_files_are_named_with_their_cause(file, text, said, tmp_path):
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError) as error:
        one(tmp_path / file)
    assert said in f"{error.value.message} {error.value.hint}" and file in error.value.message


@pytest.mark.parametrize(
    "name", ["ultralytics list", "alphapose", "alphapose persons", "frames: points", "frames: pose", "kinetics", "ucla"]
)
def test_a_strange_value_anywhere_is_read_or_named_never_a_crash(name, tmp_path):
    clip, file = foreign.clip(frames=1, joints=18 if name == "kinetics" else 2, persons=1), tmp_path / "a.json"
    if name == "ucla":
        poses.ucla(file, np.ones((1, 20, 3)))
    else:
        (poses.kinetics if name == "kinetics" else poses.WRITERS[name][0])(file, *clip)
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
                assert "a.json" in error.message


@pytest.mark.parametrize("extra", [[], [0.83], [4], [0.83, 4]])
@pytest.mark.parametrize("joints", [17, 12])
@pytest.mark.parametrize("width", [2, 3])
def test_numbers_behind_the_joints_of_yolo_are_no_joints(tmp_path, extra, joints, width):
    xy = np.random.default_rng(0).uniform(0.1, 0.9, (joints, 2))
    row = [0, 0.5, 0.5, 0.2, 0.6, *np.column_stack([xy, np.full(joints, 0.75)])[:, :width].ravel(), *extra]
    (tmp_path / "a.txt").write_text(" ".join(map(str, row)))
    layout = None if joints == 17 else LAYOUTS["coco"]
    options = Options(image_size=(100, 100)) if layout is None else Options(image_size=(100, 100), layout=_twelve())
    clip = one(tmp_path / "a.txt", options)
    np.testing.assert_allclose(clip.record["keypoint"][0, 0], 100 * xy, atol=1e-4)


def _twelve():
    from dataclasses import replace

    coco = LAYOUTS["coco"]
    return replace(coco, name="twelve", joints=coco.joints[5:], bones=((0, 1),), centre=0, pairs=())


def test_max_persons_holds_for_every_format(tmp_path):
    xy, score = foreign.clip(persons=4)
    xy[0, 2:], score[0, 2:] = 0, 0
    np.savez(tmp_path / "a.npz", keypoint=xy, keypoint_score=score)
    for path in (tmp_path / "a.npz", poses.ultralytics_list(tmp_path / "a.json", xy, score)):
        clip = one(path, Options(image_size=foreign.SIZE, max_persons=2))
        np.testing.assert_array_equal(clip.record["keypoint"], xy[2:])
        np.testing.assert_array_equal(clip.record["keypoint_score"], score[2:])
    assert "4 persons" in one(tmp_path / "a.npz", Options(max_persons=2)).notes[0]


def test_json_of_numbers_alone_of_lines_and_of_landmarks_in_shares(tmp_path):
    xy, score = foreign.clip()
    (tmp_path / "a.json").write_text(json.dumps(xy.tolist()))
    np.testing.assert_array_equal(one(tmp_path / "a.json").record["keypoint"], xy)
    rows = [
        {"frame": t, "persons": [{"keypoints": j, "scores": s} for _, j, s in foreign.people(xy, score, t)]}
        for t in range(6)
    ]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    np.testing.assert_array_equal(one(tmp_path / "b.jsonl").record["keypoint"], xy)
    points = [
        [
            {"x": x / 1280, "y": y / 720, "z": -0.1, "visibility": 0.9}
            for x, y in np.tile(xy[0, t], (2, 1))[:33].tolist()
        ]
        for t in range(6)
    ]
    (tmp_path / "c.json").write_text(json.dumps({"frames": [{"landmarks": each} for each in points]}))
    clip = one(tmp_path / "c.json")
    np.testing.assert_allclose(clip.record["keypoint"][0, :, :17], xy[0], atol=1e-3)
    assert clip.shape == (33, 2, True)


@pytest.mark.parametrize(
    "value",
    [
        lambda xy: {"keypoints": xy[0].tolist()},
        lambda xy: {"info": {"camera": 1}, "frames": [[{"keypoints": frame}] for frame in xy[0].tolist()]},
        lambda xy: {"frames": {str(t): [{"keypoints": frame}] for t, frame in enumerate(xy[0].tolist())}},
        lambda xy: {
            "action": "wave",
            "data": [{"frame": t, "persons": [{"keypoints": f}]} for t, f in enumerate(xy[0].tolist())],
        },
    ],
)
def test_files_of_clips_are_no_frames_of_one(tmp_path, value):
    clips = [foreign.clip(persons=1, seed=n)[0] for n in range(3)]
    for n, xy in enumerate(clips):
        (tmp_path / f"{n}.json").write_text(json.dumps(value(xy)))
    found = list(read_inputs([str(tmp_path)], options=SIZED))
    assert [clip.name for clip in found] == ["0", "1", "2"]
    for xy, clip in zip(clips, found, strict=True):
        np.testing.assert_array_equal(clip.record["keypoint"], xy)
