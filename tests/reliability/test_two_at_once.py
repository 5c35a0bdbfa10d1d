"""Two processes that want the same thing at once: one wins or waits, nothing is damaged, and a dead one is in nobody's way."""

import fcntl
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stgcn_cli.io.files import atomic_write
from tests.cli.runner import ROOT, Result
from tests.conftest import make_records
from tests.factories.http_server import Served, running
from tests.reliability.checks import check_whole, digests
from tests.reliability.disks import Disk, plain_folder
from tests.reliability.writing import RAW, RECIPE, annotations, checkpoint, raw_clips

MANY = pytest.param(25, id="many rounds", marks=pytest.mark.hours)
TRAINED = re.compile(r"is being trained by process \d+ on \S+|already contains a run|nothing to do")

pytestmark = pytest.mark.slow  # they mount disks and start many processes


@pytest.fixture(scope="module")
def module_place(tmp_path_factory) -> Disk:
    return plain_folder(tmp_path_factory.mktemp("two"))


@pytest.fixture
def place(module_place) -> Disk:
    module_place.wipe()
    return module_place


def at_once(place: Disk, *commands: tuple) -> list[Result]:
    """Start all, then wait for all."""
    started = [place.start(*words) for words in commands]
    return [place.end(each) for each in started]


@pytest.mark.parametrize("rounds", [1, MANY])
def test_two_runs_into_one_folder(place, rounds):
    """New runs, and runs that go on: never do two train, and the one that does ends as if it had been alone."""
    annotations(place)
    words = (*RECIPE, "--set", "train.validate_every=1", "train.checkpoint_every=1")
    assert place.run(*words).code == 0
    alone = digests(place.seen / "run")
    for _ in range(rounds):
        shutil.rmtree(place.seen / "run")
        new = at_once(place, words, words)
        assert sorted(said.code for said in new) == [0, 2], new
        assert digests(place.seen / "run") == alone
        shutil.rmtree(place.seen / "run")
        assert place.run(*words, "--epochs", "1").code == 0
        going_on = at_once(place, (*words, "--resume"), (*words, "--resume"))
        assert 0 in [said.code for said in going_on], going_on
        refused = [said for said in new + going_on if said.code or "nothing to do" in said.err]
        assert len(refused) == 2 and all(TRAINED.search(said.err) for said in refused), refused
        assert digests(place.seen / "run") == alone
        check_whole(place.seen)


@pytest.mark.hours
def test_runs_that_name_no_folder_get_one_each(place):
    annotations(place)
    words = [word for word in RECIPE if word not in ("--work-dir", "run")]
    assert [said.code for said in at_once(place, words, words, words)] == [0, 0, 0]
    folders = sorted(path.name for path in (place.seen / "runs").iterdir())
    assert folders == ["ntu60-xsub-3d", "ntu60-xsub-3d-2", "ntu60-xsub-3d-3"]
    assert digests(place.seen / "runs" / folders[0]) == digests(place.seen / "runs" / folders[2])


def test_a_run_says_which_process_has_it_and_a_dead_one_has_nothing(place):
    annotations(place)
    long = (*RECIPE, "--set", "train.epochs=500", "train.checkpoint_every=1000")
    pid, *_ = place.start(*long)
    wait_for(lambda: (place.seen / "run" / "last.pth").exists())
    said = place.run(*long, "--resume")
    assert said.code == 2 and f"The run in run is being trained by process {pid} on {os.uname().nodename}." in said.err
    os.kill(pid, signal.SIGKILL)
    (place.seen / "run" / "last.pth.1-abcdef.part").write_bytes(b"left by a process that died")
    epoch = 1 + max(int(line.split(",")[0]) for line in (place.seen / "run" / "results.csv").read_text().split()[1:])
    said = place.run(*RECIPE, "--set", f"train.epochs={epoch}", "train.checkpoint_every=1000", "--resume")
    assert said.code == 0, said.err
    check_whole(place.seen)


