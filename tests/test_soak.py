"""Two thousand steps: neither memory nor open files grow."""

import json
import os
import subprocess
import sys
import time

import pytest

from tests.conftest import SMALL, environment

STEPS = 2000
WORDS = ("train", "--preset", "ntu60-xsub-3d", *SMALL, "--quiet", "--work-dir", "soak", "--checkpoint-minutes", "0",
         "--set", "data.passes=167", "train.epochs=4", "train.log_every=50")  # fmt: skip


def files_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory_of(pid: int) -> int:
    """Resident memory in MiB."""
    with open(f"/proc/{pid}/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_memory_and_open_files_do_not_grow(small_data, tmp_path):
    command = [sys.executable, "-m", "stgcn_cli", *WORDS]
    running = subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True)
    seen = []  # (steps, MiB, files)
    log = tmp_path / "soak" / "log.jsonl"
    while running.poll() is None:
        time.sleep(0.5)
        if log.exists():
            steps = sum('"mode": "train"' in line for line in log.read_text().splitlines()) * 50
            try:
                seen.append((steps, memory_of(running.pid), files_of(running.pid)))
            except OSError:
                break
    assert running.wait() == 0, running.stderr.read()
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert sum(record["iter"] for record in records if record["mode"] == "epoch") >= STEPS
    early = [entry for entry in seen if STEPS // 4 <= entry[0] <= STEPS // 2]
    late = [entry for entry in seen if entry[0] >= 3 * STEPS // 4]
    assert early and late, seen
    assert max(e[1] for e in late) <= max(e[1] for e in early) + 24, seen  # MiB; one step needs more than that
    assert max(e[2] for e in late) <= max(e[2] for e in early) + 2, seen
