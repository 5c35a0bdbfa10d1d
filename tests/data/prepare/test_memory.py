"""What `prepare` holds, however large the raw texts are: less than 500 MB, not even its output."""

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tests.cli.runner import environment
from tests.factories.skeletons import text

ALLOWED = 500e6  # bytes; "the output and 500 MB" is the promise
CLIPS = 1_200


def write_large_zip(path: Path) -> int:
    """A gigabyte of skeleton texts, packed; returns how many bytes the texts have."""
    clip = text([1] * 320)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for i in range(CLIPS):
            name = f"S{i // 480 % 17 + 1:03d}C001P{i // 60 % 8 + 1:03d}R001A{i % 60 + 1:03d}"
            archive.writestr(f"nturgb+d_skeletons/{name}.skeleton", clip)
    return CLIPS * len(clip)


def processes_of(leader: int) -> list[Path]:
    """The folders in /proc of a process and all below it: they share its session."""
    return [each.parent for each in Path("/proc").glob("[0-9]*/stat") if session_of(each) == leader]


def session_of(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[3])
    except OSError:  # it has just ended
        return 0


def memory_of(process: Path) -> int:
    """Bytes it holds; pages that processes share are divided among them."""
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def peak_of(command: list[str], folder: Path) -> int:
    """The most that the command and its workers held together, looked at twenty times a second."""
    running = subprocess.Popen(command, cwd=folder, env=environment(folder), start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
    peak = 0
    while running.poll() is None:
        peak = max(peak, sum(map(memory_of, processes_of(running.pid))))
        time.sleep(0.05)
    assert running.returncode == 0, running.communicate()[1]
    return peak


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="only Linux tells what a process holds")
@pytest.mark.parametrize(("workers", "form"), [(1, "list"), (2, "one file")])
def test_it_holds_less_than_500_mb(tmp_path, workers, form):
    raw = write_large_zip(tmp_path / "raw.zip")
    words = ["--out", "lists", "--format", form] if form == "list" else ["--out", "lists/ntu60.pkl"]
    command = [sys.executable, "-m", "stgcn_cli", "prepare", "ntu60", "--source", "raw.zip", "--workers", str(workers)]
    peak = peak_of([*command, *words], tmp_path)
    print(f"\n{workers} workers, {form}: {raw >> 20} MiB of text, peak {peak >> 20} MiB")
    assert raw > 2 * ALLOWED  # so that one who holds the texts is found out
    assert peak < ALLOWED
