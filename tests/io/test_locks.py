"""Several processes that want one file, and processes that die with a file half fetched."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stgcn_cli.io import locks
from stgcn_cli.io.download import Wanted, fetch
from stgcn_cli.io.reporter import SILENT
from tests.cli.runner import ROOT, environment
from tests.factories.http_server import Served
from tests.factories.served import CONTENT, PREFIX, QUICK, left, wanted


def _fetch_in_process(url, target, prefix, start):
    start.wait()
    fetch(Wanted(url, target, 10_000_000, prefix), SILENT, QUICK)


def test_three_processes_fetch_the_same_file_once(mirror, target):
    mirror.files["/file.pth"] = Served(CONTENT, pause_s=0.3)
    context = multiprocessing.get_context("fork")
    start = context.Event()
    words = (f"{mirror.base}/file.pth", target, PREFIX, start)
    processes = [context.Process(target=_fetch_in_process, args=words) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(mirror.asked) == 1 and left(target) == {"file.pth"} and target.read_bytes() == CONTENT


def test_a_lock_left_by_a_dead_process_is_no_obstacle(mirror, target):
    target.parent.mkdir()
    Path(f"{target}.lock").write_text("process 1 on elsewhere\n")
    mirror.files["/file.pth"] = Served(CONTENT)
    fetch(wanted(mirror, target), SILENT, QUICK)
    assert left(target) == {"file.pth"}


def test_a_held_lock_names_its_holder(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_S", 0.1)
    path = tmp_path / "x.lock"
    code = (
        "import sys; from pathlib import Path; from stgcn_cli.io.locks import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(tmp_path)) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(locks.Held, match=f"process {other.pid} on "), locks.locked(path, wait=False):
            pass
        waited = []

        def on_wait(holder: str) -> None:
            waited.append(holder)
            other.stdin.close()

        with locks.locked(path, on_wait=on_wait):
            assert str(os.getpid()) in path.read_text() and str(other.pid) in waited[0]
    assert not path.exists()


def test_a_killed_download_is_gone_on_with(mirror, target):
    """SIGKILL in the middle: the part stays, nothing has the final name, the next call asks for the rest."""
    mirror.files["/file.pth"] = Served(CONTENT, length=len(CONTENT), drops=[400_000])
    code = (
        "import sys, os; from pathlib import Path; from stgcn_cli.io import download;"
        "download.time.sleep = lambda s: os.kill(os.getpid(), 9);"  # at the first pause
        "from stgcn_cli.io.reporter import SILENT;"
        "download.fetch(download.Wanted(sys.argv[1], Path(sys.argv[2]), 10**7, sys.argv[3]), SILENT)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"{mirror.base}/file.pth", target, PREFIX],
        env=environment(target.parent) | {"no_proxy": "127.0.0.1", "PYTHONPATH": str(ROOT)}, timeout=60,
    )  # fmt: skip
    assert done.returncode == -9 and not target.exists()
    fetch(wanted(mirror, target), SILENT, QUICK)
    assert target.read_bytes() == CONTENT and mirror.ranges_asked() == [None, "bytes=400000-"]
