"""Fusion: the sums that PYSKL and 2s-AGCN make; results brought together by name, or refused."""

import json
import pickle

import numpy as np
import pytest

from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.evaluation import fuse as fusing
from stgcn_cli.evaluation.fuse import FuseOptions, fuse, search_weights
from stgcn_cli.evaluation.saved import read_saved
from stgcn_cli.io.reporter import SILENT, Reporter

STREAMS = ("j", "b", "jm", "bm")


def annotations(folder, labels):
    clips = [
        {"frame_dir": f"clip{i:02d}", "label": int(label), "total_frames": 4, "keypoint": np.zeros((1, 4, 25, 3), "f2")}
        for i, label in enumerate(labels)
    ]
    path = folder / "clips_val.pkl"
    path.write_bytes(pickle.dumps(clips))
    return path


def bare(folder, name, scores):
    path = folder / f"{name}.pkl"
    path.write_bytes(pickle.dumps(list(np.asarray(scores, np.float32)), protocol=2))
    return path


def named(folder, name, scores, names, labels):
    path = folder / f"{name}.npz"
    np.savez(path, scores=np.asarray(scores, np.float32), names=np.array(names), labels=np.array(labels))
    return path


@pytest.mark.parametrize(("key", "weights"), [("four_2211", (2, 2, 1, 1)), ("four_1111", ()), ("j+b", ())])
def test_probabilities_are_fused_as_pyskl_does(shared, tmp_path, key, weights):
    folder = shared / "golden" / "pyskl" / "scores"
    arrays, figures = np.load(folder / "scores.npz"), json.loads((folder / "scores.json").read_text())
    streams = STREAMS if key.startswith("four") else STREAMS[:2]
    inputs = tuple(bare(tmp_path, stream, arrays[f"prob_{stream}"]) for stream in streams)
    where = (annotations(tmp_path, arrays["labels"]),)
    metrics = ("top_k_accuracy", "mean_class_accuracy")
    fusion = fuse(FuseOptions(inputs=inputs, weights=weights, data=where, metrics=metrics), SILENT)
    wanted = arrays[f"fused_{key}"]
    assert (
        np.abs(fusion.result.scores / fusion.result.scores.sum(1).mean() - wanted / wanted.sum(1).mean()).max() < 1e-6
    )
    facts = figures[f"fused_{key}"]
    found = [fusion.result.metrics[name] for name in ("top1_acc", "top5_acc", "mean_class_accuracy")]
    assert found == pytest.approx([facts["top1"], facts["top5"], facts["mean_class"]], abs=1e-12)
    assert fusion.singles[0].metrics["top1_acc"] == pytest.approx(figures["j"]["top1"])


def test_logits_of_joint_and_bone_are_added_as_they_are(shared, tmp_path):
    forward = shared / "golden" / "agcn" / "forward"
    logits = [np.load(forward / f"mm0_{stream}__S.npz")["logits_eval_f32"] for stream in ("joint", "bone")]
    inputs = tuple(bare(tmp_path, name, each) for name, each in zip("jb", logits, strict=True))
    fusion = fuse(FuseOptions(inputs=inputs, data=(annotations(tmp_path, [3, 59]),)), SILENT)
    assert np.array_equal(fusion.result.scores, (logits[0].astype(float) + logits[1]).astype(np.float32))


def test_clips_are_aligned_by_name_whatever_their_order(tmp_path):
    rng = np.random.default_rng(0)
    a, b, labels = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), np.array([0, 1, 2, 0, 1])
    names, order = list("vwxyz"), [3, 1, 4, 0, 2]
    one = named(tmp_path, "one", a, names, labels)
    two = named(tmp_path, "two", b[order], [names[i] for i in order], labels[order])
    fusion = fuse(FuseOptions(inputs=(one, two), weights=(2, 0.5)), SILENT)
    assert fusion.result.names == names
    np.testing.assert_allclose(fusion.result.scores, 2 * a + 0.5 * b, atol=1e-6)


def test_what_does_not_belong_together_is_refused(tmp_path):
    scores, labels = np.random.default_rng(0).normal(size=(4, 3)), [0, 1, 2, 0]
    one = named(tmp_path, "one", scores, list("abcd"), labels)
    cases = {
        "1 only in .*one.npz, for instance d": named(tmp_path, "other", scores, list("abce"), labels),
        "disagree on the labels of 1 clips": named(tmp_path, "labels", scores, list("abcd"), [0, 1, 2, 1]),
        "has 3 classes, .* has 2": named(tmp_path, "classes", scores[:, :2], list("abcd"), [0, 1, 1, 0]),
        "has 4 clips, .* has 3": bare(tmp_path, "short", scores[:3]),
        "probabilities, .* logits": bare(tmp_path, "shares", np.full((4, 3), 1 / 3)),
        "NaN": bare(tmp_path, "nan", np.full((4, 3), np.nan)),
    }
    for words, other in cases.items():
        with pytest.raises(DataError, match=words):
            fuse(FuseOptions(inputs=(one, other)), SILENT)
    with pytest.raises(UsageError, match="3 numbers for 2 results"):
        fuse(FuseOptions(inputs=(one, one), weights=(1, 2, 3)), SILENT)


