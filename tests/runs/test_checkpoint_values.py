"""Weights that are no numbers and progress that cannot be are refused by name before anything starts."""

import json

import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.errors import CheckpointError
from stgcn_cli.io.text import json_text, to_json
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint, history
from stgcn_cli.runs.transfer import load_fitting
from tests.conftest import make_records
from tests.factories import checkpoints

KEY = "backbone.st_gcn_networks.0.gcn.conv.weight"


@pytest.fixture
def path(tmp_path):
    return checkpoints.made(tmp_path / "a.pth")


def changed(path, change):
    """The checkpoint with something changed in its contents."""
    value = torch.load(path, weights_only=True)
    change(value)
    torch.save(value, path)
    return checkpoint.read(path)


def fresh():
    return build_model(presets.load("ntu60-xsub-3d", checkpoints.SMALL))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "complex"])
def test_weights_that_are_no_real_numbers_are_refused_by_name(path, bad):
    def change(value):
        weight = value["state_dict"][KEY]
        value["state_dict"][KEY] = weight.to(torch.complex64) if bad == "complex" else weight.index_fill(0, torch.tensor(0), bad)  # fmt: skip

    read = changed(path, change)
    for load in (checkpoint.load_into, load_fitting):
        with pytest.raises(CheckpointError, match=KEY):
            load(fresh(), read)


def test_scores_that_are_no_numbers_are_refused_with_the_clip(path, tmp_path):
    changed(path, lambda value: value["state_dict"].update({KEY: value["state_dict"][KEY] * 0 + 3e38}))
    with pytest.raises(CheckpointError, match="clip000"):
        checkpoints.evaluated(path, checkpoints.write(tmp_path / "x.pkl", make_records(3)))


@pytest.mark.parametrize(("key", "value"), [
    ("epoch", -5), ("epoch", "3"), ("epoch", float("nan")), ("epoch", True), ("epoch", 10**9), ("step", 10**9), ("step", [1]), ("skipped", -1),
    ("sums", [0.1, float("nan"), 0, 0]), ("sums", 4), ("best", {"top1_acc": float("nan")}), ("best", "good"), ("best", {"epoch": [1]}),
])  # fmt: skip
def test_progress_that_cannot_be_is_refused(path, key, value):
    with pytest.raises(CheckpointError, match=key):
        history.progress_in(changed(path, lambda whole: whole["meta"].update({key: value})))


def test_progress_is_read(path):
    meta = {"epoch": 3, "step": 2, "skipped": 1, "sums": [1.0, 2.0, 3.0, 4], "best": {"top1_acc": 0.5, "epoch": 2}}
    found = history.progress_in(changed(path, lambda whole: whole["meta"].update(meta)))
    assert (found.epoch, found.step, found.skipped, found.sums) == (3, 2, 1, (1.0, 2.0, 3.0, 4)) and found.best == meta[
        "best"
    ]


def _states():
    return {
        "lr": lambda o: o["param_groups"][0].update(lr=float("nan")),
        "momentum": lambda o: o["param_groups"][0].update(momentum="0.9"),
        "weight_decay": lambda o: o["param_groups"][0].update(weight_decay=-1.0),
        "momentum_buffer": lambda o: o["state"][0].update(momentum_buffer=torch.full_like(o["state"][0]["momentum_buffer"], float("inf"))),
        "shape": lambda o: o["state"][0].update(momentum_buffer=torch.zeros(7)),
        "param_groups": lambda o: o.pop("param_groups"),
        "groups": lambda o: o.update(param_groups=[{"params": "abc"}]),
        "parameter": lambda o: o["state"].update({10**9: {"momentum_buffer": torch.zeros(1)}}),
        "state": lambda o: o.update(state=3),
    }  # fmt: skip


@pytest.mark.parametrize("what", list(_states()))
def test_an_optimizer_state_of_other_types_shapes_and_ranges_is_refused(path, what):
    model = fresh()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    read = changed(path, lambda value: value.update(optimizer=optimizer.state_dict()))
    checkpoint.load_optimizer(optimizer, read)
    read = changed(path, lambda value: _states()[what](value["optimizer"]))
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoint.load_optimizer(optimizer, read)


def test_json_never_holds_nan():
    value = {"a": [float("nan"), 1.5, (float("inf"),)], "b": {"c": float("-inf")}}
    assert json.loads(json_text(value)) == json.loads(to_json(value)) == {"a": [None, 1.5, [None]], "b": {"c": None}}
