"""`stgcn checkpoint inspect | convert` on checkpoints of ours and of the reference."""

import hashlib
import json

import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.errors import CheckpointError, UsageError
from stgcn_cli.models import build_model
from stgcn_cli.runs import archive, checkpoint, convert, inspect
from stgcn_cli.training.optim import build_optimizer

PRESET = presets.load("ntu60-xsub-3d", ["model.num_classes=3", "data.classes=none"])


@pytest.fixture
def ours(tmp_path):
    """A last.pth as training writes it, momenta included, in float64 and with the ways of a GPU's optimizer."""
    model = build_model(PRESET).double()
    optimizer = build_optimizer(PRESET, model)
    model(torch.randn(1, 3, 8, 25, 1).double()).sum().backward()
    optimizer.step()
    meta = {"preset": presets.to_toml(PRESET), "CLASSES": ["a", "b", "c"], "epoch": 7, "seed": 0, "best": None}
    checkpoint.save(tmp_path / "last.pth", checkpoint.contents(model, meta, optimizer))
    return tmp_path / "last.pth"


def test_what_is_inside_ours(ours, stgcn, monkeypatch):
    monkeypatch.setattr(checkpoint, "sha256_of", None)  # the hash is of the file that was opened for the weights
    shown = json.loads(stgcn("checkpoint", "inspect", ours, "--json").out)
    assert shown["kind"] == "stgcn" and shown["likely_presets"] == ["ntu60-xsub-3d"] and shown["epoch"] == 7
    assert shown["skeleton"] == {"joints": 25, "partitions": 3, "layouts": ["ntu"], "graph": ["spatial"]}
    assert shown["classes"] == ["a", "b", "c"] and shown["optimizer"] and shown["dtypes"] == ["float64"]
    assert shown["sha256_prefix"] == hashlib.sha256(ours.read_bytes()).hexdigest()[:8]
    assert shown["parameters"] == sum(p.numel() for p in build_model(PRESET).parameters())


def test_what_is_inside_the_references(shared, stgcn):
    file = shared / "golden" / "e2e" / "epoch_4.pth"
    said = stgcn("checkpoint", "inspect", file)
    assert said.code == 0 and "MMAction2 0.x" in said.out and "ntu60-xsub-3d" in said.out
    assert "dict(" not in said.out  # its program text is told by its length only
    assert inspect.describe(checkpoint.read(file))["meta"]["hook_msgs"]["best_score"] == 0.078125


def test_parameters_instead_of_tensors_are_read_as_well(tmp_path):
    state = {
        key: torch.nn.Parameter(each, each.is_floating_point())
        for key, each in build_model(PRESET).state_dict().items()
    }
    torch.save({"state_dict": state}, tmp_path / "elsewhere.pth")
    told = inspect.describe(checkpoint.read(tmp_path / "elsewhere.pth"))
    assert told["skeleton"]["layouts"] == ["ntu"] and told["skeleton"]["joints"] == 25


def test_ours_is_written_in_the_references_layout(ours, stgcn, tmp_path):
    said = stgcn("checkpoint", "convert", ours, "out.pth", "--optimizer")
    assert said.code == 0 and said.out.strip() == "out.pth", said.err
    value = torch.load(tmp_path / "out.pth", weights_only=True)  # plain: nothing that needs an allow-list
    model = build_model(PRESET)
    wanted = model.state_dict()
    assert list(value) == ["meta", "state_dict", "optimizer"] and list(value["state_dict"]) == list(wanted)
    assert all(value["state_dict"][key].shape == wanted[key].shape for key in wanted)
    assert all(value["state_dict"][key].dtype == wanted[key].dtype for key in wanted)
    assert value["meta"]["CLASSES"] == ("a", "b", "c") and value["meta"]["epoch"] == 7
    torch.optim.SGD(model.parameters(), 0.1, 0.9).load_state_dict(value["optimizer"])
    assert {state["momentum_buffer"].dtype for state in value["optimizer"]["state"].values()} == {torch.float32}


def test_a_real_checkpoint_keeps_every_key_and_value(shared, tmp_path):
    read = checkpoint.read(shared / "golden" / "e2e" / "epoch_4.pth")
    again = checkpoint.read(convert.convert(read, tmp_path / "x.pth", optimizer=True))
    assert list(again.state) == list(read.state)
    assert all(torch.equal(again.state[key], read.state[key]) for key in read.state)
    assert again.meta == read.meta
    assert again.optimizer["state"].keys() == read.optimizer["state"].keys()


def test_a_published_name_ends_in_the_files_hash(ours, stgcn, tmp_path):
    said = stgcn("checkpoint", "convert", ours, "mine.pth", "--publish")
    (out,) = tmp_path.glob("mine-*.pth")
    assert said.out.strip() == out.name == f"mine-{hashlib.sha256(out.read_bytes()).hexdigest()[:8]}.pth"
    assert "optimizer" not in torch.load(out, weights_only=True)


def test_nothing_is_overwritten_and_nothing_invented(ours, tmp_path):
    before, read = ours.read_bytes(), checkpoint.read(ours)
    for out, wishes in ((ours, {}), (tmp_path / "a.pth", {"publish": True, "optimizer": True})):
        with pytest.raises(UsageError):
            convert.convert(read, out, **wishes)
    assert ours.read_bytes() == before and not (tmp_path / "a.pth").exists()
    torch.save(build_model(PRESET).state_dict(), tmp_path / "bare.pth")
    bare = checkpoint.read(tmp_path / "bare.pth")
    with pytest.raises(CheckpointError, match="no optimizer state"):
        convert.convert(bare, tmp_path / "x.pth", optimizer=True)
    assert not (tmp_path / "x.pth").exists() and inspect.describe(bare)["kind"] == "bare state dict"


@pytest.mark.parametrize(
    "words",
    [
        ("eval", "last.pth", "--data", "small.pkl", "--split", "xsub_val", "--device", "cpu"),
        ("checkpoint", "inspect", "last.pth"),
        ("checkpoint", "convert", "last.pth", "out.pth"),
        ("predict", "last.pth", "small.pkl", "--device", "cpu"),
    ],
)
def test_a_checkpoint_is_read_once_a_command(words, stgcn, ours, small_data, tmp_path, monkeypatch):
    read, notes = archive.read, tmp_path / "reads"

    def noted(path, *digest):
        with open(notes, "a") as stream:  # the command runs in a fork
            stream.write(f"{path}\n")
        return read(path, *digest)

    monkeypatch.setattr(archive, "read", noted)
    said = stgcn(*(small_data / "ntu60.pkl" if word == "small.pkl" else word for word in words))
    assert said.code == 0 and len(notes.read_text().splitlines()) == 1, said.err
