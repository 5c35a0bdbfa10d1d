"""`stgcn runs` and reports that compare runs."""

import json
import shutil

import pytest

from stgcn_cli.io.locks import locked
from stgcn_cli.runs.overview import overview
from tests.cli.runner import run_stgcn
from tests.conftest import SMALL, write_small_data

TRAIN = ("train", "ntu60-xsub-3d", *SMALL, "--test-last", "--no-report")


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """A folder with runs of one and of two epochs that differ in learning rate and seed."""
    folder = tmp_path_factory.mktemp("two")
    write_small_data(folder / "data")
    for words in (
        ("--epochs", "1", "--work-dir", "runs/slow"),
        ("--epochs", "2", "--lr", "0.05", "--seed", "1", "--work-dir", "runs/fast"),
    ):
        said = run_stgcn(folder, *TRAIN, *words)
        assert said.code == 0, said.err
    return folder


def test_runs_are_listed_with_what_decides_them(two_runs):
    rows = json.loads(run_stgcn(two_runs, "runs", "--json").out)
    assert [row["folder"] for row in rows] == ["runs/fast", "runs/slow"]
    assert [(row["epochs"], row["of"], row["lr"], row["seed"], row["state"]) for row in rows] == [
        (2, 2, 0.05, 1, "finished"), (1, 1, 0.01, 0, "finished")]  # fmt: skip
    said = run_stgcn(two_runs, "runs")
    assert "runs/fast" in said.out and "ntu60.pkl" in said.out and "stgcn report runs/fast runs/slow" in said.err


def test_a_run_is_training_while_its_lock_is_held_and_stopped_before_its_last_epoch(two_runs, tmp_path):
    folder = shutil.copytree(two_runs / "runs" / "slow", tmp_path / "x")
    text = (folder / "preset.toml").read_text()
    (folder / "preset.toml").write_text(text.replace("epochs = 1", "epochs = 9"))
    assert [row.state for row in overview([tmp_path])] == ["stopped"]
    with locked(folder / "run.lock"):
        assert overview([folder])[0].state == "training"
    assert run_stgcn(tmp_path, "runs", "nowhere").code == 2
    (tmp_path / "empty").mkdir()
    assert "No runs" in run_stgcn(tmp_path, "runs", "empty").err


def test_two_runs_are_compared_on_one_page(two_runs):
    said = run_stgcn(two_runs, "report", "runs/slow", "runs/fast")
    assert said.code == 0 and said.out.strip() == "comparison.html", said.err
    page = (two_runs / "comparison.html").read_text()
    for text in ("McNemar", "optim.lr", "seed", "runs/fast", "Became right", "Different settings", "validation top-1"):
        assert text in page, text
    said = run_stgcn(two_runs, "report", "runs/slow/last.result.npz", "runs/fast", "--out", "mixed.html")
    assert said.code == 0, said.err


def test_runs_of_other_classes_are_refused_in_words(two_runs, tmp_path):
    other = shutil.copytree(two_runs / "runs" / "slow", tmp_path / "other", ignore=shutil.ignore_patterns("*.npz"))
    text = (other / "preset.toml").read_text()
    (other / "preset.toml").write_text(text.replace("num_classes = 3", "num_classes = 4"))
    said = run_stgcn(two_runs, "report", "runs/fast", other)
    assert said.code == 2 and "3 classes" in said.err and "4: they cannot be compared" in said.err, said.err
