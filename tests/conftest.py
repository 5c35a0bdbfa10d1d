"""What tests share: one verb that runs the program, and where the real data lie."""

import functools
import os
import pickle
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.runner import run_stgcn

GOLDEN = Path(__file__).parent / "golden"
os.environ["OMP_NUM_THREADS"] = "1"  # run_stgcn forks, and OpenMP hangs in a fork of a process with several threads
# A job in the background ignores Ctrl-C, one under nohup SIGHUP, and so would their children.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


_LONGEST = ("test_trajectory.py", "test_demo.py", "test_resume.py", "test_train.py", "test_refusals.py")


def pytest_collection_modifyitems(items):
    """The longest files first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)  # stable: the rest stays in its order


@pytest.fixture
def stgcn(tmp_path):
    """stgcn("eval", "x.pth", …) runs the program in an empty folder and returns its exit code, stdout and stderr."""
    return functools.partial(run_stgcn, tmp_path)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test touches the user's cache or data folder."""
    monkeypatch.setenv("STGCN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STGCN_DATA", raising=False)


@pytest.fixture
def own_hooks():
    """For tests that call the program in this process: what it does to SIGTERM and to lost exceptions is undone."""
    before, hook = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    yield
    signal.signal(signal.SIGTERM, before)
    sys.unraisablehook = hook


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real skeletons and all reference figures, or a skip that says so."""
    place = os.environ.get("STGCN_TEST_DATA")
    if not place:
        pytest.skip("STGCN_TEST_DATA is not set: the folder with real skeletons and reference figures")
    return Path(place)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Small reference figures that lie in the checkout."""
    return GOLDEN


def make_records(
    clips: int = 12, classes: int = 3, joints: int = 25, persons: int = 1, seed: int = 0, **more
) -> list[dict]:
    """Small valid annotation records, each class with a movement of its own, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    records = []
    for index in range(clips):
        label, frames = index % classes, int(rng.integers(8, 14))
        wave = np.sin(np.arange(frames) * (label + 1))[None, :, None, None]
        keypoint = (rng.normal(0, 0.05, (persons, frames, joints, 3)) + wave).astype(np.float32)
        records.append(
            {"frame_dir": f"clip{index:03d}", "label": label, "total_frames": frames, "keypoint": keypoint, **more}
        )
    return records


SMALL = ("--set", "data.clip_len=8", "--set", "data.num_person=1", "--set", "model.num_classes=3",
         "--set", "train.batch_size=4", "--set", "train.epochs=2", "--set", "optim.lr=0.01", "--device", "cpu")  # fmt: skip


@pytest.fixture
def small_data(tmp_path) -> Path:
    """A data folder with ntu60.pkl: 12 training and 6 validation clips of 3 classes."""
    return write_small_data(tmp_path / "data")


def write_small_data(folder: Path) -> Path:
    """Make such a folder."""
    records = make_records(18)
    names = [record["frame_dir"] for record in records]
    folder.mkdir()
    splits = {"xsub_train": names[:12], "xsub_val": names[12:]}
    (folder / "ntu60.pkl").write_bytes(pickle.dumps({"split": splits, "annotations": records}))
    return folder