def test_softmax_makes_logits_and_probabilities_comparable(tmp_path):
    logits, labels = np.array([[1.0, 3.0], [2.0, 0.0]]), [1, 0]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    one = named(tmp_path, "one", logits, ["a", "b"], labels)
    two = named(tmp_path, "two", shares, ["a", "b"], labels)
    fusion = fuse(FuseOptions(inputs=(one, two), softmax=True), SILENT)
    np.testing.assert_allclose(fusion.result.scores, 2 * shares, atol=1e-6)


def test_a_search_never_measures_on_the_clips_it_searched(tmp_path):
    """One result knows the labels, the other is noise: the weight of the noise is small, and half of the clips count."""
    rng, labels = np.random.default_rng(0), np.arange(40) % 4
    names = [f"c{i}" for i in range(40)]
    good = named(tmp_path, "good", np.eye(4)[labels] + rng.normal(0, 0.2, (40, 4)), names, labels)
    noise = named(tmp_path, "noise", rng.normal(0, 3, (40, 4)), names, labels)
    fusion = fuse(FuseOptions(inputs=(good, noise), search=True), SILENT)
    assert fusion.measured_on == 20 and fusion.weights[0] > 3 * fusion.weights[1]
    assert fusion.result.metrics["top1_acc"] > fusion.equal.metrics["top1_acc"]
    assert len(fusion.result.labels) == 40
    same = np.stack([np.eye(4)[labels]] * 2)
    assert search_weights(same, labels) == (1, 1)  # of equals the most even


def test_the_clips_of_the_search_are_not_those_of_the_figures(tmp_path, monkeypatch):
    rng, labels = np.random.default_rng(0), np.arange(30) % 3
    one, two = rng.normal(size=(2, 30, 3)).astype(np.float32)
    names, searched = [f"c{i}" for i in range(30)], []
    monkeypatch.setattr(fusing, "search_weights", lambda stack, labels: searched.append(stack[0]) or (3.0, 1.0))
    inputs = named(tmp_path, "one", one, names, labels), named(tmp_path, "two", two, names, labels)
    fusion = fuse(FuseOptions(inputs=inputs, search=True), SILENT)
    used = (one[:, None] == searched[0].astype(np.float32)[None]).all(-1).any(1)
    right = (3.0 * one + two).argmax(1) == labels
    assert used.sum() == 15 and fusion.result.metrics["top1_acc"] == pytest.approx(right[~used].mean())
    assert fusion.singles[0].metrics["top1_acc"] == pytest.approx((one.argmax(1) == labels)[~used].mean())


def test_run_folders_and_bare_lists_are_results(tmp_path):
    rng, labels = np.random.default_rng(0), np.array([0, 1, 2, 2])
    one, two, told = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), []
    for folder in ("best", "last"):
        (tmp_path / folder).mkdir()
        named(tmp_path / folder, f"{folder}.result", one, list("abcd"), labels)
    named(tmp_path / "best", "last.result", two, list("abcd"), labels)  # the best one counts
    inputs = tmp_path / "best", tmp_path / "last", bare(tmp_path, "bare", two)
    fusion = fuse(FuseOptions(inputs=inputs), Reporter(note=told.append))
    np.testing.assert_allclose(fusion.result.scores, 2 * one + two, atol=1e-6)
    assert len(told) == 1 and "bare.pkl has no clip names: aligned with" in told[0] and "by position" in told[0]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="contains no scores") as refused:
        fuse(FuseOptions(inputs=(tmp_path / "best", tmp_path / "empty")), SILENT)
    assert "stgcn eval" in refused.value.hint


def test_every_format_gives_the_same_scores(stgcn, tmp_path):
    rng, labels = np.random.default_rng(0), np.array([0, 1, 2, 2, 1, 0])
    scores = rng.normal(size=(6, 3)).astype(np.float32)
    one = named(tmp_path, "one", scores, list("abcdef"), labels)
    for suffix in ("pkl", "npz", "json", "csv"):
        done = stgcn("fuse", one, one, "--weights", "0.5:0.5", "--out", f"same.{suffix}", "--json")
        assert done.code == 0, done.err
        np.testing.assert_allclose(read_saved(tmp_path / f"same.{suffix}").scores, scores, atol=2e-6)
        assert (read_saved(tmp_path / f"same.{suffix}").names is None) == (suffix == "pkl")
    right = float((scores.argmax(1) == labels).mean())
    assert json.loads(done.out)["fusion"]["top1_acc"] == pytest.approx(right)
    table = stgcn("fuse", one, tmp_path / "same.json", "--per-class")
    assert "fusion" in table.out and "class 2" in table.out


def test_a_saved_list_is_measured_again_without_a_model(stgcn, tmp_path):
    scores, labels = np.random.default_rng(1).normal(size=(8, 6)), np.arange(8) % 6
    path, data = bare(tmp_path, "result", scores), annotations(tmp_path, labels)
    again = stgcn("eval", path, "--data", data, "--json", "--no-report", "--out", "again.npz")
    assert again.code == 0, again.err
    assert json.loads(again.out)["top1_acc"] == pytest.approx((scores.argmax(1) == labels).mean())
    assert "by position" in again.err
    assert stgcn("eval", path).code == 2  # no labels
    assert read_saved(tmp_path / "again.npz").names[0] == "clip00"
