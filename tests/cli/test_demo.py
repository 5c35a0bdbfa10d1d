"""The embedded default: it learns the movement, and only the movement."""

import json
import pickle
import re

import numpy as np
import pytest

from stgcn_cli.data.ntu.parser import read_skeleton
from stgcn_cli.data.prepare import synthetic
from stgcn_cli.runs.folder import free_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.mark.slow
def test_the_demo_recognises_actions_of_subjects_never_trained_on(stgcn, folder):
    said = stgcn("demo", "--out", folder, "--device", "cpu", timeout=600)
    assert said.code == 0, said.err
    accuracy = float(re.search(r"top1_acc on these\s+([\d.]+) %", said.out)[1])
    assert accuracy >= 90 and "top5_acc" not in said.out
    assert "The installation works" in said.err and "report.html" in said.err
    assert "200 clips of 20 subjects" in said.out and "200 clips of 20 other subjects" in said.out
    for name in ("run/best.pth", "run/learning_curve.png", "run/result.pkl", "run/result.confusion.png", "demo.pkl"):
        assert (folder / name).exists()


@pytest.mark.slow
def test_with_shuffled_labels_it_stays_at_chance(stgcn, folder, tmp_path):
    """The same clips, recipe and subjects, but labels that say nothing: no path lets the answer leak."""
    if not (folder / "demo.pkl").exists():  # it runs alone
        assert stgcn("demo", "--epochs", "1", "--out", folder, "--device", "cpu", timeout=600).code == 0
    data = pickle.loads((folder / "demo.pkl").read_bytes())
    training = [r for r in data["annotations"] if r["frame_dir"] in set(data["split"]["xsub_train"])]
    for record, label in zip(
        training, np.random.default_rng(0).permutation([r["label"] for r in training]), strict=True
    ):
        record["label"] = int(label)
    (tmp_path / "shuffled.pkl").write_bytes(pickle.dumps(data))
    words = (
        "--preset",
        "demo",
        "--data",
        "shuffled.pkl",
        "--work-dir",
        "x",
        "--test-last",
        "--json",
        "--device",
        "cpu",
    )
    said = stgcn("train", *words, timeout=600)
    assert said.code == 0, said.err
    assert json.loads(said.out)["tests"]["last"]["top1_acc"] < 0.4  # chance is 0.2, over 200 clips


def test_a_second_demo_does_not_overwrite_the_first(tmp_path):
    assert free_folder("run", tmp_path).name == "run"
    (tmp_path / "run").mkdir()
    assert free_folder("run", tmp_path).name == "run-2"


def test_synthetic_texts_are_true_skeleton_files():
    joints = synthetic.clip(1, 3, np.random.default_rng(0))
    read = read_skeleton(synthetic.skeleton_text(joints).encode())
    assert read.shape == (1, *joints.shape)
    np.testing.assert_allclose(read[0], joints, atol=1e-7)


def test_the_same_seed_gives_the_same_clips(tmp_path):
    for name in ("a", "b"):
        synthetic.write_zip(tmp_path / f"{name}.zip", (1, 3), 1)
    a, b = (zip_texts(tmp_path / f"{name}.zip") for name in ("a", "b"))
    assert a == b and len(a) == 10


def zip_texts(path):
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
