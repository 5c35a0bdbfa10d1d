"""Many processes: the same gradients, each clip once, clean ends. Real processes on gloo."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.data.loader import Clips
from stgcn_cli.data.splits import find_split, open_stores
from stgcn_cli.errors import DataError, RunError
from stgcn_cli.models import build_model
from stgcn_cli.runtime import rendezvous
from stgcn_cli.runtime.distributed import LaunchConfig, World, launch
from stgcn_cli.runtime.stop import StopRequest
from stgcn_cli.training import options, start, step, train
from stgcn_cli.training.optim import cross_entropy
from tests.cli.runner import ROOT, environment, fork_ranks
from tests.conftest import SMALL
from tests.factories import weights

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


def children(pid: int) -> list[int]:
    """The processes that `pid` started, worker processes only."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True, check=True
    ).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "spawn_main" in line]


def wait_for(path, running) -> None:
    """Until `path` is there; fails when the process ends first."""
    for _ in range(1200):
        if path.exists():
            return
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


@pytest.mark.parametrize("gpus", [pytest.param(1, marks=pytest.mark.slow), 2])  # 1 by default: test_exit_codes.py
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (signal.SIGINT, 130),
        *(pytest.param(each, 143, marks=pytest.mark.slow) for each in (signal.SIGTERM, signal.SIGHUP)),
    ],
)
def test_signals_end_cleanly_and_the_last_checkpoint_stays(small_data, tmp_path, gpus, sent, code):
    words = ["train", "--preset", "ntu60-xsub-3d", *SMALL, "--epochs", "500", "--gpus", str(gpus), "--work-dir", "x"]
    running = subprocess.Popen(
        [sys.executable, "-m", "stgcn_cli", *words], cwd=tmp_path, env=environment(tmp_path),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_for(tmp_path / "x" / "last.pth", running)
    if sent != signal.SIGTERM:
        os.killpg(running.pid, sent)  # a terminal sends them to the whole group
    else:
        running.send_signal(sent)
    _, err = running.communicate(timeout=120)
    assert running.returncode == code, err
    assert not re.search("Traceback|torch", err) and "kept" in err, err
    assert re.search(r"Saved epoch \d+, step \d+\. Resume: stgcn train --resume x", err), err
    assert torch.load(tmp_path / "x" / "last.pth", weights_only=True)["meta"]["epoch"] >= 1
    assert not list((tmp_path / "x").glob("*.part"))


@pytest.mark.slow
@pytest.mark.parametrize("gpus", [1, 2])
def test_a_terminal_that_closes_does_not_stop_a_run_under_nohup(small_data, tmp_path, gpus):
    words = ["train", "--preset", "ntu60-xsub-3d", *SMALL, "--epochs", "30", "--gpus", str(gpus), "--work-dir", "x"]
    running = subprocess.Popen(
        ["nohup", sys.executable, "-m", "stgcn_cli", *words], cwd=tmp_path, env=environment(tmp_path),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_for(tmp_path / "x" / "last.pth", running)
    os.killpg(running.pid, signal.SIGHUP)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert torch.load(tmp_path / "x" / "last.pth", weights_only=True)["meta"]["epoch"] == 30


def stuck(folder, world: World) -> None:
    """Worker: rank 0 waits in a sum for rank 1, which never comes."""
    (folder / f"rank {world.rank}").touch()
    with StopRequest(True, note=world.is_first, watchdog=world.watchdog):
        world.watchdog.patience = 1.0
        if world.rank == 0:
            value = torch.ones(1, device=world.device)
            torch.distributed.all_reduce(value)
            value.item()  # on a GPU the wait is here
        time.sleep(3600)


STUCK = """
import sys
from pathlib import Path
from stgcn_cli.runtime.distributed import LaunchConfig, launch
from tests.cli.runner import fork_ranks
from tests.runtime.test_distributed import stuck
if __name__ == "__main__":
    fork_ranks() if sys.argv[2] == "cpu" else None
    try:
        launch(stuck, Path(sys.argv[1]), LaunchConfig(sys.argv[2], gpus=2))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_ctrl_c_ends_ranks_that_wait_for_each_other_in_vain(tmp_path, device="cpu"):
    (tmp_path / "stuck.py").write_text(STUCK)
    running = subprocess.Popen(
        [sys.executable, "stuck.py", str(tmp_path), device], cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    for rank in range(2):
        wait_for(tmp_path / f"rank {rank}", running)
    time.sleep(0.5)
    began = time.monotonic()
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130 and time.monotonic() - began < 20  # torch kills workers after 30 s
    assert "Stopped while waiting for another process." in err and "Traceback" not in err, err


@pytest.mark.parametrize(("patience", "code"), [("0.2", 143), ("float('inf')", 0)])
def test_a_watchdog_ends_a_process_after_its_patience(patience, code):
    program = f"""
import os, signal, time
from stgcn_cli.runtime.watchdog import watchdog
signal.signal(signal.SIGTERM, lambda *_: None)
with watchdog() as watched:
    watched.patience = {patience}
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)
"""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=False)
    assert done.returncode == code and (b"Stopped while" in done.stderr) is bool(code), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the workers in /proc")
@pytest.mark.parametrize(
    "after", [1.0, pytest.param(0.3, marks=pytest.mark.slow), pytest.param(2.5, marks=pytest.mark.slow)]
)
def test_ctrl_c_while_workers_start_is_reported_once(small_data, tmp_path, after):
    """They import for seconds, and a terminal sends Ctrl-C to them, too.

    In the milliseconds in which `multiprocessing` hands a worker its arguments the worker still prints a traceback.
    """
    words = ["train", "--preset", "ntu60-xsub-3d", *SMALL, "--epochs", "500", "--gpus", "2", "--work-dir", "x"]
    launcher = subprocess.Popen(
        [sys.executable, "-m", "stgcn_cli", *words], cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    while len(workers_of(launcher.pid)) < 2:
        assert launcher.poll() is None
        time.sleep(0.01)
    time.sleep(after)
    os.killpg(launcher.pid, signal.SIGINT)
    _, err = launcher.communicate(timeout=120)
    assert launcher.returncode == 130
    assert not re.search("Traceback|KeyboardInterrupt|torch", err) and err.count("Error: Interrupted.") == 1, err


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG")
def test_a_launcher_killed_while_its_workers_start_leaves_none(small_data, tmp_path):
    """They import for seconds before they can ask to be ended with it."""
    words = ["train", "--preset", "ntu60-xsub-3d", *SMALL, "--epochs", "500", "--gpus", "2", "--work-dir", "x"]
    launcher = subprocess.Popen(
        [sys.executable, "-m", "stgcn_cli", *words], cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    while not (started := workers_of(launcher.pid)):
        assert launcher.poll() is None
        time.sleep(0.01)
    launcher.kill()
    launcher.wait()
    end = time.monotonic() + 120
    while left := [pid for pid in started if os.path.exists(f"/proc/{pid}/cwd")]:
        assert time.monotonic() < end, left
        time.sleep(0.1)
    assert not (tmp_path / "x" / "last.pth").exists()


def workers_of(pid: int) -> list[str]:
    """The workers that this launcher has started."""
    with open(f"/proc/{pid}/task/{pid}/children") as stream:
        found = stream.read().split()
    return [each for each in found if b"spawn_main" in open(f"/proc/{each}/cmdline", "rb").read()]


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


def test_the_place_in_a_slurm_step_is_understood(monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ |= {"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_NODELIST": "gpu[01-08]", "SLURM_LOCALID": "1"}
    assert rendezvous.joined_world() is None  # a batch script is one process
    os.environ |= {"SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NODELIST": "gpu[07-08]"}  # a step on some of its machines
    assert rendezvous.joined_world() == 8 and not LaunchConfig("cpu").is_first
    rendezvous.adopt_slurm()
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR")
    assert [os.environ[name] for name in names] == ["3", "1", "8", "gpu07"]


@pytest.mark.parametrize(("nodes", "first"), [("gpu[03-05,9],x1", "gpu03"), ("a1,b2", "a1"), ("node7", "node7")])
def test_the_first_machine_of_a_slurm_list(nodes, first):
    assert rendezvous.first_host(nodes) == first
