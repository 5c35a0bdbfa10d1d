"""One clip in the forms that people's own scripts give it: each is read as that clip, or refused with what to type."""

import gzip
import io
import json
import pickle

import numpy as np
import pytest

from stgcn_cli.config.skeletons import COCO, LAYOUTS
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.errors import DataError
from tests.factories import foreign

BOTH, SCORES = foreign.clip(frames=12, persons=1)
X, SCORE = BOTH[0], SCORES[0]  # (T, V, 2), (T, V)
Y = X + 250
XYS = np.concatenate([X, SCORE[..., None]], -1)
NAMES = [name.replace(" ", "_") for name in COCO.joints]


def read(path, **options):
    return list(read_inputs([str(path)], options=Options(**options)))


def csv(header, rows):
    return "\n".join(",".join(map(str, row)) for row in ([header] if header else []) + [list(row) for row in rows])


def wide(before=(), spell="{}_{}", x=X, names=NAMES, axes="xy"):
    header = [*(name for name, _ in before), *(spell.format(name, axis) for name in names for axis in axes)]
    return csv(header, ([*(values[t] for _, values in before), *frame.ravel()] for t, frame in enumerate(x)))


def cells(header, *columns):
    """A table whose columns may hold lists, with quotes around these."""
    rows = ([f'"{each}"' if "," in str(each) else each for each in row] for row in zip(*columns, strict=True))
    return csv(header, rows)


def listed(array, sep=", "):
    return [sep.join(map(str, frame.ravel())) for frame in array]


