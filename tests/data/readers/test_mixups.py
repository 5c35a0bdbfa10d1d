"""What was taken for something else: x and y mixed up, numbers for coordinates, frames for persons, videos for frames."""

import json
import pickle

import numpy as np
import pytest

from stgcn_cli.config.skeletons import COCO, NTU
from stgcn_cli.data.findings import unit_problems
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.errors import DataError
from tests.factories import bodies

BODY = bodies.kinect(30)[0]  # (T, 25, 3)
SCORE = np.random.default_rng(0).uniform(0.3, 0.9, (30, 17)).round(3)
_HEIGHTS = {
    "nose": 1.6,
    "eye": 1.65,
    "ear": 1.6,
    "shoulder": 1.4,
    "elbow": 1.1,
    "wrist": 0.9,
    "hip": 0.9,
    "knee": 0.5,
    "ankle": 0.1,
}
_AT = [(0.15 * (("left" in j) - ("right" in j)), _HEIGHTS[j.split()[-1]]) for j in COCO.joints]
MOVES = 3 * np.sin(np.linspace(0, 4, 30)[:, None, None] + np.arange(17)[:, None])
PIXELS = (np.array([640, 700]) + np.array([300, -300]) * np.array(_AT) + MOVES).round(2)  # (T, 17, 2)


def read(path, **options):
    return list(read_inputs([str(path)], options=Options(**options)))


def planar(x):
    """All x of a frame, then all y."""
    return x.transpose(0, 2, 1).reshape(len(x), -1)


@pytest.mark.parametrize("x", [BODY, BODY[..., :2], BODY - BODY.mean((0, 1)), PIXELS])
def test_rows_are_read_whichever_way_x_and_y_stand(x, tmp_path):
    layout = COCO if x.shape[1] == 17 else NTU
    for name, rows in (("a", x.reshape(30, -1)), ("b", planar(x))):
        np.save(tmp_path / f"{name}.npy", rows)
        np.savetxt(tmp_path / f"{name}.csv", rows, "%.5f", ",")
        people = [{"frame": t, "keypoints": row.tolist()} for t, row in enumerate(rows)]
        (tmp_path / f"{name}.json").write_text(json.dumps(people))
        for suffix in ("npy", "csv", "json"):
            (clip,) = read(tmp_path / f"{name}.{suffix}", layout=layout)
            np.testing.assert_allclose(clip.record["keypoint"][0], x, rtol=1e-5, atol=1e-4)


FAR = (np.add(BODY, [0, 0, 3]), np.add(PIXELS, [400, 0]))  # from the camera, or to one side of the picture


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("x", [*FAR, BODY, BODY[..., :2], PIXELS, PIXELS - PIXELS.mean((0, 1))])
def test_joints_in_an_order_of_ones_own_are_read_or_asked_about(x, seed, tmp_path):
    """The bones of built-in skeletons say nothing of them; coordinates far apart do."""
    is_far = any(x is each for each in FAR)
    x = x[:, np.random.default_rng(seed).permutation(x.shape[1])]
    for rows in (x.reshape(30, -1), *([planar(x)] if is_far else [])):
        np.save(tmp_path / "a.npy", rows)
        try:
            (clip,) = read(tmp_path / "a.npy")
        except DataError as error:
            assert "say which: --axes" in str(error) and not is_far
        else:
            np.testing.assert_allclose(clip.record["keypoint"][0], x, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("first", "said"), [(np.tile(np.arange(17)[:, None], (30, 1, 1)), "its number"), (SCORE[..., None], "a score")]
)
def test_a_first_value_that_is_no_x_is_refused(first, said, tmp_path):
    np.save(tmp_path / "a.npy", np.concatenate([first, PIXELS], axis=-1))
    with pytest.raises(DataError, match=f"first value of each joint is {said}.*array"):
        read(tmp_path / "a.npy")


def test_y_before_x_and_percent_are_noticed(tmp_path):
    for name, x in (("a", PIXELS), ("b", PIXELS[..., ::-1])):
        np.save(tmp_path / f"{name}.npy", x)
    right, exchanged = read(tmp_path)
    assert not right.notes and "MoveNet" in exchanged.notes[0]
    assert [len(list(unit_problems((17, 2, False), high, (0, 0)))) for high in (97.0, 640.0)] == [1, 0]


def test_one_frame_of_one_person_is_no_clip(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS[:, None, None])  # (T, 1, 1, V, C), as MoveNet's outputs are stacked
    (clip,) = read(tmp_path / "a.npy")
    np.testing.assert_allclose(clip.record["keypoint"][0], PIXELS, rtol=1e-6)


