"""Whatever is named on the command line becomes clips: files, zips, folders, globs."""

import pickle
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from stgcn_cli.data.clips import Clip
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.readers.units import list_units
from stgcn_cli.errors import DataError, UsageError
from tests.conftest import make_records
from tests.factories import foreign, skeletons
from tests.factories.prepared import prepare


def names(*words, format=None, **more):
    found = read_inputs(list(map(str, words)), options=Options(format=format), **more)
    return [clip.record["frame_dir"] for clip in found]


def test_a_file_a_folder_a_glob_and_a_zip_of_skeletons_are_the_same(tmp_path):
    texts = skeletons.clips(4)
    folder = skeletons.write_folder(tmp_path / "raw", texts)
    archive = skeletons.write_zip(tmp_path / "raw.zip", texts)
    assert names(folder) == names(folder / "*.skeleton") == names(archive) == sorted(texts)
    first = next(read_inputs([str(folder / f"{min(texts)}.skeleton")]))
    assert first.raw and first.record["label"] == 0 and first.record["subject"] == "1" and first.group == ""


def test_raw_skeletons_normalised_are_what_prepare_writes(tmp_path):
    source = skeletons.write_folder(tmp_path / "raw", skeletons.clips(6))
    prepare("ntu60", [source], tmp_path / "ntu60.pkl", workers=1)
    prepared = pickle.loads((tmp_path / "ntu60.pkl").read_bytes())["annotations"]
    for ours, found in zip(prepared, read_inputs([str(source)]), strict=True):
        np.testing.assert_array_equal(found.pre_normalized().record["keypoint"], ours["keypoint"])


def test_skeletons_are_the_first_three_numbers_of_each_joint(tmp_path):
    seen = [2, 1, 0, 2]
    text = skeletons.text(seen, seed=3)
    (tmp_path / "S001C002P003R001A012.skeleton").write_bytes(text)
    rows = [line.split() for line in text.decode().splitlines() if len(line.split()) == 12]
    joints = iter(np.array(rows, np.float64)[:, :3].reshape(-1, 25, 3))
    expected = np.zeros((2, 4, 25, 3))
    for frame, bodies in enumerate(seen):
        for body in range(bodies):
            expected[body, frame] = next(joints)
    (clip,) = read_inputs([str(tmp_path)])
    np.testing.assert_allclose(clip.record["keypoint"], expected, rtol=1e-6)
    assert (clip.name, clip.record["label"], clip.record["subject"]) == ("S001C002P003R001A012", 11, "3")


def test_an_empty_skeleton_is_one_person_of_zeros(tmp_path):
    skeletons.write_folder(tmp_path / "raw", {"S001C001P001R001A001": skeletons.text([0, 0])})
    (found,) = read_inputs([str(tmp_path / "raw")])
    assert found.record["keypoint"].shape == (1, 2, 25, 3) and not found.record["keypoint"].any()


def test_clips_in_folders_are_called_by_their_paths_and_grouped_by_the_first(tmp_path):
    xy, score = foreign.clip()
    for group in ("wave", "kick"):
        (tmp_path / "own" / group / "day1").mkdir(parents=True)
        foreign.mmpose(tmp_path / "own" / group / "001.json", xy, score)
        foreign.npz(tmp_path / "own" / group / "day1" / "001.npz", xy, score)
        foreign.openpose(tmp_path / "own" / group / "frames", xy, score, "x")
    for name in ("x", "y"):
        foreign.openpose(tmp_path / "own" / "two", xy, score, name)
    (tmp_path / "own" / "readme.txt").write_text("nothing")
    (tmp_path / "own" / "labels.csv").write_text("name,label\n")
    found = list(read_inputs([str(tmp_path / "own")]))
    said = [(each.record["frame_dir"], each.group) for each in found]
    each = [(f"{group}/{name}", group) for group in ("kick", "wave") for name in ("001", "day1/001", "frames")]
    assert said == [*each[:3], ("two/x", "two"), ("two/y", "two"), *each[3:]]
    assert len({unit.path for unit in list_units([str(tmp_path / "own")], Options())}) == 7


def test_pickles_give_their_records_and_splits(tmp_path):
    records = make_records(4)
    splits = {"xsub_train": ["clip000", "clip001"], "xsub_val": ["clip002"]}
    (tmp_path / "one.pkl").write_bytes(pickle.dumps({"split": splits, "annotations": records}))
    (tmp_path / "my_val.pkl").write_bytes(pickle.dumps(records))
    one, many = ([*read_inputs([str(tmp_path / name)])] for name in ("one.pkl", "my_val.pkl"))
    assert [found.splits for found in one] == [("xsub_train",), ("xsub_train",), ("xsub_val",), ()]
    assert {found.splits for found in many} == {("val",)} and not one[0].raw
    np.testing.assert_array_equal(one[3].record["keypoint"], records[3]["keypoint"])