SOME = [0, 1, 2, 3, 4]  # joints with a score
TABLES = {  # content, keypoint, score, what a note says
    "numbers without a header": (csv(None, X.reshape(12, -1)), X, None, "no header"),
    "scores and no header": (csv(None, XYS.reshape(12, -1)), X, SCORE, "no header"),
    "frames and no header": (csv(None, ([t, *XYS[t].ravel()] for t in range(12))), X, SCORE, "first column counts rows"),
    "a prefix": (wide(spell="PoseLandmark.{}_{}"), X, None, ""),
    "ids of rows": (wide([("id", range(12))]), X, None, ""),
    "joints from 1": (csv(["frame", "joint", "x", "y"], ([t, v + 1, *X[t, v]] for t in range(12) for v in range(17))), X, None, ""),
    "some scores": (
        csv([f"{n}_{a}" for v, n in enumerate(NAMES) for a in (("x", "y", "conf") if v in SOME else "xy")],
            (np.concatenate([XYS[t, v] if v in SOME else X[t, v] for v in range(17)]) for t in range(12))),
        X, np.where(np.isin(range(17), SOME), SCORE, 1), "5 of 17 joints have a column of scores",
    ),
    "times with a gap": (wide([("time", [*range(6), *range(9, 15)])]), X, None, "1 gaps, the longest of 4 where 1 is usual"),
    "every fifth frame": (wide([("frame", range(3, 63, 5))]), X, None, "steps of 5"),
    "names twice": (csv([a + (f".{v}" if v else "") for v in range(17) for a in "xy"], X.reshape(12, -1)), X, None, ""),
    "lists of x, y, score": (cells(["frame", "keypoints"], range(12), [f"[{each}]" for each in listed(XYS)]), X, SCORE, ""),
    "lists of points": (cells(["frame", "pose", "bbox"], range(12), [str(f.tolist()) for f in X], ["[1, 2, 3, 4]"] * 12), X, None, ""),
    "tuples": (cells(["frame", "kps"], range(12), [str([tuple(p) for p in f.tolist()]) for f in X]), X, None, ""),
    "printed arrays": (cells(["frame", "kps"], range(12), [str(f).replace("\n", " ") for f in X]), X, None, ""),
    "lists and scores": (cells(["frame", "keypoints", "scores"], range(12), [f"[{e}]" for e in listed(X)], [f"[{e}]" for e in listed(SCORE)]), X, SCORE, ""),
    "numbers in a cell": (cells(["frame", "keypoints"], range(12), listed(XYS, " ")), X, SCORE, ""),
    "lists of x and of y": (cells(["frame", "x", "y"], range(12), [f"[{e}]" for e in listed(X[..., 0])], [f"[{e}]" for e in listed(X[..., 1])]), X, None, ""),
    "a point in a cell": (cells(["frame", *NAMES[::-1]], range(12), *([str(tuple(p)) for p in X[:, v].tolist()] for v in range(16, -1, -1))), X, None, ""),
    "lists beside corners": (cells(["frame", "x1", "y1", "x2", "y2", "keypoints"], range(12), *([v] * 12 for v in range(4)), listed(XYS)), X, SCORE, ""),
    "lists and semicolons": ("frame;keypoints\n" + "".join(f"{t};{f.tolist()}\n" for t, f in enumerate(XYS)), X, SCORE, ""),
    "not seen": (wide(x=np.where(np.arange(17)[:, None] == 3, -1, X)), np.where(np.arange(17)[:, None] == 3, 0, X), None, "-1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_tables(kind, tmp_path):
    content, keypoint, score, said = TABLES[kind]
    (tmp_path / "a.csv").write_text(content)
    (clip,) = read(tmp_path / "a.csv")
    np.testing.assert_allclose(clip.record["keypoint"], keypoint[None], rtol=1e-6)
    if score is not None:
        np.testing.assert_allclose(clip.record["keypoint_score"], score[None], rtol=1e-6)
    assert said in " ".join(clip.notes) and (said or not clip.notes)
    (tmp_path / "a.csv").rename(tmp_path / "a.txt")
    assert np.array_equal(read(tmp_path / "a.txt")[0].record["keypoint"], clip.record["keypoint"])


def test_an_id_is_of_a_person_where_frames_repeat_and_a_label_may_be_a_decimal(tmp_path):
    both = np.concatenate([X, Y])
    before = [("frame", [*range(12)] * 2), ("id", [4] * 12 + [7] * 12), ("label", ["2.0"] * 24)]
    (tmp_path / "a.csv").write_text(wide(before, x=both))
    (clip,) = read(tmp_path / "a.csv")
    np.testing.assert_allclose(clip.record["keypoint"], [X, Y], rtol=1e-6)
    assert clip.record["label"] == 2


@pytest.mark.parametrize(
    ("columns", "said"), [(36, "12 joints with 3 values or 18 joints with 2 values"), (37, "known skeleton")]
)
def test_rows_of_numbers_that_fit_no_skeleton_or_two_are_refused(columns, said, tmp_path):
    (tmp_path / "a.csv").write_text(csv(None, np.random.default_rng(0).uniform(1, 600, (5, columns))))
    with pytest.raises(DataError) as error:
        read(tmp_path / "a.csv")
    assert said in error.value.message and "--layout" in error.value.message


SHUFFLED = np.random.default_rng(0).permutation(17).tolist()
WIDE = [
    {"frame": t, **{f"{NAMES[v]}_{a}": float(f[v, i]) for v in SHUFFLED for i, a in enumerate("xy")}}
    for t, f in enumerate(X)
]
RECORDS = {  # a table in JSON, as pandas writes it by its argument `orient`
    "records": WIDE, "list": {key: [row[key] for row in WIDE] for key in WIDE[0]}, "index": {str(i): row for i, row in enumerate(WIDE)},
    "columns": {key: {str(i): row[key] for i, row in enumerate(WIDE)} for key in WIDE[0]},
    "split": {"columns": list(WIDE[0]), "index": [*range(12)], "data": [list(row.values()) for row in WIDE]},
    "table": {"schema": {"fields": [{"name": key} for key in WIDE[0]]}, "data": WIDE},
    "a row a joint": [{"frame": t, "joint": v, "x": float(X[t, v, 0]), "y": float(X[t, v, 1])} for t in range(12) for v in SHUFFLED],
    "joints in lists": [{"frame": t, **{NAMES[v]: f[v].tolist() for v in SHUFFLED}} for t, f in enumerate(X)],
    "joints as objects": [{NAMES[v]: dict(zip("xy", f[v].tolist(), strict=True)) for v in SHUFFLED} for f in X],
}  # fmt: skip


@pytest.mark.parametrize("orient", RECORDS)
def test_tables_in_json(orient, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(RECORDS[orient]))
    (clip,) = read(tmp_path / "a.json")
    np.testing.assert_allclose(clip.record["keypoint"], X[None], rtol=1e-6)


FRAMES = [{"keypoints": frame.tolist()} for frame in XYS]
OTHER = [{"keypoints": frame.tolist()} for frame in np.concatenate([Y, SCORE[..., None]], -1)]
JSON = {
    "deeper": {"meta": {}, "result": {"frames": FRAMES}}, "numbers by frame": {f"f{t}": x.tolist() for t, x in enumerate(XYS)},
    "times": [{"timestamp": 33.3 * t, **FRAMES[t]} for t in reversed(range(12))],
    "every fifth frame": [{"frame": 5 * t, **f} for t, f in enumerate(FRAMES)],
    "by name in another order": [{"frame": t, **{NAMES[v]: f[v].tolist() for v in range(16, -1, -1)}} for t, f in enumerate(X)],
    "points with names": [[{"keypoints": [{"name": NAMES[v], "x": f[v][0], "y": f[v][1]} for v in SHUFFLED]}] for f in X.tolist()],
    "joints by name": [{"frame": t, "keypoints": {NAMES[v]: f[v] for v in SHUFFLED}} for t, f in enumerate(X.tolist())],
    "bodies of a camera": {str(33 * t): {"is_new": True, "body_list": [{"id": 0, "keypoint_2d": f.tolist(), "confidence": 90}]} for t, f in enumerate(X)},
    "an array and a label": {"keypoints": X.tolist(), "label": "wave"}, "a label in each": [{"frame": t, "label": "wave", **f} for t, f in enumerate(FRAMES)],
}  # fmt: skip
VIDEOS = {
    "video": [{"video": v, "frame": t, **f} for v, frames in (("a", FRAMES), ("b", OTHER)) for t, f in enumerate(frames)],
    "video_id": [{"video_id": v, "frame_id": t, **f} for t in range(12) for v, f in enumerate((FRAMES[t], OTHER[t]))],
    "map": {"a": [[f] for f in FRAMES], "b": [[f] for f in OTHER]}, "map of numbers": {"cam1": [[f] for f in FRAMES], "cam2": [[f] for f in OTHER]},
    "list": {"videos": [{"name": "a", "label": "wave", "frames": FRAMES}, {"name": "b", "label": "kick", "frames": OTHER}]},
    "arrays": [{"name": "a", "keypoints": X.tolist()}, {"name": "b", "keypoints": Y.tolist()}],
}  # fmt: skip


@pytest.mark.parametrize("kind", JSON)
def test_json_under_other_keys(kind, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(JSON[kind]))
    (clip,) = read(tmp_path / "a.json")
    np.testing.assert_allclose(clip.record["keypoint"][0], X, rtol=1e-6)
    assert clip.record.get("label") == ("wave" if "label" in kind else None)


def test_scores_under_any_name(tmp_path):
    frames = [{"frame": t, "keypoints": X[t].tolist(), "kp_confidences": SCORE[t].tolist()} for t in range(12)]
    (tmp_path / "a.json").write_text(json.dumps(frames))
    np.testing.assert_allclose(read(tmp_path / "a.json")[0].record["keypoint_score"][0], SCORE, rtol=1e-6)


@pytest.mark.parametrize("kind", VIDEOS)
def test_videos_in_one_json_are_clips(kind, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(VIDEOS[kind]))
    first, second = read(tmp_path / "a.json")
    np.testing.assert_allclose(first.record["keypoint"][0], X, rtol=1e-6)
    np.testing.assert_allclose(second.record["keypoint"][0], Y, rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "said"),
    [({"frames": [{"skel": frame.tolist()} for frame in X], "keypoints": None}, "no joints under the keys skel"),
     ([{"frame": t, "take": k, **FRAMES[t]} for k in "ab" for t in range(6)], "frame 0 stands there with several take"),
     ([{"frame": t, "take": k, **FRAMES[t]} for k in (1, 2) for t in range(6)], "frame 0 stands there with several take")],
)  # fmt: skip
def test_json_without_joints_or_with_frames_twice_is_refused(value, said, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(value))
    with pytest.raises(DataError) as error:
        read(tmp_path / "a.json")
    assert said in error.value.message


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


RECORD = {"frame_dir": "a", "keypoint": X[None], "keypoint_score": SCORE[None], "label": 1, "total_frames": 12}
FILES = {
    "a.npz": npz(scores=SCORE, keypoints=X, boxes=np.ones((12, 4)), label=1), "a.npy": npy(X[:, :, None]),
    "a.json.gz": gzip.compress(json.dumps([[f] for f in FRAMES]).encode()), "a.npy.gz": gzip.compress(npy(XYS)),
    "a.csv.gz": gzip.compress(TABLES["some scores"][0].encode()), "a.pkl.gz": gzip.compress(pickle.dumps([RECORD])),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_arrays_by_other_names_and_packed_files(name, tmp_path):
    (tmp_path / name).write_bytes(FILES[name])
    (clip,) = read(tmp_path / name)
    (again,) = read(tmp_path)
    np.testing.assert_allclose(clip.record["keypoint"], X[None], rtol=1e-6)
    assert clip.name == again.name == "a" and clip.source == tmp_path / name
    assert clip.shape[2] is (name != "a.npy") and (clip.record.get("label") == 1) is (name in ("a.npz", "a.pkl.gz"))


def test_clips_with_labels_are_no_persons(tmp_path):
    clips = np.stack([X, X + 300, X + 600, X])
    np.savez(tmp_path / "a.npz", data=clips, label=[1, 2, 3, 1])
    assert [clip.record["label"] for clip in read(tmp_path / "a.npz")] == [1, 2, 3, 1]


@pytest.mark.parametrize(("order", "said"), [("VTC", "--axes VTC"), ("CVT", "--axes CVT"), ("VCT", "--axes VCT")])
def test_joints_before_frames_are_read_or_asked_for(order, said, tmp_path):
    smooth = X[:1] + np.sin(np.arange(12) / 3)[:, None, None]
    array = smooth.transpose(["TVC".index(letter) for letter in order])
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=said):  # 12 joints exist, too
        read(tmp_path / "a.npy")
    (clip,) = read(tmp_path / "a.npy", axes=order)
    np.testing.assert_allclose(clip.record["keypoint"][0], smooth, rtol=1e-6)


def test_a_bomb_and_weights_are_named(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"0" * (65 << 20)))
    (tmp_path / "b.npz").write_bytes(npz(**{"conv.weight": np.zeros((4, 3, 3)), "conv.bias": np.zeros(4)}))
    for name, said in (("a.csv.gz", "more is in it"), ("b.npz", "the weights of a network")):
        with pytest.raises(DataError, match=said):
            read(tmp_path / name)


