"""Reports of real runs and results: written by themselves, put together again later, never in the way of a run."""

import json
import pickle
import re
import shutil

import numpy as np
import pytest

from stgcn_cli.config import class_names, presets
from stgcn_cli.errors import DataError, RunError, UsageError
from stgcn_cli.evaluation import results
from stgcn_cli.evaluation.score import EvalResult, measured
from stgcn_cli.io.outputs import OutputRule
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.viz import figures, report
from tests.cli.runner import run_stgcn
from tests.conftest import SMALL, make_records, write_small_data
from tests.viz.test_page import outline


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with data, a run of one epoch, and its evaluation."""
    folder = tmp_path_factory.mktemp("finished")
    write_small_data(folder / "data")
    said = run_stgcn(folder, "train", "--preset", "ntu60-xsub-3d", *SMALL, "--epochs", "1", "--work-dir", "run")
    assert said.code == 0, said.err
    assert "Report: run/report.html" in said.err
    said = run_stgcn(folder, "eval", "run/best.pth", "--out", "r.npz", "--device", "cpu")
    assert said.code == 0 and "Wrote r.report.html" in said.err, said.err
    return folder


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """The run's folder in a copy of its own, which is the working folder."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy" / "run"


def test_a_run_and_an_evaluation_end_with_a_report(finished):
    for name in ("run/report.html", "r.report.html"):
        page = (finished / name).read_text("utf-8")
        data = json.loads(outline(page).scripts[0])
        assert sum(data["matrices"]["matrix-0"]["totals"]) == 6
        wrong = sum(clips for row, column, clips in data["matrices"]["matrix-0"]["cells"] if row != column)
        assert wrong and len(data["clips"]) == page.count('class="card"') > 0
        assert "published" not in page  # three classes are another task than sixty
        assert ">top-1<" in page and "top-5" not in page  # of three classes
        assert "Settings and versions" in page and "num_classes = 3" in page
    assert "Learning curves" in (finished / "run/report.html").read_text("utf-8")


def test_the_scores_kept_in_training_are_those_of_an_evaluation(finished):
    kept, evaluated = results.read(finished / "run" / "best.result.npz"), results.read(finished / "r.npz")
    np.testing.assert_allclose(kept.scores, evaluated.scores, rtol=1e-5, atol=1e-6)
    assert (kept.names, kept.metrics, kept.preset) == (evaluated.names, evaluated.metrics, evaluated.preset)
    assert kept.source.name == evaluated.source.name and kept.labels.tolist() == evaluated.labels.tolist()


def test_the_example_is_the_clip_it_says(run):
    scored = report.of_run(run).scored[0]
    pair, motion = scored.examples[0]
    name = scored.result.names[pair.example]
    number = int(name.removeprefix("clip"))
    assert motion.name == name and number % 3 == pair.label == scored.result.labels[pair.example]
    assert scored.result.scores[pair.example].argmax() == pair.taken_for
    # also where the clips stand in another order than when the scores were made
    turned = report.of_results([("x", _turned(scored.result))]).scored[0]
    other, same = turned.examples[0]
    assert turned.result.names[other.example] == same.name
    np.testing.assert_array_equal(same.points if same.name == name else turned.examples[1][1].points, motion.points)


def _turned(result):
    import dataclasses

    return dataclasses.replace(result, scores=result.scores[::-1], labels=result.labels[::-1], names=result.names[::-1])


def test_the_command_makes_it_again_of_a_run_or_of_results(run):
    said = run_stgcn(run.parent, "report", "run", "--out", "new.html")
    assert (said.code, said.out) == (0, "new.html\n"), said.err
    kept = re.sub(r"<dd>.*?</dd>", "", (run / "report.html").read_text("utf-8"))
    assert re.sub(r"<dd>.*?</dd>", "", (run.parent / "new.html").read_text("utf-8")) == kept
    said = run_stgcn(run.parent, "report", "r.npz", "run/best.result.npz")
    assert (said.code, said.out) == (0, "comparison.html\n"), said.err
    page = (run.parent / "comparison.html").read_text("utf-8")
    assert page.count('class="matrix"') == 2 and "Confusion matrix: best.result" in page


