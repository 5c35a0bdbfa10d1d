"""Memory that building a store takes."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from tests.cli.runner import ROOT, environment

# The peak that getrusage tells would be that of the process which started this one, if it held more.
_BUILD = """
import re, sys
from pathlib import Path
from stgcn_cli.data.store_build import build
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10
before = peak()
build(Path(sys.argv[1]), Path(sys.argv[2]), "key", lambda n: None)
print(peak() - before)
"""


def memory_of_a_build(path, folder) -> int:
    """Megabytes that building the store of `path` takes beside what Python and numpy take."""
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, str(path), str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(folder.parent),
        check=True,
    )
    return int(done.stdout)


def write_large(path, count: int, frames: int, protocol: int) -> None:
    """`count` records of two bodies in float16, as pickle.dump writes them."""
    keypoint = np.random.default_rng(0).normal(0, 1, (2, frames, 25, 3)).astype("f2")
    made = [
        {
            "frame_dir": f"S001C001P001R{i:07d}",
            "label": i % 60,
            "total_frames": frames,
            "keypoint": keypoint + np.float16(i % 7),
        }
        for i in range(count)
    ]
    with open(path, "wb") as stream:
        pickle.dump(
            {"split": {"a_train": [record["frame_dir"] for record in made]}, "annotations": made},
            stream,
            protocol=protocol,
        )


tells_peaks = pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="only Linux tells a process's own peak"
)


@tells_peaks
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_store_is_built_in_little_memory(tmp_path, protocol):
    write_large(tmp_path / "x.pkl", 400, 500, protocol)  # 60 MB, in protocol 2 written as text 90 MB
    assert (tmp_path / "x.pkl").stat().st_size > 55e6
    assert memory_of_a_build(tmp_path / "x.pkl", tmp_path / "s") < 25


@tells_peaks
@pytest.mark.slow
@pytest.mark.hours
def test_2_gigabytes_are_built_into_a_store_in_100_megabytes(tmp_path):
    write_large(tmp_path / "x.pkl", 23_000, 300, protocol=4)
    assert (tmp_path / "x.pkl").stat().st_size > 2e9
    assert memory_of_a_build(tmp_path / "x.pkl", tmp_path / "s") < 100