def test_mediapipes_names_in_capitals_with_presence(tmp_path):
    values = np.random.default_rng(0).uniform(0.1, 0.9, (4, 33, 5))
    names = [name.upper().replace(" ", "_") for name in LAYOUTS["mediapipe-33"].joints]
    (tmp_path / "a.csv").write_text(wide(x=values, names=names, axes=("x", "y", "z", "visibility", "presence")))
    (clip,) = read(tmp_path / "a.csv", image_size=(720, 1280))
    np.testing.assert_allclose(clip.record["keypoint"][0], values[..., :2] * (1280, 720), rtol=1e-5)
    np.testing.assert_allclose(clip.record["keypoint_score"][0], values[..., 3], rtol=1e-6)


@pytest.mark.parametrize("write", [foreign.coco, foreign.mmpose])
def test_joints_that_a_file_names_and_does_not_link_are_put_into_order(write, tmp_path):
    path = write(tmp_path / "a.json", BOTH[:, :, SHUFFLED], SCORES[:, :, SHUFFLED])
    for names, said in (
        ([NAMES[v] for v in SHUFFLED], ""),
        ([f"tentacle {v}q" for v in "abcdefghijklmnopq"], "--layout coco"),
    ):
        value = json.loads(path.read_text())
        described = {"categories": [{"name": "person", "keypoints": names}], "meta_info": {"keypoint_id2name": names}}
        path.write_text(json.dumps({**value, **{key: described[key] for key in described.keys() & value.keys()}}))
        if said:
            with pytest.raises(DataError, match=said):
                read(path)
            continue
        (clip,) = read(path)
        np.testing.assert_allclose(clip.record["keypoint"], BOTH, rtol=1e-6)
        np.testing.assert_allclose(clip.record["keypoint_score"], SCORES, rtol=1e-6)
        assert clip.layout is COCO


