"""Text tables: every spelling of a header, delimiter and encoding gives the same clip; what cannot be told is refused."""

import csv
import io

import numpy as np
import pytest

from stgcn_cli.config.skeletons import COCO, LAYOUTS, NTU
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.readers.wide_columns import joint_words, place_of
from stgcn_cli.errors import DataError

PIXELS = np.round(np.random.default_rng(0).uniform(50, 600, (6, 17, 2)), 2).astype(np.float32)
SCORE = np.round(np.random.default_rng(1).uniform(0.1, 1, (6, 17)), 3).astype(np.float32)
COCO_NAMES = [name.title().replace(" ", "_") for name in COCO.joints]
UV, COLROW = {"x": "u", "y": "v"}, {"x": "col", "y": "row"}
SPELLINGS = {
    "x1": lambda v, a: f"{a}{v + 1}", "x_1": lambda v, a: f"{a}_{v}", "x[1]": lambda v, a: f"{a}[{v}]", "1_x": lambda v, a: f"{v}_{a}",
    "1x": lambda v, a: f"{v}{a}", "X1": lambda v, a: f"{a.upper()}{v + 1}", "kp0:x": lambda v, a: f"kp{v}:{a}",
    "landmark_x_0": lambda v, a: f"landmark_{a}_{v}", "joint.0.x": lambda v, a: f"joint.{v}.{a}", "p0_x": lambda v, a: f"p{v}_{a}",
    "nose_x": lambda v, a: f"{COCO_NAMES[v].lower()}_{a}", "nose.x": lambda v, a: f"{COCO_NAMES[v]}.{a}",
    "NOSE-X": lambda v, a: f"{COCO_NAMES[v].upper()}-{a.upper()}", "x(nose)": lambda v, a: f"{a}({COCO_NAMES[v]})",
    "nose(x)": lambda v, a: f"{COCO_NAMES[v]}({a})", "x_nose": lambda v, a: f"{a}_{COCO_NAMES[v]}",
    "nose_x (px)": lambda v, a: f"{COCO_NAMES[v]}_{a}" + (" (px)" if a in "xy" else ""),
    "leftHipX": lambda v, a: COCO_NAMES[v].replace("_", "") + a.title(), "tuple": lambda v, a: f"('{COCO_NAMES[v]}', '{a}')",
    "LHip_x": lambda v, a: f"{COCO_NAMES[v].replace('Left_', 'L').replace('Right_', 'R')}_{a}",
    "hip_l_x": lambda v, a: "_".join([*(word[0] if word in ("left", "right") else word for word in reversed(COCO.joints[v].split())), a]),
    "joint_1_pos_x": lambda v, a: f"joint_{v}_pos_{a}", "keypoints[0].x": lambda v, a: f"keypoints[{v}].{a}",
    "0_nose_x": lambda v, a: f"{v}_{COCO_NAMES[v]}_{a}", "px0": lambda v, a: f"p{a}{v}" if a in "xy" else f"{a}{v}",
    "nose_X_position": lambda v, a: f"{COCO_NAMES[v]}_{a.title()}_position", "Body 1:nose_X": lambda v, a: f"Body 1:{COCO_NAMES[v]}_{a}",
    "nose_u": lambda v, a: f"{COCO_NAMES[v]}_{UV.get(a, a)}", "u0": lambda v, a: f"{UV.get(a, a)}{v}", "0_col": lambda v, a: f"{v}_{COLROW.get(a, a)}",
    "xcoord_0": lambda v, a: f"{a}coord_{v}" if a in "xy" else f"{a}_{v}", "pixel_x0": lambda v, a: f"pixel_{a}{v}" if a in "xy" else f"{a}{v}",
    "0_px_x": lambda v, a: f"{v}_px_{a}" if a in "xy" else f"{v}_{a}", "nose_x2d": lambda v, a: f"{COCO_NAMES[v]}_{a}2d" if a in "xy" else f"{COCO_NAMES[v]}_{a}",
    "X (px) 0": lambda v, a: f"{a.upper()} (px) {v}" if a in "xy" else f"{a} {v}", "nose_cx": lambda v, a: f"{COCO_NAMES[v]}_c{a}" if a in "xy" else f"{COCO_NAMES[v]}_{a}",
    "p1_nose_x": lambda v, a: f"p1_{COCO_NAMES[v]}_{a}", "person_1_nose_x": lambda v, a: f"person_1_{COCO_NAMES[v]}_{a}",
}  # fmt: skip


def text(rows, delimiter=",") -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter).writerows(rows)
    return stream.getvalue()


