"""Every option of the recipes together: a resumed run ends with the same bits, ranks agree, and streams are trained and fused."""

import json

import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.data.draws import Draws
from stgcn_cli.data.loader import Clips
from stgcn_cli.data.splits import find_split, open_stores
from stgcn_cli.runs import checkpoint
from stgcn_cli.runtime.distributed import LaunchConfig, World, launch
from stgcn_cli.training import options, start, step
from tests.conftest import SMALL

SETTINGS = (
    "data.sampling=uniform", "eval.clips=2", "data.normalize=none", "data.pre_normalize=none", "data.passes=2",
    'data.augment=["mirror","rotate","scale","noise","drop-joints"]', "optim.schedule=cosine", "optim.steps=[]",
    "optim.warmup_epochs=0.5", "optim.clip_norm=1", "loss.label_smoothing=0.1", "optim.ema_decay=0.9", "model.name=stgcnpp",
    "model.partition=pyskl", "train.checkpoint_every=1",
)  # fmt: skip
OPTIONS = tuple(word for each in SETTINGS for word in ("--set", each))


@pytest.mark.slow
@pytest.mark.parametrize(("network", "stream"), [("stgcnpp", "joint"), ("stgcn", "bone-motion"), ("agcn", "bone")])
def test_a_resumed_run_ends_with_the_same_bits(stgcn, small_data, tmp_path, network, stream):
    partition = {"stgcnpp": "pyskl", "stgcn": "spatial", "agcn": "agcn"}[network]
    words = ("train", "-p", "ntu60-xsub-3d", "--data", "data", *SMALL, *OPTIONS, "--stream", stream, "--no-report",
             "--set", f"model.name={network}", "--set", f"model.partition={partition}")  # fmt: skip
    whole = stgcn(*words, "--work-dir", "whole")
    assert whole.code == 0, whole.err
    again = stgcn(*words, "--work-dir", "again", "--resume-from", "whole/epoch_1.pth")
    assert again.code == 0, again.err
    ended = [checkpoint.read(tmp_path / folder / "epoch_2.pth").state for folder in ("whole", "again")]
    assert all(torch.equal(ended[0][name], ended[1][name]) for name in ended[0])


def updated(job: tuple, world: World) -> dict[str, torch.Tensor]:
    """Worker: weights and their average after the first step of an epoch, BatchNorm in evaluation mode, in float64."""
    path, stream = job
    preset = presets.load("ntu60-xsub-3d", [*SMALL[1::2][:5], *SETTINGS, f"data.stream={stream}"])
    run = options.RunOptions(preset=preset, precision="float64")
    state = start.start(options.Job(run, (path,), path.parent / "none"), world)
    learner = options.learner_of(run, world, state)
    clips = Clips.of(find_split(open_stores([path]), "xsub_train"), preset, world.device, torch.float64)
    items = step.batches_of_epoch(run, len(clips), 0, world.rank, world.size)[0]
    learner.net.eval()
    step.step(learner, step.Batch(*clips.batch(items, Draws.of(0, 0, items))))
    state.average.update(state.model, 0)
    named = {**state.model.state_dict(), **{f"average.{k}": v for k, v in state.average.model.state_dict().items()}}
    return {name: value.clone() for name, value in named.items()}


@pytest.mark.slow
def test_two_workers_have_the_weights_of_one(small_data):
    job = small_data / "ntu60.pkl", "bone-motion"
    alone, together = (launch(updated, job, LaunchConfig("cpu", gpus=gpus)) for gpus in (1, 2))
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-9, atol=1e-12)


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
