"""Two thousand steps: neither memory nor open files grow."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time

import pytest

from tests.cli.runner import environment
from tests.conftest import SMALL

STEPS = 2000
AT_ONCE = (
    3  # files that saving has open for a moment: whether one is seen then is chance; a leak of one a save would be 20
)
WORDS = ("train", "--preset", "ntu60-xsub-3d", *SMALL, "--quiet", "--work-dir", "soak", "--checkpoint-minutes", "0",
         "--set", "data.passes=167", "train.epochs=4", "train.log_every=50")  # fmt: skip


def files_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_memory_and_open_files_do_not_grow(small_data, tmp_path):
    command = [sys.executable, "-m", "stgcn_cli", *WORDS]
    running = subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True)
    files, log = [], tmp_path / "soak" / "log.jsonl"
    while running.poll() is None:
        time.sleep(0.5)
        if log.exists():
            with contextlib.suppress(OSError):  # it has just ended
                files.append(files_of(running.pid))
    assert running.wait() == 0, running.stderr.read()
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert sum(record["iter"] for record in records if record["mode"] == "epoch") >= STEPS
    peaks = [max(r["memory"] for r in records if r["mode"] == "train" and r["epoch"] == epoch) for epoch in (2, 4)]
    assert peaks[1] <= peaks[0] + 8, peaks  # MiB over 1,000 steps; the first epoch's end still loads libraries
    half = len(files) // 2
    assert half > 10 and statistics.median(files[half:]) <= statistics.median(files[:half]), files
    assert max(files[half:]) <= max(files[:half]) + AT_ONCE, files
