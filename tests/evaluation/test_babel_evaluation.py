"""BABEL's own test program on real clips: scores and figures, NaN where it gives NaN, and the challenge file."""

import json
import pickle

import numpy as np
import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.evaluation import metrics
from stgcn_cli.models.agcn import AGCN
from stgcn_cli.runs import agcn_names, checkpoint
from stgcn_cli.training.optim import cross_entropy
from tests.factories import releases
from tests.factories.weights import by_rules


def official(shared, classes):
    """Weights by rule S for a BABEL AGCN of so many classes, under the names of BABEL's program."""
    facts = json.loads((shared / "golden" / "agcn" / "forward" / "babel60__S.json").read_text())
    shapes = {key: [classes, *shape[1:]] if key.startswith("fc.") else shape for key, shape, *_ in facts["keys"]}
    return by_rules(facts, {key: torch.zeros(shape) for key, shape in shapes.items()})


@pytest.mark.parametrize("name", ["sixty", "twenty"])
def test_scores_and_figures_are_the_official_ones(shared, name):
    folder = shared / "golden" / "agcn" / "eval"
    facts, wanted = json.loads((folder / f"{name}.json").read_text()), np.load(folder / f"{name}_scores.npy")
    few = slice(6)
    x = np.load(shared / "data" / "babel-layout" / "val_ntu_sk_60.npy", mmap_mode="r")[facts["clips"][few]]
    model = AGCN("ntu", facts["num_class"])
    model.load_state_dict(agcn_names.from_authors(official(shared, facts["num_class"])))
    with torch.inference_mode():
        scores = model.eval()(torch.from_numpy(np.array(x, np.float32))).numpy()
    assert np.abs(scores - wanted[few]).max() / np.abs(wanted).max() < 1e-5
    labels = np.array(facts["labels"])
    found = metrics.measure(wanted, labels, ("top_k_accuracy", "top1_norm"))
    assert (found["top1_acc"], found["top5_acc"]) == (facts["top1"], facts["top5"])
    matrix = metrics.confusion(wanted.argmax(1), labels, facts["num_class"])
    if facts["top1_norm"] == "nan":
        assert np.isfinite(found["top1_norm"]) and (matrix.sum(1) == 0).any()
    else:
        assert found["top1_norm"] == pytest.approx(facts["top1_norm"], rel=1e-12)
    batches = torch.from_numpy(wanted).split(facts["batch"])
    losses = [cross_entropy(s, y) for s, y in zip(batches, torch.from_numpy(labels).split(facts["batch"]), strict=True)]
    assert float(torch.stack(losses).mean()) == pytest.approx(facts["val_loss"], rel=1e-6)


def test_a_clip_is_right_when_any_of_its_labels_is(tmp_path):
    scores, labels = np.eye(3)[[0, 0, 1, 2]], np.array([1, 0, 2, 2])
    found = metrics.measure(scores, labels, ("top_k_accuracy", "any_label_accuracy"), ["a", "a", "b", "c"])
    assert found["top1_acc"] == 0.5 and found["any_label_accuracy"] == pytest.approx(2 / 3)


@pytest.fixture
def babel(tmp_path):
    """A model and a release whose test labels are hidden."""
    preset = presets.load("babel60-agcn")
    torch.manual_seed(0)
    model = AGCN("ntu", 60)
    checkpoint.save(tmp_path / "best.pth", checkpoint.contents(model, {"preset": presets.to_toml(preset)}))
    columns = releases.made_up(9, frames=12)
    (tmp_path / "release").mkdir()
    for split, order in (("val", np.arange(9)), ("test", np.array([4, 8, 0, 2, 6, 1, 7, 3, 5]))):
        np.save(tmp_path / "release" / f"{split}_ntu_sk_60.npy", columns["clips"][order])
        rows = [[columns[key][i] for i in order] for key in ("segments", "labels", "sequences", "chunks", "annotators")]
        rows[1] = rows[1] if split == "val" else None
        content = pickle.dumps((rows[0], tuple(rows[1:])))
        (tmp_path / "release" / f"{split}_label_60.pkl").write_bytes(content)
    return columns


def test_a_challenge_file_holds_the_scores_in_the_order_of_the_test_labels(stgcn, babel, tmp_path):
    assert stgcn("prepare", "babel60", "--source", "release").code == 0
    done = stgcn("eval", "best.pth", "--split", "test", "--out", "challenge.npz", "--device", "cpu", "--no-report")
    assert done.code == 0 and "15,647" in done.err, done.err
    stored = np.load(tmp_path / "challenge.npz")
    assert [name[:4] for name in stored["names"]] == [babel["segments"][i] for i in (4, 8, 0, 2, 6, 1, 7, 3, 5)]
    assert stored["scores"].shape == (9, 60) and stored["scores"].dtype == np.float32
    done = stgcn("eval", "best.pth", "--metrics", "top1_norm", "--json", "--device", "cpu", "--no-report")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert 0 <= result["top1_norm"] <= 1 and len(result["classes_without_clips"]) == 51
