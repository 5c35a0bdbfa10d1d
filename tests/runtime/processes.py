"""Processes of a run, as the system lists them."""

import subprocess
import time


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


def workers_of(pid: int) -> list[str]:
    """The workers that this launcher has started."""
    with open(f"/proc/{pid}/task/{pid}/children") as stream:
        found = stream.read().split()
    return [each for each in found if b"spawn_main" in open(f"/proc/{each}/cmdline", "rb").read()]
