"""Signals to runs of one and of several processes: clean ends, whatever waits for what. Real processes on gloo."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from stgcn_cli.runtime.distributed import World
from stgcn_cli.runtime.stop import StopRequest
from tests.cli.runner import ROOT, environment
from tests.conftest import SMALL
from tests.runtime.processes import wait_for, workers_of


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
from tests.runtime.test_signals import stuck
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