def test_arrays_beside_that_say_other_than_a_frame_below_the_other(tmp_path):
    frames = np.arange(30)
    np.savez(tmp_path / "a.npz", poses=PIXELS, frame_ids=frames + 7, track_ids=frames * 0)
    np.savez(tmp_path / "b.npz", poses=PIXELS, frame_ids=np.r_[frames[:15], frames[:15]])
    np.savez(tmp_path / "c.npz", data=PIXELS, label=3)
    assert read(tmp_path / "a.npz")[0].shape[:2] == (17, 2) and read(tmp_path / "c.npz")[0].record["label"] == 3
    with pytest.raises(DataError, match="frame_ids in it is not in even steps"):
        read(tmp_path / "b.npz")


ENTRIES = [{"keypoints": x.tolist(), "keypoint_scores": s.tolist()} for x, s in zip(PIXELS, SCORE, strict=True)]
COUNTED = [{"frame": t, **each} for t, each in enumerate(ENTRIES)]


def test_frames_are_no_persons_of_a_picture_and_videos_no_frames(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(COUNTED))
    (clip,) = read(tmp_path / "a.json")
    np.testing.assert_allclose(clip.record["keypoint"][0], PIXELS, rtol=1e-6)
    np.testing.assert_allclose(clip.record["keypoint_score"][0], SCORE, rtol=1e-6)
    (tmp_path / "b.json").write_text(json.dumps({"v1": COUNTED, "v2": COUNTED[:9]}))
    assert [(each.name, each.record["total_frames"]) for each in read(tmp_path / "b.json")] == [
        ("b/v1", 30),
        ("b/v2", 9),
    ]
    for value in (ENTRIES, {"v1": ENTRIES, "v2": ENTRIES[:9]}):
        (tmp_path / "c.json").write_text(json.dumps(value))
        with pytest.raises(DataError, match="lie one upon another: are they frames"):
            read(tmp_path / "c.json")


def test_a_list_of_one_person_in_each_file_is_a_frame(tmp_path):
    (tmp_path / "walk").mkdir()
    for t in range(30):
        listed = [{"keypoints": PIXELS[t].tolist(), "score": 0.9}] if t != 5 else []
        (tmp_path / "walk" / f"{t}.json").write_text(json.dumps(listed))
    (clip,) = read(tmp_path / "walk")
    there = (np.arange(30) != 5)[:, None, None]
    np.testing.assert_allclose(clip.record["keypoint"][0], PIXELS * there, rtol=1e-6)


def test_the_size_in_an_object_about_the_video(tmp_path):
    about = {"metadata": {"width": 1280, "height": 720}, "frames": COUNTED}
    (tmp_path / "a.json").write_text(json.dumps(about))
    assert read(tmp_path / "a.json")[0].record["img_shape"] == (720, 1280)


