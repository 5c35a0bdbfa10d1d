"""The power goes: what a run has saved is there, whole, and the run goes on to the same bits.

The disk is an ext4 in a file. Copying that file while the program stands still gives what a disk holds when the power goes:
what the system kept in memory alone is not in it. The order of the system calls, which this rests on, is looked at for every
command that writes.
"""

import os
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stgcn_cli.io.files import atomic_write
from stgcn_cli.runs import history
from tests.factories.http_server import running
from tests.reliability.checks import check_whole, digests
from tests.reliability.disks import MIB, Disk, mounted, plain_folder, small_disk
from tests.reliability.writing import COMMANDS, SAMPLE, TRAIN, annotations_and_store, serve

pytestmark = pytest.mark.slow
WORDS = (*TRAIN, "--epochs", "6", "--checkpoint-minutes", "0")  # a checkpoint after every step


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> Iterator[Disk]:
    with small_disk(tmp_path_factory.mktemp("power"), 500 * MIB, "ext4") as disk:
        yield disk


def cut_power(disk: Disk, name: str) -> Path:
    """An image of the disk without what is in memory alone."""
    return shutil.copy(disk.beside / "disk.img", disk.beside / f"{name}.img")


def steps_saved(folder: Path) -> int:
    """Steps done, by the newest checkpoint: 8 clips in batches of 4 are 2 steps an epoch."""
    read = history.newest(folder)
    found = history.progress_in(read) if read else history.Progress()
    epoch, step = found.epoch, found.step
    return 2 * epoch + step


def test_what_is_not_synced_is_lost_here(disk):
    """That the other tests can fail."""
    content = b"x" * 100_000
    (disk.seen / "x.part").write_bytes(content)
    os.rename(disk.seen / "x.part", disk.seen / "careless")
    image = cut_power(disk, "careless")
    with mounted(image.with_suffix(""), "-o", "loop", image) as after:
        assert not (after.seen / "careless").is_file() or (after.seen / "careless").read_bytes() != content
    with atomic_write(disk.seen / "careful") as stream:
        stream.write(content)
    image = cut_power(disk, "careful")
    with mounted(image.with_suffix(""), "-o", "loop", image) as after:
        assert (after.seen / "careful").read_bytes() == content
    disk.wipe()


@pytest.mark.hours
@pytest.mark.parametrize("most", [2, 99])
def test_a_run_goes_on_after_the_power_went(disk, most):
    disk.wipe()
    annotations_and_store(disk)
    disk.shell("sync")
    started = disk.start(*WORDS)
    pid, rng, cuts = started[0], random.Random(0), []
    while os.path.exists(f"/proc/{pid}/cwd"):
        if (before := steps_saved(disk.seen / "run")) < len(cuts):  # one cut for each step
            time.sleep(0.01)
            continue
        time.sleep(rng.uniform(0, 0.2))
        os.kill(pid, signal.SIGSTOP)
        cuts.append((before, cut_power(disk, f"cut{most}-{len(cuts)}")))
        os.kill(pid, signal.SIGCONT)
    assert disk.end(started).code == 0
    undisturbed = digests(disk.seen / "run")
    assert len({before for before, _ in cuts}) >= 4
    cuts = rng.sample(cuts, min(most, len(cuts)))
    for before, image in cuts:
        with mounted(image.with_suffix(""), "-o", "loop", image) as after:
            check_whole(after.seen, keeps_part=True)
            assert steps_saved(after.seen / "run") >= before - 1, image  # the save under way
            said = after.run(*WORDS, "--resume-or-start", "--force")  # it is mounted elsewhere, and may hold no run yet
            assert said.code == 0, said.err
            check_whole(after.seen)
            assert digests(after.seen / "run") == undisturbed, image
    print(f"\n{len(cuts)} cuts, when {', '.join(str(before) for before, _ in cuts)} of 12 steps were saved")


CALLS = "openat,creat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,link,linkat"
TRACED = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
# a temporary file that never gets a name is gone after a power loss, and nobody misses it
NAMELESS = re.compile(r"/#\d+$")
FREE = (".lock", ".part.json")  # may be lost: a lock ends with its process, and what was fetched is looked at again


def calls_in(log: Path) -> Iterator[tuple[str, str]]:
    """Name and arguments of each call, when it ended; the line of one breaks where another thread is heard."""
    begun: dict[str, str] = {}
    for line in log.read_text().splitlines():
        pid, _, rest = line.partition(" ")
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest.removesuffix("<unfinished ...>")
        elif resumed := re.match(r" *<\.\.\. \w+ resumed>(.*)", rest):
            line = f"{pid} {begun.pop(pid)}{resumed[1]}"
        if found := TRACED.match(line):
            yield found[1], found[2]


class Trace:
    """What was written and not synced yet, call by call, below `root`."""

    def __init__(self, root: Path) -> None:
        self.root, self.unsynced, self.unnamed, self.renames = str(root), set[str](), set[str](), 0

    def take(self, call: str, words: str) -> None:
        found = re.findall(r'<(/[^>]*)>|"([^"]+)"', words)  # an open file, or a name as it was given
        paths = [os.path.join(self.root, opened or named) for opened, named in found]
        if not paths or not (paths[-1] + "/").startswith(self.root + "/"):
            return
        if call in ("fsync", "fdatasync"):
            self.unsynced.discard(paths[0])
            self.unnamed.discard(paths[0])
        elif call in ("write", "pwrite64", "ftruncate"):
            self.unsynced.add(paths[0])
        elif call.startswith(("rename", "link")):
            self._name(*paths[-2:])

    def _name(self, before: str, after: str) -> None:
        lost = [path for path in self.unsynced if path == before or path.startswith(before + "/")]
        assert not lost, f"{after} gets its name before {lost} is synced"
        self.unnamed.add(os.path.dirname(after))
        self.renames += 1


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.hours) for n in COMMANDS])
def test_nothing_gets_its_name_before_it_is_on_the_disk(tmp_path, name):
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    command, log = COMMANDS[name], tmp_path / "calls"
    with running() as mirror:
        place = plain_folder(tmp_path)
        serve(mirror)
        command.given(place)
        words = (*command.words, *(("--base-url", mirror.base) if command.url else ()))
        tracer = ["strace", "-f", "-y", "-s", "0", "-e", f"trace={CALLS}", "-o", str(log)]
        said = place.run(*words, fresh=True, before=tracer)
        if "PTRACE" in said.err:
            pytest.skip("strace is not allowed here")
        assert said.code == 0, said.err
        trace = Trace(place.path)
        for call, arguments in calls_in(log):
            trace.take(call, arguments)
    assert trace.renames and not trace.unnamed, trace.unnamed
    named = [path for path in trace.unsynced if not path.endswith(FREE) and not NAMELESS.search(path)]
    assert not [path for path in named if ".part/" not in path], trace.unsynced
    print(f"\n{name}: {trace.renames} renames, each after its data, each folder synced")