def wide(spell, before=(), score="score", joints=range(17)):
    """A header and a row a frame: `before` has (name, values) of other columns."""
    joints = list(joints)
    names = [spell(v, a) for v in joints for a in ("x", "y", score)]
    rows = np.concatenate([PIXELS, SCORE[..., None]], -1)[:, joints].reshape(6, -1)
    return [
        [*(name for name, _ in before), *names],
        *([*(values[t] for _, values in before), *rows[t]] for t in range(6)),
    ]


def clips(tmp_path, content, name="a.csv", encoding="utf-8", **options):
    path = tmp_path / name
    path.write_bytes(content.encode(encoding))
    return list(read_inputs([str(path)], options=Options(**options)))


def one(tmp_path, content, **options):
    (found,) = clips(tmp_path, content, **options)
    return found.record


def check(record, keypoint=PIXELS, score=SCORE):
    np.testing.assert_allclose(record["keypoint"], keypoint[None], rtol=1e-6)
    if score is not None:
        np.testing.assert_allclose(record["keypoint_score"], score[None], rtol=1e-6)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("score", ["score", "visibility"])
def test_every_spelling_of_joints_and_axes_is_the_same_clip(tmp_path, spelling, score):
    record = one(tmp_path, text(wide(SPELLINGS[spelling], [("frame", range(6))], score)))
    check(record)
    assert record["frame_dir"] == "a"


def test_the_places_of_columns_and_rows_do_not_matter_where_they_have_names(tmp_path):
    rng = np.random.default_rng(3)
    joints = rng.permutation(17)
    rows = wide(SPELLINGS["nose_x"], [("", "zzzzzz"), ("frame_id", range(7, 13)), ("fps", [30] * 6)], joints=joints)
    rows[1:] = [rows[1 + t] for t in rng.permutation(6)]
    (found,) = clips(tmp_path, text(rows))
    check(found.record)
    assert found.layout is COCO


def test_joints_of_kinect_are_known_under_the_names_of_its_sdk(tmp_path):
    names = {"base of spine": "SpineBase", "mid spine": "SpineMid", "spine": "SpineShoulder"}
    called = [
        names.get(j) or "".join(w.title() for w in reversed(j.split(" ", 1))).replace(" ", "") for j in NTU.joints
    ]
    x = np.random.default_rng(0).normal(0, 1, (4, 25, 3)).astype(np.float32) + np.float32([0, 0, 3])
    order = np.random.default_rng(1).permutation(25)
    rows = [["time", *(f"{called[v]}_{a}" for v in order for a in "xyz")]]
    rows += [[0.033 * t, *x[t, order].ravel()] for t in (2, 0, 3, 1)]
    (found,) = clips(tmp_path, text(rows))
    np.testing.assert_allclose(found.record["keypoint"][0], x, rtol=1e-5)
    assert found.layout is NTU


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("comma", [False, True])
def test_delimiters_encodings_and_decimal_commas(tmp_path, delimiter, encoding, comma):
    rows = wide(SPELLINGS["x_1"], [("frame", range(6)), ("label", ["wave"] * 6)])
    if comma and delimiter != ",":
        rows = [[str(cell).replace(".", ",") for cell in row] for row in rows]
    record = one(tmp_path, text(rows, delimiter), encoding=encoding)
    check(record)
    assert record["label"] == "wave"


def test_blank_rows_gaps_and_missing_words(tmp_path):
    rows = wide(SPELLINGS["x_1"], [("frame", [3, 4, 5, 8, 9, 10])])
    rows[2][1:4] = ["", "NaN", ""]
    rows[3][1:] = [""] * 51
    record = one(tmp_path, text(rows).replace("\r\n", "\n", 3) + "\n\n,,,\n")
    expected = np.zeros((8, 17, 2), np.float32)
    expected[[0, 1, 5, 6, 7]] = PIXELS[[0, 1, 3, 4, 5]]
    expected[1, 0] = 0
    check(record, expected, None)
    without = [row[1:] for row in rows]  # the rows are the frames: an empty one is a frame, a blank line is none
    found = one(tmp_path, "\n" + text(without).replace("\r\n", "\n\n"))["keypoint"]
    np.testing.assert_allclose(found[0], np.delete(expected, [3, 4], 0), rtol=1e-6)