@pytest.mark.parametrize("column", ["trial", "Take", "rep", "segment_id"])
def test_a_column_that_counts_takes_tells_the_clips(column, tmp_path):
    header = ",".join([column, *(f"x{v},y{v}" for v in range(17))])
    rows = [",".join(map(str, [1 + t // 20, *x.ravel()])) for t, x in enumerate(PIXELS)]
    (tmp_path / "a.csv").write_text("\n".join([header, *rows]))
    assert [(clip.name, clip.record["total_frames"]) for clip in read(tmp_path / "a.csv")] == [("1", 20), ("2", 10)]


def test_frames_by_number_with_predictions_are_no_videos(tmp_path):  # as OpenPifPaf writes them
    lines = [
        json.dumps({"frame": t + 1, "predictions": [{"keypoints": x.ravel().tolist()}]}) for t, x in enumerate(PIXELS)
    ]
    (tmp_path / "a.json").write_text("\n".join(lines))
    (clip,) = read(tmp_path / "a.json")
    np.testing.assert_allclose(clip.record["keypoint"][0], PIXELS, rtol=1e-6)


def test_rotations_of_smpl_and_pictures_are_no_joints(tmp_path):
    np.savez(tmp_path / "a.npz", poses=np.zeros((30, 156)) + 0.1, trans=np.ones((30, 3)), betas=np.ones(16))
    np.save(tmp_path / "b.npy", np.ones((30, 64, 64, 3), np.uint8))
    for name, said in (("a.npz", "rotations of SMPL"), ("b.npy", "pictures")):
        with pytest.raises(DataError, match=said):
            read(tmp_path / name)


OTHER = PIXELS + np.array([400, 0])


@pytest.mark.parametrize("shape", [list, np.stack])
def test_a_pickle_of_the_persons_of_each_frame(shape, tmp_path):
    frames = [shape([a, b]) for a, b in zip(PIXELS, OTHER, strict=True)]
    frames[4], frames[7] = None, frames[7][:1]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(frames))
    (clip,) = read(tmp_path / "a.pkl")
    there = np.stack([np.arange(30) != 4, ~np.isin(range(30), (4, 7))])[..., None, None]
    np.testing.assert_allclose(clip.record["keypoint"], np.stack([PIXELS, OTHER]) * there, rtol=1e-6)


def test_labels_of_many_clips_beside_one_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", X=PIXELS, y=np.arange(30) % 3)
    with pytest.raises(DataError, match="labels are beside it, but it is one clip"):
        read(tmp_path / "a.npz")


def test_joints_of_other_categories_and_a_joint_0_that_never_occurs(tmp_path):
    names = [joint.replace(" ", "_") for joint in COCO.joints]
    categories = [{"id": 1, "keypoints": names}, {"id": 2, "keypoints": [f"paw {v}" for v in range(17)]}]
    seen = [
        {"image_id": t, "category_id": c, "keypoints": np.c_[x[t], SCORE[t]].ravel().tolist()}
        for t in range(30)
        for c, x in ((2, OTHER), (1, PIXELS))
    ]
    images = [{"id": t, "file_name": f"{t}.jpg"} for t in range(30)]
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": seen, "categories": categories}))
    (clip,) = read(tmp_path / "a.json")
    np.testing.assert_allclose(clip.record["keypoint"], PIXELS[None], rtol=1e-6)
    assert "30 of 60 annotations have other keypoints than 1: left out." in clip.notes[-1]
    rows = [f"{t},{v},{x},{y}" for t in range(30) for v, (x, y) in enumerate(PIXELS[t].tolist()) if v]
    (tmp_path / "b.csv").write_text("\n".join(["frame,joint,x,y", *rows]))
    assert "Joint 0 is in no row" in " ".join(read(tmp_path / "b.csv")[0].notes)


@pytest.mark.parametrize("data", ["X", "keypoints"])
def test_labels_names_and_lengths_beside_an_array_are_of_its_clips(data, tmp_path):
    x, lengths = np.stack([PIXELS, OTHER, PIXELS + 9]), np.array([20, 30, 7])
    x[0, 20:] = x[0, 19]  # filled up with the last frame
    labels = {"y" if data == "X" else "labels": np.array(["b", "a", "b"])}
    np.savez(tmp_path / "a.npz", **{data: x}, **labels, names=["u", "v", "w"], lengths=lengths, subjects=[3, 3, 4])
    clips = read(tmp_path / "a.npz")
    assert [(c.name, c.record["label"], c.record["subject"]) for c in clips] == [
        ("u", "b", 3),
        ("v", "a", 3),
        ("w", "b", 4),
    ]
    for clip, one, length in zip(clips, x, lengths, strict=True):
        assert clip.record["total_frames"] == length
        np.testing.assert_allclose(clip.record["keypoint"][0, :length], one[:length], rtol=1e-6)


def test_rotations_and_speeds_are_no_joints_and_percent_in_a_header_is_percent(tmp_path):
    def table(columns):  # (name of a joint in the header, its values (T, 2))
        names = [spell.format(axis) for spell, _ in columns for axis in "xy"]
        rows = np.concatenate([values for _, values in columns], axis=1)
        (tmp_path / "a.csv").write_text("\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]))
        return tmp_path / "a.csv"

    joints = [(joint, PIXELS[:, v]) for v, joint in enumerate(COCO.joints)]
    others = [(f"{joint}_{word}_{{}}", x * 0 + 7) for joint, x in joints for word in ("rot", "Velocity")]
    (clip,) = read(table([*((f"{joint}_{{}}", x) for joint, x in joints), *others]))
    np.testing.assert_allclose(clip.record["keypoint"][0], PIXELS, rtol=1e-6)
    with pytest.raises(DataError, match="its columns name no joints"):
        read(table(others))
    percent = [(f"{joint}_{{}} (%)", x / np.array([12.8, 7.2])) for joint, x in joints]
    (clip,) = read(table(percent), image_size=(720, 1280))
    np.testing.assert_allclose(clip.record["keypoint"][0], PIXELS, rtol=1e-5)


def test_a_table_that_is_no_clip_among_those_that_are_is_named(tmp_path):
    rows = [",".join(["frame", *(f"x{v},y{v}" for v in range(17))])]
    rows += [",".join(map(str, [t, *frame.ravel()])) for t, frame in enumerate(PIXELS)]
    (tmp_path / "titled.csv").write_text("\n".join(["Recording of 3 May", *rows]))
    with pytest.raises(DataError, match=r"titled\.csv.*its columns name no joints: Recording of 3 May"):
        read(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("\n".join(rows))
    (tmp_path / "labels.csv").write_text("name,label\na,wave\n")
    clips = read(tmp_path)
    assert [clip.name for clip in clips] == ["a", "b"]
    assert [note.partition("name joints: ")[2] for note in clips[0].notes] == [f"{tmp_path / 'titled.csv'}."]
