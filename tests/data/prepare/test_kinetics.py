"""Kinetics-Skeleton: folders of JSON become one pickle with both splits, which the preset takes."""

import json
import pickle

import numpy as np
import pytest

from stgcn_cli.config import class_names, presets
from tests.factories import foreign, poses


@pytest.fixture
def folders(tmp_path):
    for split, count in (("train", 4), ("val", 2)):
        folder = tmp_path / "data" / "kinetics-skeleton" / f"kinetics_{split}"
        folder.mkdir(parents=True)
        for n in range(count):
            poses.kinetics(folder / f"{split}{n}.json", *foreign.clip(joints=18, seed=n))
        (folder / "empty.json").write_text(json.dumps({"data": [], "label": "yoga", "label_index": 398}))
    return tmp_path / "data"


def test_folders_become_one_pickle(folders, stgcn, tmp_path):
    done = stgcn("prepare", "kinetics-skeleton", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["split_sizes"] == {"train": 4, "val": 2} and len(told["set_aside"]) == 2
    found = pickle.loads((folders / "kinetics-skeleton.pkl").read_bytes())
    assert found["split"] == {"train": [f"train{n}" for n in range(4)], "val": ["val0", "val1"]}
    record = found["annotations"][1]
    xy, score = foreign.clip(joints=18, seed=1)
    np.testing.assert_allclose(record["keypoint"] / (340, 256), xy / (1280, 720), atol=1e-6)
    np.testing.assert_array_equal(record["keypoint_score"], score)
    assert record["label"] == 152 and record["img_shape"] == (256, 340)
    part = stgcn("prepare", "kinetics-skeleton", "--splits", "val", "--out", tmp_path / "x.pkl", "--json")
    assert json.loads(part.out)["split_sizes"] == {"val": 2}


def test_the_preset_takes_them_and_names_the_classes(folders, stgcn):
    assert stgcn("prepare", "kinetics-skeleton", "--quiet").code == 0
    preset = presets.load("kinetics-skeleton")
    names = class_names.class_names(preset)
    assert names[152] == "high kick" and len(set(names)) == 400 == preset.model.num_classes
    run = stgcn(
        "train",
        "-p",
        "kinetics-skeleton",
        "--data",
        "data/kinetics-skeleton.pkl",
        "--dry-run",
        "--set",
        "train.batch_size=2",
        "--set",
        "data.clip_len=8",
    )
    assert run.code == 0, run.err


def test_what_is_missing_is_named(stgcn, tmp_path):
    done = stgcn("prepare", "kinetics-skeleton")
    assert done.code == 3 and "kinetics_train" in done.err
    (tmp_path / "other").mkdir()
    assert "tells no split" in stgcn("prepare", "kinetics-skeleton", "--source", "other").err