def test_without_the_clips_it_says_where_they_were_looked_for(run):
    known = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps(known | {"data": ["data/ntu60.pkl"]}))
    shutil.rmtree(run.parent / "data")
    made = report.of_run(run)
    assert "data/ntu60.pkl" in made.remarks[0] and made.scored[0].examples[0][1] is None
    assert "frames of this clip were not found" in report.report_page(made)
    with pytest.raises(DataError, match=r"elsewhere\.pkl not found"):
        report.of_run(run, [run / "elsewhere.pkl"])


def test_what_is_no_run_or_no_result_is_refused(run, tmp_path):
    with pytest.raises(UsageError, match="is not a run folder"):
        report.of_run(tmp_path)
    np.savez(tmp_path / "x.npz", scores=np.zeros((2, 3)))
    (tmp_path / "y.npz").write_bytes((run / "best.result.npz").read_bytes()[:-200])
    np.savez(tmp_path / "z.npz", **dict(np.load(run / "best.result.npz")) | {"labels": np.full(6, 9)})
    for name, said in (
        ("x", "holds scores alone"),
        ("y", "contains no scores"),
        ("z", "labels are 9"),
        ("w", "not found"),
    ):
        with pytest.raises(DataError, match=said):
            results.read(tmp_path / f"{name}.npz")


def test_a_report_that_cannot_be_made_spoils_nothing(run, tmp_path):
    (run / "best.result.npz").write_bytes(b"no archive")
    told: list[str] = []
    reporter = Reporter(warn=told.append)
    assert report.write_or_warn(lambda: report.of_run(run), run / "report.html", reporter) is None
    assert "report.html could not be written" in told[0] and "best.result.npz" in told[0]
    (tmp_path / "file").touch()
    with pytest.raises(RunError):
        report.write_or_warn(lambda: report.of_results([("r", results.read(run.parent / "r.npz"))]),
                                tmp_path / "file" / "report.html", reporter)  # fmt: skip


def test_without_a_report_when_asked(run):
    (run / "report.html").unlink()
    said = run_stgcn(run.parent, "eval", "run/best.pth", "--out", "s.pkl", "--no-report", "--device", "cpu")
    assert said.code == 0 and not (run.parent / "s.report.html").exists()
    said = run_stgcn(run.parent, "train", "--preset", "ntu60-xsub-3d", *SMALL, "--epochs", "1", "--work-dir", "run",
                "--resume", "--no-report")  # fmt: skip
    assert said.code == 0 and not (run / "report.html").exists(), said.err


def test_head_and_tail_of_babel_are_counted_not_taken_from_the_published_list(tmp_path):
    """The list of the published loss is in another order: its first entry, walk's place, is among the small ones."""
    preset = presets.load("babel60-wfl")
    names, labels = class_names.class_names(preset), np.repeat(np.arange(60), np.where(np.arange(60) < 20, 3, 1))
    records = make_records(len(labels), classes=1)
    for record, label in zip(records, labels.tolist(), strict=True):
        record["label"] = label
    clips = [record["frame_dir"] for record in records]
    data = tmp_path / "babel60.pkl"
    data.write_bytes(pickle.dumps({"split": {"train": clips, "val": clips}, "annotations": records}))
    scores = np.eye(60, dtype=np.float32)[labels]
    result = measured(EvalResult(preset, "val", scores, labels, clips, {}, data))
    page = report.report_page(report.of_results([("best.pth", result)]))
    row = r'^<tr><td>([^<]+)</td><td class="number barred".*<td[^>]*>(head|middle|tail)</td>'
    groups = dict(re.findall(row, page, re.MULTILINE))
    assert names[0] == "walk" and [groups[name] for name in (names[0], names[19], names[20], names[59])] == [
        "head", "head", "middle", "tail",
    ]  # fmt: skip
    data.write_bytes(pickle.dumps({"split": {"val": clips}, "annotations": records}))
    page = report.report_page(report.of_results([("best.pth", result)]))
    assert ">walk<" in page and "Training clips" not in page and ">tail<" not in page


def test_files_beside_a_result_are_checked_under_the_names_they_get(tmp_path):
    rule = OutputRule(command="eval")
    (tmp_path / "real.per_class.csv").write_text("mine")
    (tmp_path / "link.npz").symlink_to(tmp_path / "real.npz")
    for taken in ("real.npz", "link.npz"):
        with pytest.raises(UsageError, match=r"real\.per_class\.csv already exists"):
            figures.place_result(tmp_path / taken, rule)
    assert figures.files_beside(tmp_path / "x.json")[0].name == "x.json.per_class.csv"  # of x.json.npz