def test_several_persons_in_rows_or_side_by_side(tmp_path):
    other = PIXELS + 7
    rows = [["track_id", "frame", *(f"x{v}" for v in range(17)), *(f"y{v}" for v in range(17))]]
    for t in range(6):
        rows += [[5, t, *PIXELS[t].T.ravel()]] + ([[9, t, *other[t].T.ravel()]] if t else [])
    found = one(tmp_path, text(rows))["keypoint"]
    other[0] = 0
    np.testing.assert_allclose(found, np.stack([PIXELS, other]), rtol=1e-6)
    assert len(one(tmp_path, text(rows), max_persons=1)["keypoint"]) == 1
    beside = [[f"person{m}_{COCO_NAMES[v]}_{a}" for m in (1, 2) for v in range(17) for a in "xy"]]
    beside += [[*PIXELS[t].ravel(), *other[t].ravel()] for t in range(6)]
    np.testing.assert_allclose(one(tmp_path, text(beside))["keypoint"], found, rtol=1e-6)


def test_deeplabcut_with_one_animal_or_several(tmp_path):
    x = PIXELS[:, :3]
    single = [
        ["scorer", *["net"] * 9],
        ["bodyparts", *np.repeat(["Nose", "Paw", "Tail"], 3)],
        ["coords", *["x", "y", "likelihood"] * 3],
    ]
    single += [[t, *np.concatenate([x[t], SCORE[t, :3, None]], -1).ravel()] for t in range(6)]
    check(one(tmp_path, text(single)), x, SCORE[:, :3])
    several = [[word, *row[1:], *row[1:]] for word, row in zip(("scorer", "bodyparts", "coords"), single, strict=False)]
    several.insert(1, ["individuals", *["a"] * 9, *["b"] * 9])
    several += [[*row, *row[1:]] for row in single[3:]]
    found = one(tmp_path, text(several))
    np.testing.assert_allclose(found["keypoint"], np.stack([x, x]), rtol=1e-6)


def test_boxes_and_other_numbers_are_no_joints(tmp_path):
    extra = [
        (name, range(6))
        for name in ("x_min", "y_min", "x_max", "y_max", "x1", "y1", "x2", "y2", "bbox_x", "bbox_y", "angle_1")
    ]
    check(one(tmp_path, text(wide(SPELLINGS["nose_x"], extra))))


def test_the_class_of_rows_makes_clips_where_it_changes(tmp_path):
    rows = wide(SPELLINGS["x_1"], [("class", ["up"] * 4 + ["down"] * 2)])
    first, second = clips(tmp_path, text(rows))
    assert (first.record["label"], second.record["label"]) == ("up", "down") and "2" in first.notes[0]
    check(first.record, PIXELS[:4], SCORE[:4])
    rows = wide(SPELLINGS["x_1"], [("class", ["up", "down"] * 3)])
    with pytest.raises(DataError, match="poses, not clips"):
        clips(tmp_path, text(rows))
    rows = wide(SPELLINGS["x_1"], [("video", ["a", "b"] * 3), ("class", ["up", "down"] * 3)])
    check(clips(tmp_path, text(rows))[1].record, PIXELS[1::2], SCORE[1::2])


def test_names_of_pictures_are_videos_and_frames(tmp_path):
    names = [f"walk_{t}.jpg" for t in (9, 10, 11)] + [f"run_{t}.jpg" for t in (1, 2, 3)]
    walk, run = clips(tmp_path, text(wide(SPELLINGS["nose_x"], [("file_name", names)])))
    assert (walk.name, run.name) == ("walk", "run")
    check(walk.record, PIXELS[:3], SCORE[:3])
    with pytest.raises(DataError, match="pictures"):
        clips(tmp_path, text(wide(SPELLINGS["nose_x"], [("file_name", list("qwerty"))])))


@pytest.mark.parametrize(
    "times", [[0.0, 0.04, 0.09, 0.12, 0.5, 0.6], [f"00:00:0{t}.5" for t in range(6)], [1e12 + 33 * t for t in range(6)]]
)
def test_times_give_the_order(tmp_path, times):
    rows = wide(SPELLINGS["x_1"], [("timestamp", times)])
    check(one(tmp_path, text([rows[0], *rows[:0:-1]])))


@pytest.mark.parametrize("z", [False, True])
def test_shares_of_the_image_become_pixels(tmp_path, z):
    shares = PIXELS / np.float32([1280, 720])
    depth = np.full((6, 17, 1), -0.3, np.float32)
    values = np.concatenate([shares, depth] if z else [shares], -1)
    rows = [[f"{a}{v}" for v in range(17) for a in "xyz"[: values.shape[-1]]], *values.reshape(6, -1)]
    (found,) = clips(tmp_path, text(rows), image_size=(720, 1280))
    np.testing.assert_allclose(found.record["keypoint"][0], PIXELS, rtol=1e-4)
    assert found.record["img_shape"] == (720, 1280) and "1280 x 720" in found.notes[0]


