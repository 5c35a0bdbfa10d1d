"""Every option of the recipes together: a resumed run ends with the same bits, and streams are trained and fused."""

import json

import pytest
import torch

from stgcn_cli.runs import checkpoint
from tests.conftest import SMALL

OPTIONS = ("--set", "data.sampling=uniform", "--set", "eval.clips=2", "--set", "data.normalize=none", "--set", "data.pre_normalize=none",
           "--set", 'data.augment=["mirror","rotate","scale","noise","drop-joints"]', "--set", "data.passes=2", "--set",
           "optim.schedule=cosine", "--set", "optim.steps=[]", "--set", "loss.label_smoothing=0.1", "--set", "optim.ema_decay=0.9",
           "--set", "model.name=stgcnpp", "--set", "model.partition=pyskl", "--set", "train.checkpoint_every=1")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["joint", "bone-motion"])
def test_a_resumed_run_ends_with_the_same_bits(stgcn, small_data, tmp_path, stream):
    words = ("train", "-p", "ntu60-xsub-3d", "--data", "data", *SMALL, *OPTIONS, "--stream", stream, "--no-report")
    whole = stgcn(*words, "--work-dir", "whole")
    assert whole.code == 0, whole.err
    again = stgcn(*words, "--work-dir", "again", "--resume-from", "whole/epoch_1.pth")
    assert again.code == 0, again.err
    ended = [checkpoint.read(tmp_path / folder / "epoch_2.pth").state for folder in ("whole", "again")]
    assert all(torch.equal(ended[0][name], ended[1][name]) for name in ended[0])


@pytest.mark.slow
def test_streams_are_trained_and_fused(stgcn, small_data, tmp_path):
    words = ("train", "-p", "ntu60-xsub-3d", "--data", "data", *SMALL, "--epochs", "1", "--no-report", "--json")
    ran = stgcn(*words, "--streams", "joint,bone", "--work-dir", "runs/both")
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert [row["streams"] for row in said["results"]] == ["joint", "bone", "joint + bone"]
    assert sorted(path.name for path in (tmp_path / "runs" / "both").iterdir()) == ["bone", "joint"]
    refused = stgcn(*words, "--streams", "joint,bones")
    assert refused.code == 2 and "bone" in refused.err