def test_joints_at_minus_1_among_shares_are_not_seen(tmp_path):
    shares = np.where((np.arange(17) == 3)[:, None], -1, X / (1920, 1080))
    expected = np.where((np.arange(17) == 3)[:, None], 0, X)
    (tmp_path / "a.csv").write_text(wide(x=shares))
    np.save(tmp_path / "b.npy", shares)
    for name in ("a.csv", "b.npy"):
        np.testing.assert_allclose(read(tmp_path / name)[0].record["keypoint"][0], expected, rtol=1e-4)


def test_joints_that_some_frames_lack_and_names_that_fit_no_skeleton(tmp_path):
    frames = [[{"keypoints": {NAMES[v]: X[t, v].tolist() for v in SHUFFLED if v != t}}] for t in range(12)]
    (tmp_path / "a.json").write_text(json.dumps(frames))
    there = np.arange(17) != np.arange(12)[:, None]
    np.testing.assert_allclose(read(tmp_path / "a.json")[0].record["keypoint"][0], X * there[..., None], rtol=1e-6)
    (tmp_path / "a.json").write_text(
        json.dumps([[{"keypoints": dict(zip("abcdefghijklmnopq", f, strict=True))}] for f in X.tolist()])
    )
    with pytest.raises(DataError, match="--layout coco where the order is the same"):
        read(tmp_path / "a.json")


