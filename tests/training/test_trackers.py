import importlib.util
import json
import struct

import pytest

from tests.cli.runner import ROOT, run_stgcn
from tests.conftest import SMALL, write_small_data

TRAIN = ("train", "--preset", "ntu60-xsub-3d", *SMALL, "--set", "train.log_every=1", "--work-dir", "run")

needs_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="the extra stgcn[tensorboard] is not installed"
)
needs_wandb = pytest.mark.skipif(
    importlib.util.find_spec("wandb") is None, reason="the extra stgcn[wandb] is not installed (it is in stgcn[dev])"
)


def scalars(folder):
    """{name: {step: value}} as TensorBoard itself reads them; a step that is there twice fails."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    read = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}
    for name, pairs in read.items():
        assert len(dict(pairs)) == len(pairs), name
    return {name: dict(pairs) for name, pairs in read.items()}


def logged(run, mode, key):
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [record[key] for record in records if record["mode"] == mode]


@needs_tensorboard
def test_events_equal_the_log_and_a_resumed_run_repeats_none(tmp_path):
    """Four epochs of three steps, broken off after three; last.pth is set back to the second, as after a crash."""
    write_small_data(tmp_path / "data")
    run = tmp_path / "run"
    words = ("--tensorboard", "--set", "train.validate_every=1", "--set", "train.checkpoint_every=1")
    said = run_stgcn(tmp_path, *TRAIN, *words, "--epochs", "3")
    assert said.code == 0 and "tensorboard --logdir run\n" in said.err
    before = scalars(run / "tensorboard")
    assert list(before["train/loss"]) == list(range(1, 10)) and list(before["val/top1_acc"]) == [3, 6, 9]
    (run / "epoch_2.pth").replace(run / "last.pth")
    for name in ("last-1.pth", "epoch_3.pth"):
        (run / name).unlink()
    said = run_stgcn(tmp_path, *TRAIN, *words, "--epochs", "4", "--resume")
    assert said.code == 0, said.err
    shown = scalars(run / "tensorboard")
    for name, key in (("loss", "loss"), ("top1", "top1_acc"), ("top5", "top5_acc"), ("lr", "lr"), ("seconds_per_step", "time")):  # fmt: skip
        assert list(shown[f"train/{name}"]) == list(range(1, 13))
        assert list(shown[f"train/{name}"].values()) == pytest.approx(logged(run, "train", key), rel=1e-6)
    assert shown["val/top1_acc"] == pytest.approx(dict(zip((3, 6, 9, 12), logged(run, "val", "top1_acc"), strict=True)))


def histories(run):
    """[{name: value}] of what was handed to Weights & Biases, out of its offline files: records of protobuf in blocks."""
    from wandb.proto.wandb_internal_pb2 import Record

    found = []
    for path in sorted((run / "wandb").glob("offline-run-*/*.wandb")):
        content = path.read_bytes()
        at = 7  # after the header of the file
        while at < len(content):
            (size, kind), at = struct.unpack_from("<HB", content, at + 4), at + 7  # after the checksum
            assert kind == 1, "a whole record, in a file of less than one block"
            items = Record.FromString(content[at : at + size]).history.item
            row = {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
            found += [row] if "step" in row else []
            at += size
    return found


@pytest.mark.slow
@needs_wandb
def test_wandb_gets_what_the_log_has_and_a_resumed_run_keeps_its_identifier(tmp_path):
    write_small_data(tmp_path / "data")
    run, offline = tmp_path / "run", {"WANDB_MODE": "offline"}
    words = (*TRAIN, "--wandb", "--no-report", "--set", "train.validate_every=1")
    said = run_stgcn(tmp_path, *words, env=offline, process=True)
    assert said.code == 0 and "Weights & Biases: run run" in said.err and "wandb:" not in said.err + said.out, said.err
    assert run_stgcn(tmp_path, *words, "--epochs", "3", "--resume", env=offline, process=True).code == 0
    rows = histories(run)
    losses = {row["step"]: row["train/loss"] for row in rows if "train/loss" in row}
    assert list(losses.values()) == logged(run, "train", "loss") and list(losses) == list(range(1, 10))
    assert [row["val/top1_acc"] for row in rows if "val/top1_acc" in row] == logged(run, "val", "top1_acc")
    assert len({path.name.rpartition("-")[2] for path in (run / "wandb").glob("offline-run-*")}) == 1


@needs_wandb
def test_wandb_without_an_account_says_what_to_type(stgcn, small_data, tmp_path):
    said = stgcn(*TRAIN, "--wandb", env={"WANDB_API_KEY": "", "HOME": str(tmp_path), "WANDB_CONFIG_DIR": str(tmp_path)})
    assert said.code == 2 and "wandb login" in said.err and "WANDB_MODE=offline" in said.err, said.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_without_the_extra_one_message_says_what_to_type(stgcn, small_data, tmp_path, name):
    """In a Python that does not have it: a package of this name that hides it."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text(
        "import importlib.util as u; find = u.find_spec\n"
        f"u.find_spec = lambda name, *more: None if name == '{name}' else find(name, *more)\n"
    )
    said = stgcn(*TRAIN, f"--{name}", env={"PYTHONPATH": f"{tmp_path / 'hidden'}:{ROOT}"})
    assert said.code == 2 and f"pip install 'stgcn[{name}]'" in said.err, said.err
    assert not (tmp_path / "run").exists()