def test_a_row_a_joint_under_other_names(tmp_path):
    for names in (
        ("frame", "keypoint", "x", "y", "conf"),
        ("frame_number", "landmark_id", "x_px", "y_px", "visibility"),
        ("Frame", "joint", "u", "v", "p"),
        ("fr", "kp", "col", "row", "score"),
        ("frame", "joint", "pixel_x", "pixel_y", "c"),
    ):
        rows = [[t, v, *PIXELS[t, v], SCORE[t, v]] for t in range(6) for v in range(17)]
        check(one(tmp_path, text([names, *rows])))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("1,2,3\n4,5,6\n", "numbers only"), ("frame,a,b\n1,2,3\n", "name no joints: frame, a, b"),
        (text(wide(SPELLINGS["x_1"], [("frame", [0, 1, 1, 2, 3, 4])])), "frame 1 stands twice"),
        (text(wide(lambda v, a: f"{'abcdefghijklmnopq'[v]}q_{a}")), "--layout coco where the order is the same"),
        (text(wide(lambda v, a: f"{a}{v + 11}")), "numbers 11 to 27"),
        ("x1,y1,x2,y2,z2\n1,2,3,4,5\n", "some joints have a column z"), ("nose_x,nose_y,NOSE_x\n1,2,3\n", "two columns hold x of NOSE"),
        ("nose_x,nose_y\n1,a\n", "line 2: nose_y is 'a', not a number"), ("", "empty"),
        ("a_x,a_y,person1_b_x,person1_b_y\n1,2,3,4\n", "has columns of other joints"), ("frame,keypoint,y\n0,0,1\n", "name no joints"), ("frame,keypoint,x\n0,0,1\n", "column 'y' not found"),
    ],
)  # fmt: skip
def test_ambiguous_tables_are_refused(tmp_path, content, said):
    with pytest.raises(DataError) as error:
        clips(tmp_path, content)
    assert said in error.value.message


def test_a_layout_picks_its_joints_by_name_or_takes_the_order(tmp_path):
    blaze = LAYOUTS["mediapipe-33"].joints
    names = [name.replace(" ", "_") for name in blaze]
    x = np.random.default_rng(0).uniform(5, 600, (3, 33, 2)).astype(np.float32)
    rows = [[f"{name}_{a}" for name in names for a in "xy"], *x.reshape(3, -1)]
    expected = x[:, [blaze.index(joint) for joint in COCO.joints]]
    np.testing.assert_allclose(one(tmp_path, text(rows), layout=COCO)["keypoint"][0], expected, rtol=1e-6)
    check(one(tmp_path, text(wide(lambda v, a: f"{'abcdefghijklmnopq'[v]}q_{a}")), layout=COCO))
    check(one(tmp_path, text(wide(lambda v, a: f"{a}{v + 11}")), layout=COCO))


@pytest.mark.parametrize("name", ["frame", "fps", "time", "label", "angle1", "x", "nose", "class_no"])
def test_other_columns_hold_no_values_of_joints(name):
    assert place_of(name) is None


@pytest.mark.parametrize(
    "name", ["LShoulder", "shoulder_left", "left_shoulder", "lsho", "shoulder.L", "l_shoulder", "lshoulder"]
)
def test_names_of_joints_are_sets_of_words(name):
    assert joint_words(name) == {"left", "shoulder"}


def test_labels_beside_clips_are_no_clips_in_a_folder(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "labels.csv").write_text("name,label\na,wave\n")
    (tmp_path / "own" / "a.csv").write_text(text(wide(SPELLINGS["x_1"])))
    assert [clip.name for clip in read_inputs([str(tmp_path / "own")])] == ["a"]


def test_names_of_joints_in_rows_make_the_skeleton(tmp_path):
    rows = [
        [t, COCO_NAMES[v], *PIXELS[t, v], SCORE[t, v]]
        for t in range(6)
        for v in np.random.default_rng(t).permutation(17)
    ]
    (found,) = clips(tmp_path, text([("frame", "joint_name", "x", "y", "score"), *rows]))
    check(found.record)
    assert found.layout is COCO


def test_comments_and_names_of_rows_do_not_shift_columns(tmp_path):
    rows = wide(SPELLINGS["x_1"], [("frame", range(6))])
    check(one(tmp_path, "# " + text(rows, " ")))
    check(one(tmp_path, text([rows[0], *([f"row{t}", *row] for t, row in enumerate(rows[1:]))])))