def test_a_table_whose_frames_are_counted_is_not_of_yolo(tmp_path):
    shares = X / (1920, 1080)
    np.savetxt(tmp_path / "a.txt", np.c_[np.arange(12), shares.reshape(12, -1)], "%.6g")
    np.testing.assert_allclose(read(tmp_path / "a.txt")[0].record["keypoint"][0], X, atol=0.01)


def test_copies_of_a_person_are_persons_or_clips_and_time_is_where_something_moves(tmp_path):
    np.save(tmp_path / "a.npy", np.stack([X] * 3))
    with pytest.raises(DataError, match="--axes MTVC or --axes NTVC"):
        read(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.stack([X] * 3, axis=1))
    (clip,) = read(tmp_path / "b.npy", max_persons=3)
    np.testing.assert_array_equal(clip.record["keypoint"], [X] * 3)


def test_yolo_in_pixels(tmp_path):
    low, high = X.min(axis=1), X.max(axis=1)
    (tmp_path / "walk").mkdir()
    for t in range(12):
        box = [*(low[t] + high[t]) / 2, *(high[t] - low[t])]
        (tmp_path / "walk" / f"walk_{t}.txt").write_text(" ".join(map(str, [0, *box, *XYS[t].ravel(), 0.87])))
    (clip,) = read(tmp_path / "walk")
    np.testing.assert_allclose(clip.record["keypoint"][0], X, rtol=1e-4)
    np.testing.assert_allclose(clip.record["keypoint_score"][0], SCORE, rtol=1e-4)


@pytest.mark.parametrize("delimiter", [",", " ", "\t", ";"])
def test_folders_of_texts_with_a_clip_each(delimiter, tmp_path):
    for name, x in (("clip_1", X), ("clip_2", Y)):
        np.savetxt(tmp_path / f"{name}.txt", np.c_[np.arange(12), x.reshape(12, -1)], "%.6g", delimiter)
    (tmp_path / "readme.txt").write_text("Two clips, 12 frames each.\n")
    (tmp_path / "camera.txt").write_text("1 0 0\n0 1 0\n0 0 1\n")
    first, second = read(tmp_path)
    assert (first.name, second.name) == ("clip_1", "clip_2")
    np.testing.assert_allclose([first.record["keypoint"][0], second.record["keypoint"][0]], [X, Y], rtol=1e-4)


def test_rows_of_all_x_and_then_all_y_are_read_where_the_user_says_so(tmp_path):
    (tmp_path / "a.csv").write_text(csv(None, (x.T.ravel() for x in X)))
    (clip,) = read(tmp_path / "a.csv", axes="T(CV)")
    np.testing.assert_allclose(clip.record["keypoint"][0], X, rtol=1e-6)


def test_rows_of_joints_need_a_skeleton(tmp_path):
    np.savetxt(tmp_path / "a.txt", X.reshape(-1, 2), "%.6g")
    with pytest.raises(DataError, match="--layout"):
        read(tmp_path / "a.txt", format="csv")
    np.testing.assert_allclose(
        read(tmp_path / "a.txt", format="csv", layout=COCO)[0].record["keypoint"][0], X, rtol=1e-4
    )


