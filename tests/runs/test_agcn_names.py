"""AGCN's weights under the names of its authors' and BABEL's programs: read, written, and identified."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch

from stgcn_cli.config import catalog, presets, published_files
from stgcn_cli.errors import CheckpointError, UsageError
from stgcn_cli.io.reporter import SILENT
from stgcn_cli.models import build_model
from stgcn_cli.models.agcn import AGCN
from stgcn_cli.runs import checkpoint, convert, identify
from tests.factories.http_server import Served, running
from tests.factories.weights import by_rules


@pytest.fixture(params=["babel60__S", "babel120__A"])
def official(request, shared, tmp_path):
    """A bare state dict as BABEL's program saves it, with the reference's weights, and what the reference says of it."""
    folder, classes = shared / "golden" / "agcn" / "forward", int(request.param[5:].partition("_")[0])
    facts = json.loads((folder / f"{request.param}.json").read_text())
    shapes = {key: torch.zeros(shape) for key, shape, *_ in facts["keys"]}
    drawn = by_rules(facts, {key: shapes[key] for key in facts["state_dict_order"]})
    path = tmp_path / f"ntu_sk_{classes}_agcn_joint_const_lr_1e-3-17-6390.pt"
    torch.save(drawn, path)
    return path, facts, np.load(folder / f"{request.param}.npz")


def clips(facts):
    x = np.random.default_rng(7).normal(size=facts["input_shape"])
    if facts["variant"] == "S":
        n, c, _, v, m = facts["input_shape"]
        x = x + np.random.default_rng(11).normal(0, 2, (n, c, 1, v, m))
    return torch.from_numpy(x.astype(np.float32))


@pytest.mark.parametrize("bits", [32, 64])
def test_official_weights_give_the_official_logits(official, bits):
    path, facts, arrays = official
    dtype, wanted = {32: torch.float32, 64: torch.float64}[bits], arrays[f"logits_eval_f{bits}"]
    read = checkpoint.read(path)
    model = AGCN("ntu", read.num_classes)
    checkpoint.load_into(model, read)
    with torch.inference_mode():
        logits = model.to(dtype).eval()(clips(facts).to(dtype)).numpy()
    assert np.abs(logits - wanted).max() / np.abs(wanted).max() < {32: 1e-5, 64: 1e-9}[bits]
    assert identify.the_preset(read, "").presets == (f"babel{read.num_classes}-agcn",)


def test_the_official_form_is_written_as_it_was_read(official, tmp_path):
    path, facts, _ = official
    before = torch.load(path, weights_only=True)
    again = torch.load(
        convert.convert(checkpoint.read(path), tmp_path / "again-1.pt", form="2s-agcn"), weights_only=True
    )
    assert list(again) == facts["state_dict_order"] and all(torch.equal(again[key], before[key]) for key in before)
    ours = torch.load(convert.convert(checkpoint.read(path), tmp_path / "mm.pth"), weights_only=True)["state_dict"]
    assert list(ours) == list(AGCN("ntu", 60).state_dict())


@pytest.mark.parametrize("spelling", [("gcn1.down.", "gcn1.conv_res."), ("l1.", "l1a."), ("", "module.")])
def test_other_spellings_are_read(official, tmp_path, spelling):
    path, *_ = official
    state = torch.load(path, weights_only=True)
    old, new = spelling
    torch.save(
        {key.replace(old, new, 1) if old else new + key: tensor for key, tensor in state.items()}, tmp_path / "o.pt"
    )
    ours, other = checkpoint.read(path).state, checkpoint.read(tmp_path / "o.pt").state
    assert ours.keys() == other.keys() and all(torch.equal(ours[key], other[key]) for key in ours)


def test_two_persons_normalised_alike_become_one_and_otherwise_each_keeps_its_own(tmp_path):
    preset = presets.load("ntu60-xsub-3d-agcn")
    model = build_model(preset).eval()
    torch.nn.init.uniform_(model.backbone.data_bn.weight)
    torch.save({"meta": {"preset": presets.to_toml(preset)}, "state_dict": model.state_dict()}, tmp_path / "ours.pth")
    path = convert.convert(checkpoint.read(tmp_path / "ours.pth"), tmp_path / "theirs-0.pt", form="2s-agcn")
    state = torch.load(path, weights_only=True)
    assert state["data_bn.weight"].shape == (150,)
    back = checkpoint.read(path).state
    assert all(torch.equal(back[key], tensor) for key, tensor in model.state_dict().items())
    state["data_bn.bias"][75:] += 1
    torch.save(state, tmp_path / "other.pt")
    other = checkpoint.read(tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="input_norm=person"):
        checkpoint.load_into(model, other)
    each = build_model(presets.load("ntu60-xsub-3d-agcn", ["model.input_norm=person"])).eval()
    checkpoint.load_into(each, other)
    x = torch.randn(2, 3, 20, 25, 2)
    with torch.inference_mode():  # the values of the second person, and so its BatchNorm's input, are moved by one
        one, two = model.backbone(x), each.backbone(x)
        torch.testing.assert_close(one[0::2], two[0::2], rtol=1e-5, atol=1e-6)
        assert not torch.allclose(one[1::2], two[1::2], rtol=1e-3)
        torch.testing.assert_close(each(x), each.plain(x), rtol=1e-4, atol=1e-5)
        model.backbone.data_bn.bias += 1
        torch.testing.assert_close(model.backbone(x)[1::2], two[1::2], rtol=1e-5, atol=1e-6)


def test_weights_of_another_network_are_refused_by_name(tmp_path):
    state = build_model(presets.load("ntu60-xsub-3d-agcn")).state_dict()
    torch.save(state | {"backbone.agcn_networks.0.tcn.3.weight": torch.ones(64)}, tmp_path / "old.pth")
    with pytest.raises(CheckpointError, match=r"November 2021 .*tcn\.3"):
        checkpoint.read(tmp_path / "old.pth")
    with pytest.raises(UsageError, match="November 2021"):
        published_files.choose(["2sagcn_80e_ntu60_xsub_bone_3d-aef54a2d.pth"], False, False, False)
    torch.save(build_model(presets.load("demo")).state_dict(), tmp_path / "stgcn.pth")
    with pytest.raises(CheckpointError, match="not an AGCN"):
        convert.convert(checkpoint.read(tmp_path / "stgcn.pth"), tmp_path / "x.pt", form="2s-agcn")


@pytest.mark.parametrize(
    ("word", "preset"),
    [("wfl_ntu_sk_120_agcn_joint_const_lr_1e-3-157-60356.pt", "babel120-wfl-agcn"),
     ("ntu_sk_60_agcn_joint_const_lr_1e-3-249-88750", "babel60-agcn"), ("agcn_80e_ntu60_xsub_bone_3d", "ntu60-xsub-3d-agcn-bone"),
     ("2sagcn_80e_ntu60_xsub_keypoint_3d-3bed61ba.pth", "ntu60-xsub-3d-agcn"), ("train_60_wfl", "babel60-wfl-agcn")],
)  # fmt: skip
def test_published_names_are_known(word, preset):
    assert catalog.find(word).preset == preset


def test_official_weights_are_downloaded_by_name_and_not_taken_for_verified(official, tmp_path, monkeypatch):
    path, *_ = official
    entry = catalog.find(path.name)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert published_files.weights_of(entry).base == catalog.BABEL_URL and published_files.log_of(entry) is None
    with running() as mirror:
        mirror.files["/" + entry.weights] = Served(path.read_bytes())
        item = published_files.weights_of(entry)
        found = published_files.fetch_item(item, tmp_path / "cache", mirror.base, SILENT, (0.0,))
    assert hashlib.sha256(found.read_bytes()).hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert published_files.verdict(item, tmp_path / "cache") == (True, "not verifiable: no published hash")
    assert dataclasses.replace(checkpoint.read(found), path=path).num_classes == int(entry.preset[5:].partition("-")[0])
