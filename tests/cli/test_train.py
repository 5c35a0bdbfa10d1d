"""The main job as a user runs it, on a handful of clips: real files, real processes. What is refused: test_refusals.py."""

import json
import pickle
import re
import shutil

import numpy as np
import pytest
import torch

from stgcn_cli.training import monitor
from tests.cli.runner import run_stgcn
from tests.conftest import SMALL, make_records, write_small_data

TRAIN = ("train", "--preset", "ntu60-xsub-3d", *SMALL)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with data and a finished run of two epochs."""
    folder = tmp_path_factory.mktemp("finished")
    write_small_data(folder / "data")
    said = run_stgcn(folder, *TRAIN, "--test-best", "--test-last")
    assert said.code == 0, said.err
    assert "best.pth top1_acc" in said.out and "top5_acc" not in said.out + said.err
    assert re.search(
        r"^Epoch 1/2: loss \d+\.\d+, training top1_acc [\d.]+ %; .*, about .* left$", said.err, re.MULTILINE
    )
    assert re.search(r"^Epoch 2/2: loss \d+\.\d+, training top1_acc [\d.]+ %; [^,]*$", said.err, re.MULTILINE)
    assert re.search(r"^Epoch 2/2: validation top1_acc [\d.]+ %", said.err, re.MULTILINE)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """The finished run's folder, in a copy of its own."""
    for name in ("data", "runs"):
        shutil.copytree(finished / name, tmp_path / name)
    return tmp_path / "runs" / "ntu60-xsub-3d"


