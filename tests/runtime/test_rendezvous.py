"""Worlds that others start: torchrun itself, and processes with the environment that srun gives them."""

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stgcn_cli.runtime import rendezvous
from stgcn_cli.runtime.distributed import LaunchConfig
from tests.cli.runner import Result, environment, preload, run_stgcn
from tests.conftest import SMALL

TRAIN = ("train", "--preset", "ntu60-xsub-3d", *SMALL, "--epochs", "1")
EVAL = ("eval", "run/last.pth", "--device", "cpu", "--out", "scores.pkl")


def free_port() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return str(held.getsockname()[1])


def start(folder, *words, **env) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", *words], cwd=folder, env=environment(folder) | env,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip


def ended(process: subprocess.Popen, timeout: float = 120) -> Result:
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Result(process.returncode, out, err)


def torchrun(folder, *words) -> list[Result]:
    launcher = ("torch.distributed.run", "--nproc-per-node", "2", "--master-port", free_port(), "-m", "stgcn_cli")
    return [ended(start(folder, *launcher, *words))]


def place(rank: int, port: str) -> dict[str, str]:
    """The environment of one of two tasks of a SLURM step."""
    numbers = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2"}
    return numbers | {"SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_ID": "7", "MASTER_PORT": port}


def srun(folder, *words, each=((), ())) -> list[Result]:
    port = free_port()
    preload("train")  # here, since a fork of one thread while another one imports could wait for ever
    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(run_stgcn, folder, *words, *each[rank], env=place(rank, port)) for rank in (0, 1)]
    return [task.result() for task in tasks]


@pytest.mark.parametrize("launcher", [pytest.param(torchrun, marks=pytest.mark.slow), srun])
def test_its_processes_train_and_evaluate_together_and_one_speaks(small_data, tmp_path, launcher):
    said = launcher(tmp_path, *TRAIN, "--work-dir", "run")
    assert [each.code for each in said] == [0] * len(said), "\n".join(each.err for each in said)
    assert "".join(each.err for each in said).count("Global batch 4 = 2 ") == 1
    assert "".join(each.out for each in said).count("Trained ntu60-xsub-3d") == 1
    assert (tmp_path / "run" / "last.pth").exists()
    said = launcher(tmp_path, *EVAL)
    assert "".join(each.out for each in said).count("top1_acc") == 1, said
    assert (tmp_path / "scores.pkl").exists()


@pytest.mark.parametrize("launcher", [torchrun, srun])
def test_what_the_first_cannot_do_ends_all_of_them_at_once(small_data, tmp_path, launcher):
    """Only the first process looks whether the folder is taken; the others must not wait for it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").write_text("")
    began = time.monotonic()
    said = launcher(tmp_path, *TRAIN, "--work-dir", "run")
    assert time.monotonic() - began < 60
    assert "".join(each.err for each in said).count("already contains a run") == 1, said
    if launcher is srun:
        assert [each.code for each in said] == [2, 2]


@pytest.mark.parametrize("failing", [0, 1])
def test_the_one_that_lacks_its_data_is_heard(small_data, tmp_path, failing):
    data = [("--data", "data"), ("--data", "data")]
    data[failing] = ("--data", "nowhere")
    said = srun(tmp_path, *TRAIN, "--work-dir", "run", each=data)
    assert [each.code for each in said] == [3, 3], said
    assert ["nowhere not found" in each.err for each in said] == [failing == 0, failing == 1]
    assert not said[1 - failing].err.count("Error")


def wait_until_idle(process: subprocess.Popen) -> None:
    """Until two seconds pass in which it computes nothing, after its imports began; a fast machine needs 0.9 s for them."""
    used, began = 0.0, time.monotonic()
    since = began
    while used < 0.3 or time.monotonic() - since < 2:
        assert time.monotonic() - began < 120
        time.sleep(0.1)
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        now = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        if now > used + 0.05 or fields[0] in "RD":
            used, since = now, time.monotonic()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the time it used in /proc")
def test_one_that_waits_for_the_others_can_be_ended(small_data, tmp_path):
    process = start(tmp_path, "stgcn_cli", *TRAIN, "--work-dir", "run", **place(1, free_port()))
    wait_until_idle(process)  # it has come to where it waits; sooner, it ends by the usual way
    process.terminate()
    assert ended(process, timeout=20).code in (-15, 143)
    assert not os.path.exists(tmp_path / "run" / "last.pth")


HELD = """
import os
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from stgcn_cli.runtime.distributed import LaunchConfig, launch

def worker(argument, world):
    DistributedDataParallel(nn.Linear(2, 2))

launch(worker, None, LaunchConfig("cpu"))
print([open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the names of threads")
def test_no_thread_of_the_group_outlives_the_work(tmp_path):
    """One that does is torn down with the interpreter, and aborts it now and then when all was done."""
    world = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    said = ended(subprocess.Popen([sys.executable, "-c", HELD], env=environment(tmp_path) | world,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))  # fmt: skip
    assert said.code == 0, said.err
    assert "python" in said.out and "gloo" not in said.out


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
