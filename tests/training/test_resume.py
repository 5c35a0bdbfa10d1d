"""Nothing lost: what was killed goes on to the same bits; what is damaged is recognised and passed over."""

import json
import random
import shutil

import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.errors import CheckpointError
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint, history
from tests.cli.runner import run_stgcn
from tests.conftest import SMALL, make_records, write_small_data
from tests.factories import checkpoints
from tests.factories.runs import assert_equal
from tests.reliability import kills

TRAIN = ("train", "--preset", "ntu60-xsub-3d", *SMALL, "--no-validate", "--quiet")


@pytest.fixture(scope="module")
def three_epochs(tmp_path_factory):
    """A folder with data and a finished run of three epochs."""
    folder = tmp_path_factory.mktemp("three")
    write_small_data(folder / "data")
    said = run_stgcn(folder, *TRAIN, "--epochs", "3", "--work-dir", "run")
    assert said.code == 0, said.err
    return folder


@pytest.fixture
def run(three_epochs, tmp_path):
    shutil.copytree(three_epochs / "data", tmp_path / "data")
    shutil.copytree(three_epochs / "run", tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.slow
@pytest.mark.parametrize("gpus", [1, 2])
def test_killed_at_random_moments_it_ends_as_if_undisturbed(small_data, tmp_path, gpus):
    seconds = kills.calm(tmp_path, gpus)
    struck = kills.shaken(tmp_path, "shaken", gpus, seconds, 2, random.Random(gpus))
    by_signals = bool(struck["terminate"] + struck["interrupt"])
    assert_equal(tmp_path / f"calm-{gpus}", tmp_path / "shaken", by_signals)
    assert sum(struck.values()) >= 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_killed_on_a_gpu_it_ends_as_if_undisturbed(small_data, tmp_path):
    seconds = kills.calm(tmp_path, 1, kills.CUDA)
    struck = kills.shaken(tmp_path, "shaken", 1, seconds, 3, random.Random(1), kills.CUDA)
    assert_equal(tmp_path / "calm-1", tmp_path / "shaken")
    assert sum(struck.values()) >= 1


def test_a_checkpoint_is_written_inside_an_epoch_and_gone_on_from(run, stgcn, tmp_path):
    """The run is cut where its first step ends, as a kill just after that checkpoint leaves it."""
    words = (*TRAIN, "--epochs", "1", "--checkpoint-minutes", "0", "--set", "train.log_every=1")
    assert stgcn(*words, "--work-dir", "whole").code == 0
    inside = checkpoint.read(tmp_path / "whole" / "last-1.pth")
    found = history.progress_in(inside)
    assert (found.epoch, found.step) == (0, 2)  # of three steps
    (tmp_path / "whole" / "last-1.pth").replace(tmp_path / "kept.pth")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for path in (tmp_path / "cut").glob("*.pth"):
        path.unlink()
    shutil.copy(tmp_path / "kept.pth", tmp_path / "cut" / "last.pth")
    assert stgcn(*words, "--work-dir", "cut", "--resume").code == 0
    assert_equal(tmp_path / "whole", tmp_path / "cut")
    modes = [json.loads(line)["mode"] for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert modes == ["train", "train", "resumed", "train", "epoch"]


def flip(path, share: float) -> None:
    """Turn one bit of the file."""
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_flipped_bit_in_a_tensor_is_recognised(run, share):
    flip(run / "last.pth", share)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.read(run / "last.pth")


def test_a_damaged_checkpoint_is_passed_over_with_a_word(run, three_epochs, stgcn):
    flip(run / "last.pth", 0.5)
    (run / "epoch_3.pth").write_bytes((run / "epoch_3.pth").read_bytes()[:5000])
    said = stgcn(*TRAIN, "--epochs", "3", "--work-dir", run, "--resume")
    assert said.code == 0, said.err
    assert "last.pth is damaged" in said.err and "Resuming from last-1.pth" in said.err
    assert_equal(three_epochs / "run", run)


def test_when_all_are_damaged_the_run_does_not_start_from_nothing(run, stgcn):
    for path in run.glob("*.pth"):
        path.write_bytes(b"not a checkpoint")
    said = stgcn(*TRAIN, "--epochs", "3", "--work-dir", run, "--resume")
    assert said.code == 4 and "No checkpoint in" in said.err and "--load-from" in said.err
    assert (run / "last.pth").read_bytes() == b"not a checkpoint"


def test_a_short_history_is_kept(run):
    found = [history.progress_in(checkpoint.read(run / name)) for name in history.KEPT]
    assert [(each.epoch, each.step) for each in found] == [(3, 0), (2, 0)]
    assert history.newest(run).path.name == "last.pth"


@pytest.mark.parametrize("gpus", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_steps_that_are_not_finite_are_left_out_as_often_as_allowed(stgcn, tmp_path, gpus):
    """Half the float32 range in one clip: its step overflows, the others do not."""
    import pickle

    folder = write_small_data(tmp_path / "data")
    whole = pickle.loads((folder / "ntu60.pkl").read_bytes())
    whole["annotations"][5]["keypoint"][:, 1::2] = 1.7e38  # clip005
    (folder / "ntu60.pkl").write_bytes(pickle.dumps(whole))
    words = (*TRAIN, "--epochs", "2", "--gpus", str(gpus), "--set", "train.log_every=1")
    said = stgcn(*words, "--work-dir", "strict")
    assert said.code == 6 and "clip005" in said.err and "--skip-nonfinite" not in said.err
    said = stgcn(*words, "--work-dir", "tolerant", "--skip-nonfinite", "2")
    assert said.code == 0, said.err
    assert said.err.count("Skipped epoch") == 2 and "clip005" in said.err
    log = [json.loads(line) for line in (tmp_path / "tolerant" / "log.jsonl").read_text().splitlines()]
    left_out = [record for record in log if record["mode"] == "skipped"]
    assert [record["skipped"] for record in left_out] == [1, 2] and "clip005" in left_out[0]["clips"]
    state = checkpoint.read(tmp_path / "tolerant" / "last.pth").state
    assert all(tensor.isfinite().all() for tensor in state.values() if tensor.is_floating_point())
    said = stgcn(*words, "--work-dir", "spent", "--skip-nonfinite", "1")
    assert said.code == 6 and "--skip-nonfinite 1" in said.err


def test_fine_tuning_takes_what_fits_and_says_what_is_re_initialised(run, stgcn, tmp_path):
    import pickle

    records = make_records(8, classes=2)
    (tmp_path / "own_train.pkl").write_bytes(pickle.dumps(records))
    (tmp_path / "own_val.pkl").write_bytes(pickle.dumps(records))
    words = ("train", "-p", "ntu60-xsub-3d", *SMALL, "--set", "model.num_classes=2", "--data", "own_train.pkl",
             "--data", "own_val.pkl", "--epochs", "1", "--load-from", run / "last.pth")  # fmt: skip
    said = stgcn(*words, "--work-dir", "frozen", "--freeze", "backbone")
    assert said.code == 0, said.err
    assert "Re-initialised: the classification head (3 → 2 classes)." in said.err and "--freeze" not in said.err
    before, after = checkpoint.read(run / "last.pth").state, checkpoint.read(tmp_path / "frozen" / "last.pth").state
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith("backbone."))
    assert after["cls_head.fc.weight"].shape[0] == 2
    said = stgcn(*words, "--work-dir", "x", "--freeze", "head")
    assert said.code == 2 and "backbone" in said.err
    said = stgcn(*words[:-1], run, "--work-dir", "x")
    assert said.code == 4 and "is a folder" in said.err and "best.pth" in said.err


def test_a_frozen_backbone_that_was_never_trained_is_warned_about(run):
    from stgcn_cli.config import presets
    from stgcn_cli.io.reporter import Reporter
    from stgcn_cli.runs import transfer
    from stgcn_cli.training.check import check_weights
    from stgcn_cli.training.options import RunOptions

    said = []
    reporter = Reporter(warn=said.append)
    flat, deep = presets.load("ntu60-xsub-2d"), presets.load("ntu60-xsub-3d")
    check_weights(RunOptions(preset=deep, freeze="backbone"), reporter, 1)
    assert "without --load-from" in said.pop()
    check_weights(RunOptions(preset=deep, freeze="backbone", resume=True), reporter, 1)
    transfer.check(deep, run / "last.pth", True, reporter)
    transfer.check(flat, run / "last.pth", False, reporter)
    assert not said
    transfer.check(flat, run / "last.pth", True, reporter)
    assert "never be trained" in said.pop()


def test_weights_of_another_skeleton_keep_what_does_not_count_joints(run):
    from stgcn_cli.config import presets
    from stgcn_cli.models import build_model
    from stgcn_cli.runs import transfer

    model = build_model(presets.load("ntu60-xsub-2d"))
    summary, is_backbone_new = transfer.load_fitting(model, checkpoint.read(run / "last.pth"))
    assert is_backbone_new
    assert "75 → 51 input channels" in summary and "head (3 → 60 classes)" in summary
    read, state = checkpoint.read(run / "last.pth").state, model.state_dict()
    assert torch.equal(
        state["backbone.st_gcn_networks.3.tcn.2.weight"], read["backbone.st_gcn_networks.3.tcn.2.weight"]
    )
    assert state["backbone.A"].shape[1] == 17


@pytest.mark.parametrize(("key", "value", "told"), [
    ("epoch", -5, "whole number"), ("epoch", "3", "'3'"), ("epoch", 2, "2 of 2 epochs"), ("step", 10**9, "step"), ("step", 4, "4 steps of an epoch, which has 3"),
])  # fmt: skip
def test_nothing_starts_from_a_checkpoint_with_invalid_progress(stgcn, small_data, tmp_path, key, value, told):
    path = checkpoints.made(tmp_path / "a.pth")
    content = torch.load(path, weights_only=True)
    model = build_model(presets.load("ntu60-xsub-3d", checkpoints.SMALL))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9).state_dict()
    torch.save(content | {"meta": content["meta"] | {"epoch": 1, key: value}, "optimizer": optimizer}, path)
    said = stgcn("train", "--preset", "ntu60-xsub-3d", *SMALL, "--resume-from", path, "--work-dir", "on")
    assert said.code == 4 and told in said.err and not (tmp_path / "on").exists(), said.err
