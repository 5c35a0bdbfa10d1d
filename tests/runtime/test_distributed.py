"""Many processes: the same gradients, each clip once, clean ends. Real processes on gloo."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.data.loader import Clips
from stgcn_cli.data.splits import find_split, open_stores
from stgcn_cli.errors import DataError, RunError
from stgcn_cli.models import build_model
from stgcn_cli.runtime.distributed import LaunchConfig, World, launch
from stgcn_cli.training import options, start, step, train
from stgcn_cli.training.optim import cross_entropy
from tests.cli.runner import environment, fork_ranks
from tests.conftest import SMALL
from tests.factories import weights
from tests.runtime.processes import children, wait_for

forked_ranks = pytest.fixture(lambda monkeypatch: fork_ranks(monkeypatch.setattr))
SETTINGS = ["data.clip_len=8", "data.num_person=1", "model.num_classes=3", "train.batch_size=4"]


def gradients(job: tuple, world: World) -> dict[str, torch.Tensor]:
    """Worker: the gradients of the first step of an epoch, BatchNorm in evaluation mode, in float64."""
    pickle_path, name = job
    preset = presets.load(name, SETTINGS)
    split = find_split(open_stores([pickle_path]), "xsub_train")
    clips = Clips.of(split, preset, world.device, torch.float64)
    model = build_model(preset)
    weights.fill(model, "B")
    net = options.parallel(model.double().eval(), world)
    x, labels = clips.batch(
        step.batches_of_epoch(options.RunOptions(preset=preset), len(clips), 0, world.rank, world.size)[0]
    )
    cross_entropy(net(x), labels).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.usefixtures("forked_ranks")
@pytest.mark.parametrize("preset", ["ntu60-xsub-3d", pytest.param("ntu60-xsub-3d-agcn-bone", marks=pytest.mark.slow)])
def test_two_workers_have_the_gradients_of_one_with_the_same_global_batch(small_data, preset):
    job = small_data / "ntu60.pkl", preset
    alone = launch(gradients, job, LaunchConfig("cpu"))
    together = launch(gradients, job, LaunchConfig("cpu", gpus=2))
    for name, gradient in alone.items():
        torch.testing.assert_close(together[name], gradient, rtol=1e-9, atol=1e-12)


def validated(pickle_path, world: World) -> list[dict]:
    """Worker: a validation in a world whose other ranks have other BatchNorm statistics, as after training."""
    preset = presets.load("ntu60-xsub-3d", SETTINGS)
    split = find_split(open_stores([pickle_path]), "xsub_val")
    job = options.Job(options.RunOptions(preset=preset), (pickle_path,), pickle_path.parent)
    state = start.start(job, world)
    for name, buffer in state.model.named_buffers():
        if name.endswith("running_mean") and world.rank > 0:
            buffer += torch.arange(len(buffer))
    data = options.Dataset(split, Clips.of(split, preset, world.device))
    learner = options.learner_of(job.options, world, state)
    train.validate(options.TrainContext(job=job, learner=learner, data=data, log=train.NullLog()), data, 1)
    mine = {name: buffer.double().sum().item() for name, buffer in state.model.named_buffers()}
    everyones = [None] * world.size
    if world.size > 1:
        torch.distributed.all_gather_object(everyones, mine)
    return everyones


@pytest.mark.usefixtures("forked_ranks")
def test_every_rank_validates_with_the_statistics_that_are_saved(small_data):
    first, second = launch(validated, small_data / "ntu60.pkl", LaunchConfig("cpu", gpus=2))
    assert first == second


def fail(how, world: World) -> None:
    """Worker: rank 1 fails in some way while rank 0 waits for it."""
    if world.rank == 1:
        if how == "error":
            raise DataError("rank 1 found a bad record", "Mend it.")
        if how == "exception":
            raise ValueError("something odd")
        os.kill(os.getpid(), signal.SIGKILL)
    torch.distributed.barrier()


@pytest.mark.usefixtures("forked_ranks")
@pytest.mark.parametrize(
    ("how", "kind", "told"),
    [
        ("error", DataError, "rank 1 found a bad record"),
        ("exception", RunError, "Worker 1 failed: ValueError: something odd"),
        ("kill", RunError, r"Worker 1 died: it was killed by signal 9 \(SIGKILL\)"),
    ],
)
def test_all_end_with_the_first_failures_message(how, kind, told):
    with pytest.raises(kind, match=told) as failed:
        launch(fail, how, LaunchConfig("cpu", gpus=2))
    assert failed.value.hint


@pytest.mark.usefixtures("forked_ranks")
def test_when_restarts_are_used_up_the_first_cause_is_reported():
    with pytest.raises(DataError, match="rank 1 found a bad record"):
        launch(fail, "error", LaunchConfig("cpu", gpus=2, max_restarts=1))


@pytest.mark.slow
def test_a_dead_worker_is_replaced_and_the_run_ends_as_undisturbed(stgcn, small_data, tmp_path):
    words = ("train", "--preset", "ntu60-xsub-3d", *SMALL, "--gpus", "2", "--no-validate", "--epochs", "5")
    assert stgcn(*words, "--work-dir", "calm").code == 0
    command = [sys.executable, "-m", "stgcn_cli", *words, "--work-dir", "shot", "--max-restarts", "1"]
    running = subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "shot" / "last.pth", running)
    workers = children(running.pid)
    os.kill(workers[-1], signal.SIGKILL)
    _, err = running.communicate(timeout=240)
    assert running.returncode == 0, err
    assert "A worker died; all workers were restarted (restart 1)" in err
    log = [json.loads(line) for line in (tmp_path / "shot" / "log.jsonl").read_text().splitlines()]
    assert [record["restarts"] for record in log if record["mode"] == "resumed"] == [1]
    calm, shot = (
        torch.load(tmp_path / name / "last.pth", weights_only=True)["state_dict"] for name in ("calm", "shot")
    )
    assert all(torch.equal(calm[key], shot[key]) for key in calm)


@pytest.mark.slow
@pytest.mark.parametrize("order", [("0", "1"), ("1", "0")], ids=["first first", "first last"])
def test_two_machines_train_together(small_data, tmp_path, order):
    """Two launchers on this machine, as two machines would run them: rank 0, which writes and sums up, is on machine 0."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    words = ["train", "--preset", "ntu60-xsub-3d", *SMALL, "--epochs", "1", "--nnodes", "2", "--rdzv-endpoint",
             f"localhost:{port}", "--work-dir", "x"]  # fmt: skip
    running = {
        rank: subprocess.Popen([sys.executable, "-m", "stgcn_cli", *words, "--node-rank", rank], cwd=tmp_path,
                               env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for rank in order
    }  # fmt: skip
    said = {rank: process.communicate(timeout=240) for rank, process in running.items()}
    assert all(process.returncode == 0 for process in running.values()), said
    assert "Trained ntu60-xsub-3d" in said["0"][0] and not said["1"][0]
    assert all((tmp_path / "x" / name).exists() for name in ("last.pth", "learning_curve.png", "report.html"))