def test_a_clip_in_each_row(tmp_path):
    columns = ["ab", ["wave", 3], ["(1) morning", "(2) noon"], [str(XYS.tolist()), str(XYS[:7].tolist())]]
    (tmp_path / "x.csv").write_text(cells(["name", "label", "note", "keypoints"], *columns))
    a, b = read(tmp_path / "x.csv")
    np.testing.assert_allclose(b.record["keypoint"][0], X[:7], rtol=1e-6)
    assert [(clip.name, clip.record["label"], clip.record["total_frames"]) for clip in (a, b)] == [
        ("a", "wave", 12),
        ("b", 3, 7),
    ]


def test_lists_whose_label_changes_or_that_were_cut_short_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text(
        cells(["frame", "keypoints", "label"], range(12), listed(XYS), ["a"] * 6 + ["b"] * 6)
    )
    with pytest.raises(DataError, match="label changes inside"):
        read(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("frame,keypoints\n0,[[1. 2.] ... [3. 4.]]\n")
    with pytest.raises(DataError, match=r"line 2: keypoints: numpy cut the list short"):
        read(tmp_path / "a.csv")


def test_lists_beside_columns_of_joints_are_not_read(tmp_path):
    lists = [("box", ['"[1, 2, 3, 4]"'] * 12), ("embedding", [f'"{[0.1] * 34}"'] * 12)]
    for before in (lists[:1], lists):
        (tmp_path / "a.csv").write_text(wide(before))
        np.testing.assert_allclose(read(tmp_path / "a.csv")[0].record["keypoint"], X[None], rtol=1e-6)


LABELLED = [("a_00000", 5), ("a_00001", 7)]
PICKLES = {  # value, names and labels of the clips, which are X and Y
    "an array": (X, [("a", None)]), "persons": (X[None], [("a", None)]), "frames": (list(X), [("a", None)]), "a clip and its label": ((X, "wave"), [("a", "wave")]),
    "joints under another key": ({"keypoints": X, "label": 2}, [("a", 2)]), "a list": ([X, Y], [("a_00000", None), ("a_00001", None)]),
    "arrays of objects": (np.array([X, Y[:9]], object), [("a_00000", None), ("a_00001", None)]),
    "names": ({"walk": X, "run": Y}, [("walk", None), ("run", None)]), "classes": ({"wave": [X], "kick": [Y]}, [("a/wave_00000", "wave"), ("a/kick_00000", "kick")]),
    "clips, labels": (([X, Y], [5, 7]), LABELLED), "data and labels": ({"data": [X, Y[:9]], "labels": [5, 7]}, LABELLED), "X and y": ({"X": np.stack([X, Y]), "y": np.array([5, 7])}, LABELLED),
}  # fmt: skip


@pytest.mark.parametrize("kind", PICKLES)
def test_pickles_of_arrays(kind, tmp_path):
    value, expected = PICKLES[kind]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    found = read(tmp_path / "a.pkl")
    assert [(clip.name, clip.record.get("label")) for clip in found] == expected and all(clip.raw for clip in found)
    for clip, joints in zip(found, (X, Y), strict=False):
        np.testing.assert_allclose(clip.record["keypoint"][0], joints[: clip.record["total_frames"]], rtol=1e-6)


@pytest.mark.parametrize(
    "value",
    [
        {"person_1": X, "person_2": Y},
        {"raw": X, "smoothed": X},
        dict(enumerate(X)),
        {t: [f] for t, f in enumerate(XYS)},
        {1: {"joints3d": X}},
        {},
        {"a": "b"},
        (X, X, 3),
    ],
)
def test_pickles_that_may_mean_several_things_are_refused(value, tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(DataError, match=r"a\.pkl"):
        read(tmp_path / "a.pkl")


@pytest.mark.parametrize("suffix", ["txt", "csv"])
def test_a_folder_of_texts_with_a_row_each_is_a_clip(suffix, tmp_path):
    (tmp_path / "walk").mkdir()
    for t in range(12):
        np.savetxt(tmp_path / "walk" / f"{t}.{suffix}", XYS[t].reshape(1, -1), "%.6g", ",")
    (clip,) = read(tmp_path / "walk")
    assert clip.name == "walk"
    np.testing.assert_allclose(clip.record["keypoint"][0], X, rtol=1e-4)
    np.testing.assert_allclose(clip.record["keypoint_score"][0], SCORE, rtol=1e-4)
