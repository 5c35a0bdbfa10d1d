"""The disk goes away under a running program, or cannot be written: it says so and stops, and what was saved can be used.

The disks are real: mounted read-only, taken away while training goes on, and brought back.
"""

import os
import shutil
import time
from collections.abc import Iterator

import pytest

from stgcn_cli.runs.checkpoint import read
from tests.reliability.checks import check_whole, digests
from tests.reliability.disks import MIB, Disk, small_disk
from tests.reliability.writing import RAW, RECIPE, annotations, checkpoint, raw_clips

pytestmark = pytest.mark.slow  # they mount disks and start many processes


@pytest.fixture(scope="module")
def module_disk(tmp_path_factory) -> Iterator[Disk]:
    with small_disk(tmp_path_factory.mktemp("lost"), 200 * MIB) as disk:
        disk.shell("mkdir", disk.beside / "behind")
        disk.shell("mount", "--bind", disk.path, disk.beside / "behind")  # another way to the same disk
        yield disk


@pytest.fixture
def disk(module_disk) -> Disk:
    module_disk.wipe()
    return module_disk


def behind(disk: Disk):
    """The disk's contents, also while it is gone."""
    return disk.seen.parent / "behind"


def wait_for(path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.01)


def take_away(disk: Disk) -> None:
    disk.shell("umount", "--lazy", disk.path)


def bring_back(disk: Disk) -> None:
    disk.shell("mount", "--bind", disk.beside / "behind", disk.path)


def make_read_only(disk: Disk) -> None:
    disk.shell("mount", "--bind", disk.beside / "behind", disk.path)  # over itself
    disk.shell("mount", "-o", "remount,ro,bind", disk.path)


def make_writable(disk: Disk) -> None:
    disk.shell("umount", "--lazy", disk.path)


def remove_run(disk: Disk) -> None:
    shutil.move(disk.seen / "run", disk.seen / "moved")


def put_back_run(disk: Disk) -> None:
    shutil.move(disk.seen / "moved", disk.seen / "run")


def put_file_in_place(disk: Disk) -> None:
    remove_run(disk)
    (disk.seen / "run").write_text("not a folder")


def put_run_in_place(disk: Disk) -> None:
    (disk.seen / "run").unlink()
    put_back_run(disk)


@pytest.mark.parametrize(
    ("harm", "mend", "told"),
    [
        (take_away, bring_back, "No such file or directory"),
        pytest.param(make_read_only, make_writable, "Read-only file system", marks=pytest.mark.hours),
        pytest.param(remove_run, put_back_run, "No such file or directory", marks=pytest.mark.hours),
        pytest.param(put_file_in_place, put_run_in_place, "Not a directory", marks=pytest.mark.hours),
    ],
)
def test_training_stops_at_the_next_write_and_goes_on_when_the_disk_is_back(disk, harm, mend, told):
    annotations(disk)
    words = [str(disk.path / word) if word in ("data", "run") else word for word in RECIPE]
    started = disk.start(*words, "--set", "train.epochs=400", "train.log_every=1", "train.checkpoint_every=1000")
    wait_for(disk.seen / "run" / "last-1.pth")
    harm(disk)
    said = disk.end(started)
    under_the_mount = os.listdir(disk.seen) if harm is take_away else []
    mend(disk)
    assert said.code == 6 and told in said.err and str(disk.path / "run") in said.err, said.err
    assert said.err.count("Error:") == 1 and under_the_mount == []
    epoch = read(disk.seen / "run" / "last.pth").meta["epoch"]
    for left in (disk.seen / "run").glob("*.part"):  # what was under way when nothing could be removed any more
        assert harm is not remove_run, left
    again = disk.run(*words, "--set", f"train.epochs={epoch + 1}", "train.log_every=1", "--resume")
    assert again.code == 0, again.err
    check_whole(disk.seen)
    assert read(disk.seen / "run" / "last.pth").meta["epoch"] == epoch + 1


@pytest.mark.hours
def test_resumed_after_the_loss_equals_a_run_that_lost_nothing(disk):
    annotations(disk)
    words = [str(disk.path / word) if word in ("data", "run") else word for word in RECIPE]
    settings = ("--set", "train.epochs=8", "train.checkpoint_every=100")
    started = disk.start(*words, *settings)
    wait_for(disk.seen / "run" / "last.pth")
    take_away(disk)
    assert disk.end(started).code == 6
    bring_back(disk)
    assert disk.run(*words, *settings, "--resume").code == 0
    lost = digests(disk.seen / "run")
    shutil.rmtree(disk.seen / "run")
    assert disk.run(*words, *settings).code == 0
    assert digests(disk.seen / "run") == lost


WRITERS = (
    RECIPE,
    ("eval", "best.pth", "--out", "r.pkl"),
    ("checkpoint", "convert", "best.pth", "out.pth"),
    (*RAW, "--out", "x.pkl"),
    ("download", "ntu60_xsub_val"),
    ("demo", "--out", "demo"),
)


def test_a_read_only_disk_is_reported_and_what_is_on_it_can_be_used(disk):
    checkpoint(disk)
    raw_clips(disk)
    make_read_only(disk)
    try:
        refused = [disk.run(*words) for words in WRITERS]
        elsewhere = {"STGCN_CACHE": str(disk.beside / "cache")}
        used = disk.run("eval", "best.pth", "--out", disk.beside / "r.pkl", env=elsewhere)
    finally:
        make_writable(disk)
    for said in refused:
        assert said.code == 6 and "Read-only file system" in said.err and "folder of your own" in said.err, said.err
    assert used.code == 0, used.err