def test_a_holder_that_does_not_say_who_it_is_is_respected(place):
    annotations(place)
    assert place.run(*RECIPE, "--epochs", "1").code == 0
    with open(place.seen / "run" / "run.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = place.run(*RECIPE, "--resume")
    assert said.code == 2 and "being trained by another process" in said.err, said.err


@pytest.mark.hours
def test_going_on_leaves_alone_what_another_process_writes_into_the_run(place):
    annotations(place)
    assert place.run(*RECIPE, "--epochs", "1").code == 0
    (place.seen / "run" / "results.csv.1-abcdef.part").write_bytes(b"left by a process that died")
    with atomic_write(place.seen / "run" / "mine.json") as stream:
        stream.write(b"{}")
        stream.flush()
        assert place.run(*RECIPE, "--resume").code == 0
    check_whole(place.seen)


@pytest.mark.parametrize("rounds", [1, MANY])
def test_three_builders_of_one_store_and_three_writers_of_one_result(place, rounds):
    checkpoint(place)
    words = ("eval", "best.pth", "--out", "r.csv")
    assert place.run(*words).code == 0
    alone = digests(place.seen)
    for _ in range(rounds):
        shutil.rmtree(place.seen / "cache")
        assert [said.code for said in at_once(place, words, words, words)] == [0, 0, 0]
        check_whole(place.seen)
        assert digests(place.seen) == alone


@pytest.mark.parametrize("rounds", [MANY])
def test_a_store_beside_its_pickle_is_replaced_while_others_open_it(place, rounds):
    """`prepare` again and again, to the same file, while it is read."""
    checkpoint(place)
    raw_clips(place)
    prepare, evaluate = (*RAW, "--out", "data/ntu60.pkl"), ("eval", "best.pth", "--out", "r.csv")
    assert place.run(*prepare, "--force").code == 0 and place.run(*evaluate).code == 0
    alone = digests(place.seen)
    for _ in range(rounds):
        said = at_once(place, prepare, evaluate, prepare, evaluate, evaluate)
        assert [each.code for each in said] == [0] * 5, said
        check_whole(place.seen)
        assert digests(place.seen) == alone


def test_three_downloads_of_one_file_ask_once(place):
    with running() as mirror:
        content = pickle.dumps(make_records(20))
        mirror.files["/posec3d/ntu60_xsub_val.pkl"] = Served(
            content, pause_s=4
        )  # longer than others wait without a word
        words = ("download", "ntu60_xsub_val", "--base-url", mirror.base)
        said = at_once(place, words, words, words)
        assert [each.code for each in said] == [0, 0, 0], said
        assert len(mirror.asked) == 1 and sum("Waiting for process" in each.err for each in said) == 2
    assert [path.name for path in (place.seen / "cache" / "annotations").iterdir()] == ["ntu60_xsub_val.pkl"]


WRITE_SLOWLY = """
import sys, time
from pathlib import Path
from stgcn_cli.io.files import atomic_write
with atomic_write(Path(sys.argv[1])) as stream:
    stream.write(b"half")
    stream.flush()
    time.sleep(60)
"""


def test_what_a_killed_writer_left_is_removed_and_what_another_writes_is_not(tmp_path):
    target = tmp_path / "x.pkl"
    command = [sys.executable, "-c", WRITE_SLOWLY, str(target)]
    with subprocess.Popen(command, cwd=ROOT) as writer:
        wait_for(lambda: any(path.stat().st_size for path in tmp_path.glob("x.pkl.*.part")))
        write(target, b"mine")
        assert len(list(tmp_path.glob("*.part"))) == 1  # it lives
        writer.kill()
    write(target, b"mine again")
    assert [path.name for path in tmp_path.iterdir()] == ["x.pkl"] and target.read_bytes() == b"mine again"


def write(path: Path, content: bytes) -> None:
    with atomic_write(path) as stream:
        stream.write(content)


def wait_for(happened, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)
