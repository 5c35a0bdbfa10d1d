"""Checkpoints of other collections: renamed, unwrapped, or refused by the name of their network."""

import argparse
import datetime
import pathlib
import sys
import types
from collections import defaultdict

import numpy as np
import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.errors import CheckpointError
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint, identify, inspect


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return dict(build_model(presets.load("demo")).state_dict())


def saved(path, value):
    torch.save(value, path)
    return checkpoint.read(path)


def original(state):
    """Names in the first ST-GCN code, as its repository lists them."""
    return {k.replace("cls_head.fc", "fcn").removeprefix("backbone."): v for k, v in state.items()}


def pyskl(state, head="fc_cls"):
    """Names of the reference's table: 0.x <-> PYSKL."""
    pairs = (("gcn.conv.", "gcn.conv."), ("tcn.0.", "gcn.bn."), ("tcn.2.", "tcn.conv."), ("tcn.3.", "tcn.bn."),
             ("residual.0.", "residual.conv."), ("residual.1.", "residual.bn."))  # fmt: skip
    named = {}
    for key, value in state.items():
        block, _, rest = key.removeprefix("backbone.st_gcn_networks.").partition(".")
        ours = next((pair for pair in pairs if rest.startswith(pair[0])), None)
        if key.startswith("backbone.edge_importance."):
            named[f"backbone.gcn.{key.rpartition('.')[2]}.gcn.PA"] = value
        elif key.startswith("cls_head.fc"):
            named[key.replace("fc", head, 1)] = value.flatten(1) if key.endswith("weight") else value
        elif key == "backbone.A":
            named |= {f"backbone.gcn.{i}.gcn.A": value for i in range(10)}
        elif ours and key.startswith("backbone.st_gcn_networks."):
            named[f"backbone.gcn.{block}.{rest.replace(*ours, 1)}"] = value
        else:
            named[key] = value
    return named


@pytest.mark.parametrize(
    ("renamed", "dialect"),
    [(original, "original"), (pyskl, "PYSKL"), (lambda state: pyskl(state, "fc"), "MMAction2 1.x")],
)
def test_the_same_network_under_other_names_has_our_names_and_values(tmp_path, state, renamed, dialect):
    read = saved(tmp_path / "a.pth", {"state_dict": {f"module.{k}": v for k, v in renamed(state).items()}})
    assert dialect in read.dialect and dialect in inspect.describe(read)["kind"]
    assert read.state.keys() == state.keys()
    assert all(torch.equal(read.state[key], state[key]) for key in state)
    checkpoint.load_into(build_model(presets.load("demo")), read)
    with pytest.raises(CheckpointError, match="--preset"):  # how the clips were prepared, nobody can tell from shapes
        identify.the_preset(read, "")


def test_a_graph_of_its_own_is_kept_and_graphs_that_differ_are_refused(tmp_path, state):
    named = pyskl(state)
    ring = torch.roll(state["backbone.A"], 1, 2)
    read = saved(tmp_path / "a.pth", named | {f"backbone.gcn.{i}.gcn.A": ring for i in range(10)})
    assert torch.equal(read.state["backbone.A"], ring)
    for change in ({"backbone.gcn.3.gcn.A": ring}, {"backbone.gcn.3.gcn.PA": torch.full_like(ring, 1e-6)}):
        with pytest.raises(CheckpointError, match="not supported"):
            saved(tmp_path / "b.pth", named | change)


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        (("model",), ""), (("model_state_dict",), "module."), (("net",), "_orig_mod."), (("checkpoint", "state_dict"), ""),
        (("model", "state_dict"), "model.module."),
    ],
)  # fmt: skip
def test_weights_are_found_wherever_trainers_keep_them(tmp_path, state, path, prefix):
    value = {prefix + key: tensor for key, tensor in state.items()}
    for key in reversed(path):
        value = {key: value, "epoch": 3}
    if path[0] == "checkpoint":  # no key of weights: what it contains is said
        with pytest.raises(CheckpointError, match="no tensors; its keys are checkpoint, epoch"):
            saved(tmp_path / "a.pth", value)
        return
    read = saved(tmp_path / "a.pth", value)
    assert read.state.keys() == state.keys() and read.under == ".".join(path)


def test_numpy_weights_and_histories_are_read_without_their_code(tmp_path, state, monkeypatch):
    name = "mmengine.logging.history_buffer"
    for part in ("mmengine", "mmengine.logging", name):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))

    class HistoryBuffer:
        def __init__(self):
            self._log_history = np.arange(3.0)

    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = name, "HistoryBuffer"
    monkeypatch.setattr(sys.modules[name], "HistoryBuffer", HistoryBuffer, raising=False)
    beside = {"message_hub": {"log_scalars": {"loss": HistoryBuffer()}}, "args": argparse.Namespace(lr=0.1)}
    arrays = {key: tensor.numpy() for key, tensor in state.items()}
    torch.save({"state_dict": arrays, "best": {"acc": np.array([0.5])}, **beside}, tmp_path / "a.pth")
    monkeypatch.delitem(sys.modules, name)
    read = checkpoint.read(tmp_path / "a.pth")
    assert all(torch.equal(read.state[key], state[key]) for key in state)


def entry(*names):
    return {name: torch.ones(3, 3) for name in names}


@pytest.mark.parametrize(
    ("names", "network"),
    [
        (("data_bn.weight", "l1.gcn1.convs.0.conv4.weight"), "CTR-GCN"),
        (("l1.gcn1.Feature_Mask",), "Shift-GCN"),
        (("sgcn1.0.mlp.layers.0.weight", "gcn3d1.gcn3d.0.weight"), "MS-G3D"),
        (("input_branches.0.0.bn.weight", "main_stream.0.0.bn.weight"), "EfficientGCN"),
        (("backbone.gcn.0.gcn.pre.0.weight", "backbone.gcn.0.gcn.post.weight"), "DG-STGCN"),
    ],
)
def test_another_network_is_named(tmp_path, names, network):
    with pytest.raises(CheckpointError, match=f"{network}, another network"):
        saved(tmp_path / "a.pth", entry(*names))


def test_harmless_objects_beside_the_weights_do_not_matter(tmp_path, state):
    beside = {
        "when": datetime.datetime(2026, 1, 2),
        "where": pathlib.PurePosixPath("a/b"),
        "seen": defaultdict(list, a=[1]),
    }
    assert saved(tmp_path / "a.pth", {"state_dict": state, **beside}).state.keys() == state.keys()


def test_what_is_no_checkpoint_says_how_to_make_one(tmp_path, state):
    np.savez(tmp_path / "a.npz", **{key: tensor.numpy() for key, tensor in state.items()})
    names = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (tmp_path / "a.safetensors").write_bytes(len(names).to_bytes(8, "little") + names + bytes(4))
    torch.save(Whole(), tmp_path / "whole.pth")
    torch.jit.save(torch.jit.script(torch.nn.Linear(3, 2)), tmp_path / "script.pth")
    for name, said, hint in (
        ("a.npz", "numpy arrays", "torch.from_numpy"), ("a.safetensors", "safetensors", "load_file"),
        ("whole.pth", "Whole", "state_dict()"), ("script.pth", "TorchScript", "state_dict()"),
    ):  # fmt: skip
        with pytest.raises(CheckpointError, match=said) as refusal:
            checkpoint.read(tmp_path / name)
        assert hint in refusal.value.hint


class Whole(torch.nn.Linear):
    """A model that is saved whole."""

    def __init__(self):
        super().__init__(2, 2)