def test_missing_and_unreadable_files_are_reported(tmp_path):
    skeletons.write_folder(
        tmp_path / "raw", {"S001C001P001R001A001": b"3\n1\n", "S001C001P001R001A002": skeletons.text([1])}
    )
    (tmp_path / "note.txt").write_text("nothing")
    for word, said in {"ray": "raw'", "*.foo": "No file matches", "note.txt": "not recognised"}.items():
        with pytest.raises(DataError, match=said):
            list_units([str(tmp_path / word)], Options())
    with pytest.raises(DataError, match=r"A001\.skeleton.*line 3"):
        names(tmp_path / "raw")
    bad = []
    assert names(tmp_path / "raw", on_bad=lambda place, error: bad.append(place)) == ["S001C001P001R001A002"]
    assert len(bad) == 1 and "A001" in bad[0]
    with pytest.raises(UsageError, match="Did you mean 'mmpose'"):
        names(tmp_path / "raw", format="mmpos")


def test_only_a_3d_kinect_skeleton_is_normalised_as_ntus():
    with pytest.raises(DataError, match="17 joints with 2 values"):
        Clip(
            record={"frame_dir": "x", "keypoint": np.ones((1, 4, 17, 2), np.float32)}, source=Path("x")
        ).pre_normalized()


def test_images_have_the_size_the_user_says(tmp_path):
    xy, score = foreign.clip()
    path = foreign.mmpose(tmp_path / "a.json", xy, score)
    (found,) = read_inputs([str(path)], options=Options(image_size=(720, 1280)))
    assert found.record["img_shape"] == (720, 1280)


def test_real_clips(shared):
    found = list(islice(read_inputs([str(shared / "data" / "uiprmd_skeletons.zip")]), 100))
    assert {each.record["label"] for each in found} == set(range(10))
    assert all(each.record["keypoint"].any(axis=(0, 2, 3)).all() for each in found)


def test_a_zip_of_any_format_is_read_as_its_folder(tmp_path):
    xy, score = foreign.clip()
    for group in ("wave", "kick"):
        foreign.openpose(tmp_path / "clips" / group / "one", xy, score, "x")
        foreign.mmpose(tmp_path / "clips" / group / "two.json", xy, score)
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        for path in sorted((tmp_path / "clips").rglob("*.json")):
            archive.write(path, path.relative_to(tmp_path))
        archive.writestr("../out.json", "{}")
        archive.writestr("__MACOSX/._two.json", "x")
    found = list(read_inputs([str(tmp_path / "clips.zip")], on_bad=lambda place, error: None))
    folder = list(read_inputs([str(tmp_path / "clips")]))
    assert {clip.name for clip in folder} <= {clip.name.removeprefix("clips/") for clip in found}
    assert all(clip.source == tmp_path / "clips.zip" for clip in found)
    assert not (tmp_path / "out.json").exists() and not (tmp_path.parent / "out.json").exists()
    (tmp_path / "bad.zip").write_bytes((tmp_path / "clips.zip").read_bytes()[:200])
    with pytest.raises(DataError, match=r"bad\.zip"):
        list(read_inputs([str(tmp_path / "bad.zip")]))


def test_a_folder_for_each_frame_is_one_clip(tmp_path):
    xy, score = foreign.clip()
    foreign.openpose(tmp_path / "flat", xy, score)
    for t, path in enumerate(sorted((tmp_path / "flat").iterdir())):
        (tmp_path / "walk" / f"frame_{t:03d}").mkdir(parents=True)
        path.rename(tmp_path / "walk" / f"frame_{t:03d}" / "pose.json")
    (clip,) = read_inputs([str(tmp_path / "walk")])
    assert clip.name == "walk"
    np.testing.assert_array_equal(clip.record["keypoint"], xy)


def test_members_of_a_zip_may_begin_with_slashes(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("//raw/S001C001P001R001A001.skeleton", "raw/S001C001P001R001A002.skeleton"):
            archive.writestr(name, skeletons.text([1]))
    assert names(tmp_path / "a.zip") == ["S001C001P001R001A001", "S001C001P001R001A002"]
