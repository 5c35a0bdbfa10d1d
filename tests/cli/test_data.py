"""`stgcn data` as users type it: from a folder of clips to a training, and what is said on the way."""

import json
import pickle

import numpy as np
import pytest

from tests.conftest import make_records
from tests.factories import foreign, skeletons


@pytest.fixture
def clips(tmp_path):
    """Pose estimates of two classes, a folder each, with a second person and gaps."""
    for group, seed in (("wave", 0), ("kick", 50)):
        for index in range(5):
            foreign.openpose(tmp_path / "clips" / group / f"{index}", *foreign.clip(frames=12, seed=seed + index))
    return tmp_path / "clips"


def test_from_a_folder_of_clips_to_a_training(clips, stgcn, tmp_path):
    said = stgcn("data", "convert", "clips", "--classes", "folders", "--image-size", "1280x720", "--out", "own.pkl")
    assert said.code == 0 and "Warning" not in said.err, said.err
    following = "stgcn train --preset own.toml --data own.pkl"
    assert said.err.splitlines()[-1] == f"Next: {following}" and "skeleton       17 joints" in said.out
    said = stgcn("data", "validate", "own.pkl", "--preset", "own.toml")
    assert said.code == 0 and said.out == "own.pkl: 10 records: no problems\n"
    assert said.err == f"Next: {following}\n"
    said = stgcn("data", "inspect", "own.pkl")
    assert said.code == 0 and "kick  5      4      1" in said.out and "1280x720" in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    np.save(tmp_path / "space.npy", np.ones((5, 25, 3)))
    assert "image size" not in stgcn("data", "inspect", "space.npy").out  # of joints in space
    quick = [f"--set=data.{setting}" for setting in ("clip_len=8", "passes=1", "num_person=1")]
    said = stgcn(*following.split()[1:], "--epochs", 1, "--device", "cpu", "--work-dir", "run", *quick)
    assert said.code == 0 and (tmp_path / "run" / "last.pth").is_file(), said.err


def test_errors_are_listed_and_end_with_their_code(stgcn, tmp_path):
    records = make_records(40)
    for record in records[:30]:
        record["label"] = "\x1b[31mwave"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(records))
    said = stgcn("data", "validate", "a.pkl")
    assert said.code == 3 and "error   clip003: label:" in said.out and "error   and 20 more of label" in said.out
    assert "\x1b" not in said.out and said.err.splitlines()[-1] == "Correct it, then: stgcn data validate a.pkl"
    told = json.loads(stgcn("data", "validate", "a.pkl", "--json").out)
    assert told["errors"] == 30 and len(told["found"]) == 30 and told["found"][7]["where"] == "clip007"


def test_a_preset_that_does_not_fit_is_an_error_with_the_one_that_does(stgcn, tmp_path):
    records = make_records(8)
    records[0]["label"] = 59  # as many classes as the preset has
    names = [record["frame_dir"] for record in records]
    splits = {"xsub_train": names[:5], "xsub_val": names[5:]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"split": splits, "annotations": records}))
    said = stgcn("data", "validate", "a.pkl", "--preset", "ntu60-xsub-2d")
    assert said.code == 3 and "= 75 channels" in said.out and "--preset ntu60-xsub-3d" in said.out


def test_json_for_scripts(stgcn, tmp_path):
    skeletons.write_zip(tmp_path / "raw.zip", skeletons.clips(8))
    told = json.loads(stgcn("data", "convert", "raw.zip", "--val-subjects", "2,3", "--out", "o.pkl", "--json").out)
    assert told["splits"] == {"train": 6, "val": 2} and told["files"] == ["o.pkl", "o.toml"] and told["layout"] == "ntu"
    told = json.loads(stgcn("data", "inspect", "raw.zip", "o.pkl", "--json").out)["files"]
    assert [facts["clips"] for facts in told] == [8, 8] and told[0]["persons"].keys() >= {"3"}
    told = json.loads(stgcn("data", "merge", "o.pkl", "--out", "m.pkl", "--format", "list", "--json").out)
    assert told["files"] == ["m_train.pkl", "m_val.pkl", "m.toml"]


@pytest.mark.parametrize(("words", "said"), [
    (("convert", "clips", "--out", "a.pkl", "--val-subjects", "1", "--val-fraction", "0.3"), "contradict each other"),
    (("convert", "clips", "--out", "a.pkl", "--image-size", "720p"), "expected WIDTHxHEIGHT in pixels"),
    (("convert", "clips", "--out", "a.pkl", "--from", "openpos"), "Did you mean 'openpose'"),
    (("convert", "clips", "--out", "a.pkl", "--layout", "coc"), "Did you mean 'coco'"),
    (("convert", "clips", "--out", "a.pkl", "--classes", "folder"), "Did you mean 'folders'"),
])  # fmt: skip
def test_impossible_options_are_refused_before_the_work(words, said, clips, stgcn):
    done = stgcn("data", *words)
    assert done.code == 2 and said in done.err and not done.out
