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


@pytest.mark.parametrize(("format", "head"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_figures_for_a_paper_are_written_beside_the_page(two_runs, format, head):
    words = ("report", "runs/fast", "--out", "page/r.html", "--format", format)
    (two_runs / "page").mkdir(exist_ok=True)
    for _ in range(2):  # its own figures are written again
        said = run_stgcn(two_runs, *words)
        assert said.code == 0, said.err
    for name in ("learning_curve", "last.confusion"):
        assert (two_runs / "page" / f"{name}.{format}").read_bytes().startswith(head)
    (two_runs / "page" / f"learning_curve.{format}").write_bytes(b"mine")
    assert run_stgcn(two_runs, *words).code == 2
    (two_runs / "page" / f"learning_curve.{format}").unlink()


def test_the_counts_of_the_confusion_matrix_are_a_table(two_runs):
    said = run_stgcn(two_runs, "eval", "runs/fast/last.pth", "--out", "result.csv", "--no-report")
    assert said.code == 0 and "Data of the run" in said.err, said.err
    rows = [line.split(",") for line in (two_runs / "result.confusion.csv").read_text().splitlines()]
    assert rows[0] == ["label \\ predicted", "class 0", "class 1", "class 2"] and len(rows) == 4
    assert sum(int(cell) for row in rows[1:] for cell in row[1:]) == 6


def test_data_beside_a_preset_file_are_found(two_runs, tmp_path):
    shutil.copy(two_runs / "runs" / "slow" / "preset.toml", tmp_path / "own.toml")
    shutil.copy(two_runs / "data" / "ntu60.pkl", tmp_path / "own.pkl")
    said = run_stgcn(tmp_path, "train", "own.toml", "--dry-run", "--json", "--set", "model.num_classes=60")
    assert said.code == 0 and json.loads(said.out)["data"] == ["own.pkl"], said.err
    assert "Only 3 of the 60 classes" in said.err