def test_a_run_leaves_everything_in_its_folder(run):
    names = {path.name for path in run.iterdir()}
    assert {
        "preset.toml", "environment.json", "log.jsonl", "results.csv", "epoch_2.pth", "last.pth", "learning_curve.png",
        "best.pth", "best.result.pkl", "last.result.pkl", "best.confusion.png", "best.per_class.csv",
    } <= names  # fmt: skip
    assert not [name for name in names if name.endswith(".part")]
    modes = [json.loads(line)["mode"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert modes == ["train", "epoch", "train", "epoch", "val"]  # validated at the end: the interval is 3
    record = json.loads((run / "log.jsonl").read_text().splitlines()[0])
    assert {"epoch", "iter", "lr", "loss", "top1_acc", "top5_acc", "time", "data_time", "memory"} <= set(record)
    assert (run / "results.csv").read_text().startswith("epoch,lr,loss,top1_acc,top5_acc")


def test_eval_needs_nothing_but_the_checkpoint(run, stgcn, tmp_path):
    said = stgcn("eval", run / "best.pth", "--out", "result.pkl", "--device", "cpu")
    assert said.code == 0, said.err
    assert "top1_acc" in said.out and "top5_acc" not in said.out  # of three classes all are in the top five
    scores = pickle.loads((tmp_path / "result.pkl").read_bytes())
    assert isinstance(scores, list) and len(scores) == 6 and scores[0].shape == (3,) and scores[0].dtype == np.float32
    assert (tmp_path / "result.per_class.csv").exists() and (tmp_path / "result.confusion.png").exists()


def test_every_result_format_holds_the_same_scores(run, stgcn, tmp_path):
    stgcn("eval", run / "best.pth", "--out", "r.pkl")
    logits = np.stack(pickle.loads((tmp_path / "r.pkl").read_bytes()))
    for name in ("r.json", "r.csv", "r.npz"):
        assert stgcn("eval", run / "best.pth", "--out", name).code == 0
    clips = json.loads((tmp_path / "r.json").read_text())["clips"]
    np.testing.assert_allclose([clip["scores"] for clip in clips], logits, atol=1e-5)
    with np.load(tmp_path / "r.npz") as arrays:
        np.testing.assert_allclose(arrays["scores"], logits, rtol=1e-6)
        assert arrays["names"].tolist() == [clip["name"] for clip in clips]
    assert (tmp_path / "r.csv").read_text().splitlines()[1].startswith(clips[0]["name"] + ",")


def test_the_references_spelling_is_understood(run, stgcn):
    said = stgcn("eval", "--eval", "top_k_accuracy", "mean_class_accuracy", run / "best.pth", "--json",
                 "--cfg-options", "data.clip_len=8", "data.num_person=1", "--fuse-conv-bn", "--average-clips", "prob")  # fmt: skip
    assert said.code == 0, said.err
    assert {"top1_acc", "top5_acc", "mean_class_accuracy"} <= set(json.loads(said.out))
    assert said.err.count("--fuse-conv-bn") == said.err.count("--average-clips") == 1


def test_batch_size_and_dialect_change_no_score(run, stgcn, tmp_path):
    stgcn("eval", run / "best.pth", "--out", "a.pkl")
    whole = pickle.loads((tmp_path / "data" / "ntu60.pkl").read_bytes())
    val = [r for r in whole["annotations"] if r["frame_dir"] in whole["split"]["xsub_val"]]
    (tmp_path / "mine.pkl").write_bytes(pickle.dumps(val))
    assert stgcn("eval", run / "best.pth", "--out", "b.pkl", "--data", "mine.pkl", "--batch-size", "1").code == 0
    a, b = (np.stack(pickle.loads((tmp_path / name).read_bytes())) for name in ("a.pkl", "b.pkl"))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_runs_are_counted_and_never_overwritten(run, stgcn, tmp_path):
    before = (run / "log.jsonl").read_bytes()
    assert stgcn(*TRAIN, "--no-validate").code == 0
    assert (tmp_path / "runs" / "ntu60-xsub-3d-2" / "last.pth").exists()
    said = stgcn(*TRAIN, "--work-dir", run)
    assert said.code == 2 and "already contains a run" in said.err and "--resume" in said.err
    assert (run / "log.jsonl").read_bytes() == before


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


def test_a_resumed_run_equals_one_never_broken(run, stgcn, tmp_path):
    """One epoch, then --resume to two: the same tensors to the bit, the same log in all but time."""
    folder = tmp_path / "broken"
    assert stgcn(*TRAIN, "--epochs", "1", "--work-dir", folder).code == 0
    assert stgcn(*TRAIN, "--work-dir", folder, "--resume").code == 0
    one, two = weights(run / "last.pth"), weights(folder / "last.pth")
    assert all(torch.equal(one[key], two[key]) for key in one)
    losses = [[r["loss"] for r in logged(each) if r["mode"] in ("train", "epoch")] for each in (run, folder)]
    assert losses[0] == losses[1]
    assert [r["epoch"] for r in logged(folder) if r["mode"] == "resumed"] == [1]


def test_resuming_a_finished_run_says_so(run, stgcn):
    said = stgcn(*TRAIN, "--resume")
    assert said.code == 0 and "nothing to do" in said.err
    said = stgcn(*TRAIN, "--resume", "--set", "optim.lr=0.02")
    assert said.code == 2 and "optim.lr = 0.02 (was 0.01)" in said.err


def test_a_scheduler_starts_a_run_and_resumes_it_with_one_command(stgcn, small_data, tmp_path):
    words = (*TRAIN, "--resume-or-start", "--work-dir", "new")
    assert stgcn(*words, "--epochs", "1").code == 0
    said = stgcn(*words, "--epochs", "2")
    assert said.code == 0, said.err
    assert [record["mode"] for record in logged(tmp_path / "new")].count("resumed") == 1


def test_going_on_from_a_checkpoint_and_starting_from_its_weights(run, stgcn, tmp_path):
    assert stgcn(*TRAIN, "--epochs", "3", "--resume-from", run / "last.pth", "--work-dir", "on").code == 0
    assert {record["epoch"] for record in logged(tmp_path / "on") if record["mode"] != "resumed"} == {3}
    assert stgcn(*TRAIN, "--epochs", "1", "--load-from", run / "last.pth", "--work-dir", "anew").code == 0
    said = stgcn(*TRAIN, "--resume", "--load-from", run / "last.pth")
    assert said.code == 2 and "exclude each other" in said.err


def test_two_processes_train_and_evaluate(stgcn, small_data, tmp_path):
    said = stgcn(*TRAIN, "--gpus", "2", "--epochs", "1", "--work-dir", "two", "--launcher", "pytorch")
    assert said.code == 0, said.err
    assert "Global batch 4 = 2 processes x 2 clips" in said.err and "--launcher is not needed" in said.err
    assert stgcn("eval", "two/last.pth", "--out", "one.pkl").code == 0
    assert stgcn("eval", "two/last.pth", "--out", "two.pkl", "--gpus", "2", "--device", "cpu").code == 0
    one, two = (np.stack(pickle.loads((tmp_path / f"{name}.pkl").read_bytes())) for name in ("one", "two"))
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_an_existing_process_group_is_joined(stgcn, small_data, tmp_path):
    """What torchrun does: one process, told its place by the environment."""
    world = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29631"}
    said = stgcn(*TRAIN, "--epochs", "1", "--work-dir", "joined", env=world)
    assert said.code == 0, said.err
    assert (tmp_path / "joined" / "last.pth").exists()


@pytest.mark.parametrize("gpus", [1, 2])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_clips(stgcn, small_data, tmp_path, gpus):
    said = stgcn(*TRAIN, "--set", "optim.lr=1e30", "--set", "train.log_every=1", "--gpus", gpus, "--work-dir", "x")
    assert said.code == 6
    assert re.search(r"not a finite number at epoch 1, iteration \d\. Clips of that step: clip0\d\d", said.err), (
        said.err
    )


def test_a_loss_that_stays_at_chance_is_warned_about(stgcn, small_data):
    words = ("--set", "optim.lr=0", "--set", "train.log_every=1", "--no-validate", "--epochs", "1")
    said = stgcn(*TRAIN, *words, before=lambda: setattr(monitor, "_STUCK_STEPS", 3))
    assert said.code == 0
    assert said.err.count("that of guessing among 3 classes") >= 1, said.err


def test_how_the_batch_is_split_is_shown_beside_the_published_run(stgcn):
    said = stgcn("train", "--preset", "babel60", "--gpus", "8", "--device", "cpu")
    assert "128 = 8 processes x 16 clips; the learning rate stays 0.1" in said.err and "(published: 16)" in said.err
    assert "BatchNorm sees 128 clips at a time (published: 16)" in stgcn("train", "--preset", "babel60").err
    assert "BatchNorm" not in stgcn("train", "--preset", "ntu60-xsub-3d").err  # 32 on one GPU, as published


def test_a_run_folder_is_no_checkpoint_but_holds_one(run, stgcn):
    said = stgcn("eval", run)
    assert said.code == 4 and f"{run} is a folder" in said.err and f"Give one in it: {run}/best.pth" in said.err
    assert "Give one in it: best.pth of a run" in stgcn("eval", run.parent).err


def test_a_checkpoint_of_another_size_is_reported_with_its_cause(run, stgcn):
    said = stgcn("eval", run / "best.pth", "--set", "model.num_classes=7")
    assert said.code == 4 and "cls_head.fc.weight" in said.err and "trained for 3 classes" in said.err
    said = stgcn("eval", run / "best.pth", "--split", "xview_val")
    assert said.code == 3 and "It has xsub_train, xsub_val" in said.err and "--split NAME" in said.err


def test_hidden_labels_are_scored_but_not_measured(run, stgcn, tmp_path):
    records = make_records(4)
    for record in records[:3]:
        record["label"] = None
    (tmp_path / "test.pkl").write_bytes(pickle.dumps(records))
    said = stgcn("eval", run / "best.pth", "--data", "test.pkl", "--out", "r.npz")
    assert said.code == 0 and "3 clips have no label" in said.err, said.err
