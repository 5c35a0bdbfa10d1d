"""Kill training at random moments until it is done, and compare with a run that was never disturbed.

    python -m tests.reliability.kills --kills 50 --seed 0

Every round trains with dropout, bf16 and repeated passes, in one process and in two, with checkpoints at every log point.
It is killed at a random moment after the start (SIGKILL of a worker, of rank 0's worker, of the launcher; SIGTERM; Ctrl-C)
and started again with --resume, until the wanted number of kills is reached.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.cli.runner import environment
from tests.conftest import write_small_data
from tests.factories.runs import assert_equal

WORDS = (
    "train", "--preset", "ntu60-xsub-3d", "--precision", "bf16", "--checkpoint-minutes", "0", "--quiet",
    "--set", "data.clip_len=8", "data.num_person=1", "data.passes=3", "model.num_classes=3", "model.dropout=0.3",
    "train.batch_size=4", "train.epochs=4", "optim.lr=0.01", "train.log_every=2", "train.validate_every=2",
    "train.checkpoint_every=2",
)  # fmt: skip
WAYS = ("worker", "rank 0", "launcher", "terminate", "interrupt")
_AT_THE_START = 0.25  # of the kills come before the first line of the log, perhaps
_LONGEST = 600.0  # seconds a start may take, or as many times what an undisturbed run took as the next line says
_TIMES = 20
CPU, CUDA = ("--device", "cpu"), ("--device", "cuda", "--deterministic")


def start(folder: Path, name: str, gpus: int, device: tuple[str, ...] = CPU) -> subprocess.Popen:
    """`stgcn train --resume` into folder/name."""
    words = [*WORDS, *device, "--gpus", str(gpus), "--work-dir", name, "--resume-or-start"]
    return subprocess.Popen(
        [sys.executable, "-m", "stgcn_cli", *words], cwd=folder, env=environment(folder), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def workers(pid: int) -> list[int]:
    """The training processes that `pid` started, in the order of their ranks; itself when it trains alone."""
    told = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(pid)]
    listed = subprocess.run(told, capture_output=True, text=True, check=False).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "spawn_main" in line] or [pid]


def strike(running: subprocess.Popen, way: str) -> None:
    """Send the signal of this way; a process that has just ended needs none."""
    victims = {"worker": workers(running.pid)[-1], "rank 0": workers(running.pid)[0]}
    sent = {"terminate": signal.SIGTERM, "interrupt": signal.SIGINT}.get(way, signal.SIGKILL)
    try:
        if way == "interrupt":
            os.killpg(running.pid, sent)  # a terminal sends Ctrl-C to the whole group
        else:
            os.kill(victims.get(way, running.pid), sent)
    except ProcessLookupError:
        pass


def finish(running: subprocess.Popen, seconds: float = 0) -> tuple[int, str]:
    """Exit code and what was said on stderr; a worker that outlives its launcher is waited for.

    `seconds`: of an undisturbed run. What is still alive after the limit is listed in the error.
    """
    limit = max(_LONGEST, _TIMES * seconds)
    try:
        _, err = running.communicate(timeout=limit)
    except subprocess.TimeoutExpired as error:
        listed = ["ps", "-ww", "-o", "pid=,ppid=,stat=,etime=,time=,wchan=,args=", "-g", str(running.pid)]
        alive = subprocess.run(listed, capture_output=True, text=True, check=False).stdout
        raise AssertionError(f"not done after {limit:.0f} s; alive:\n{alive}") from error
    deadline = time.monotonic() + 30
    while (
        time.monotonic() < deadline
        and subprocess.run(["pgrep", "-g", str(running.pid)], capture_output=True, check=False).stdout
    ):
        time.sleep(0.05)
    assert "Traceback" not in err, err
    return running.returncode, err


def lines(folder: Path) -> int:
    """Lines of the run's log so far."""
    path = folder / "log.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait(running: subprocess.Popen, seconds: float, until: Callable[[], bool]) -> None:
    """Until the condition holds, the process ends, or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and running.poll() is None and not until():
        time.sleep(0.01)


def shaken(
    folder: Path, name: str, gpus: int, seconds: float, kills: int, chance: random.Random, device: tuple[str, ...] = CPU
) -> dict[str, int]:
    """Kill the run in folder/name up to `kills` times: while it starts, or after some more lines of its log.

    The last try may finish. Returns how often each way struck a run that was still going.
    """
    struck = dict.fromkeys(WAYS, 0)
    for _ in range(kills):
        running, way = start(folder, name, gpus, device), chance.choice(WAYS)
        if chance.random() < _AT_THE_START:
            wait(running, chance.uniform(0, seconds / 3), lambda: False)
        else:
            wanted = lines(folder / name) + chance.randint(2, 6)
            wait(running, _LONGEST, lambda: lines(folder / name) >= wanted)  # noqa: B023 (called in this round)
            wait(running, chance.uniform(0, 0.3), lambda: False)
        if running.poll() is None:
            strike(running, way)
        code, err = finish(running, seconds)
        if code == 0:
            break  # it was done before
        struck[way] += 1
        early = (-signal.SIGTERM, -signal.SIGINT)  # while it is imported: a shell calls these 143 and 130, too
        assert code in (6, 130, 143, -signal.SIGKILL, *early), (way, code, err)
    code, err = finish(start(folder, name, gpus, device), seconds)
    assert code == 0, err
    return struck


def calm(folder: Path, gpus: int, device: tuple[str, ...] = CPU) -> float:
    """An undisturbed run in folder/calm-N; the seconds it took."""
    began = time.monotonic()
    code, err = finish(start(folder, f"calm-{gpus}", gpus, device))
    assert code == 0, err
    return time.monotonic() - began


def main() -> None:
    """Kill as often as asked; prints one line a run and exits with 1 at the first difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chance, total = random.Random(asked.seed), dict.fromkeys(WAYS, 0)
    folder = Path(tempfile.mkdtemp())
    write_small_data(folder / "data")
    seconds = {gpus: calm(folder, gpus) for gpus in (1, 2)}
    print(f"undisturbed: {seconds[1]:.1f} s in one process, {seconds[2]:.1f} s in two", flush=True)
    run = 0
    while sum(total.values()) < asked.kills:
        gpus, name = 1 + run % 2, f"run-{run}"
        struck = shaken(folder, name, gpus, seconds[gpus], min(8, asked.kills - sum(total.values())), chance)
        assert_equal(folder / f"calm-{gpus}", folder / name, by_signals=True)
        shutil.rmtree(folder / name)
        total = {way: total[way] + struck[way] for way in WAYS}
        print(
            f"run {run}, {gpus} process(es): {sum(struck.values())} kills, equal to the bit; so far {total}", flush=True
        )
        run += 1
    shutil.rmtree(folder)
    print(f"{sum(total.values())} kills in {run} runs: all ended with equal tensors and logs")


if __name__ == "__main__":
    main()
