"""The disk becomes full at every write the program does: one clear message, nothing half-written, and it can go on.

A real file system of some megabytes fills up at the k-th change that a command makes on it, for every k, in three ways: no
byte left, half of what the file needs, no name left for a new file.
"""

import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.factories.http_server import Mirror, running
from tests.reliability.checks import check_whole, digests
from tests.reliability.disks import MIB, Disk, small_disk
from tests.reliability.writing import COMMANDS, RECIPE, SAMPLE, Command, annotations, serve

PAGE = 4096
NO_NAMES = None  # instead of the bytes that are left

pytestmark = pytest.mark.slow  # they mount disks and start many processes


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> Iterator[Disk]:
    with small_disk(tmp_path_factory.mktemp("full"), 400 * MIB) as disk:
        yield disk


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mirror]:
    with running() as mirror:
        serve(mirror)
        yield mirror


@dataclass(frozen=True)
class Change:
    """The `number`-th change that a command makes on the disk: an open, mkdir, rename or link of `name`."""

    number: int
    kind: str
    name: str


class Bench:
    """One command, again and again from the same beginning, each time with another fault."""

    def __init__(self, disk: Disk, command: Command, mirror: Mirror) -> None:
        self.disk, self.command = disk, command
        more = ("--base-url", mirror.base) if command.url else ()
        self.words, self.again = (*command.words, *more), (*(command.again or command.words), *more)
        self.begin_with = disk.beside / "beginning"
        shutil.rmtree(self.begin_with, ignore_errors=True)
        disk.wipe()
        command.given(disk)
        shutil.copytree(disk.seen, self.begin_with)
        self.changes, self.digests, self.sizes = self._undisturbed()

    def _undisturbed(self) -> tuple[list[Change], dict[str, str], dict[str, int]]:
        record = self.disk.beside / "changes"
        said = self.disk.run(*self.words, hook={"disk": str(self.disk.path), "record": str(record)})
        assert said.code == 0, said.err
        check_whole(self.disk.seen)
        changes = [Change(n, *line.split(" ", 1)) for n, line in enumerate(record.read_text().splitlines(), 1)]
        sizes = {change.name: (self.disk.seen / change.name).stat().st_size for change in changes
                 if (self.disk.seen / change.name).is_file()}  # fmt: skip
        return changes, digests(self.disk.seen), sizes

    def faults(self) -> list[tuple[Change, int | None]]:
        """Every change that this command is looked at for, with each way in which the disk can be full there."""
        found: list[tuple[Change, int | None]] = []
        for change in self.changes:
            if change.name.startswith(self.command.only):
                found += [(change, 0), (change, NO_NAMES)]
                if change.kind == "open" and self.sizes.get(change.name, 0) > 2 * PAGE:
                    found.append((change, self.sizes[change.name] // 2))
        return found

    def fail(self, change: Change, leave: int | None) -> bool:
        """Fill the disk at `change`; whether the command failed. Checks what it said and left, and that it can go on."""
        self.begin()
        hook = {"disk": str(self.disk.path), "at": change.number, "leave": leave}
        said = self.disk.run(*self.words, hook=hook)
        told = f"{change}, {leave} bytes left: {said}"
        assert said.code in (0, 6), told
        if said.code:
            assert said.err.count("Error:") == said.err.count("disk is full") == 1, told
            assert re.search(r"Free some space", said.err) and self._named(said.err), told
        check_whole(self.disk.seen, self.command.keeps_part)
        self._check_kept(change)
        self.disk.empty()
        if said.code:
            again = self.disk.run(*self.again)
            assert again.code == 0, f"{told}\nand then {again}"
            check_whole(self.disk.seen)
        now = digests(self.disk.seen)
        assert {name: now.get(name) for name in self.digests} == self.digests, told
        return said.code != 0

    def begin(self) -> None:
        """As it was before the command's first call."""
        self.disk.wipe()
        shutil.copytree(self.begin_with, self.disk.seen, dirs_exist_ok=True)

    def _named(self, text: str) -> bool:
        """Whether the message names a file that the command writes, or the folder it lies in."""
        places = {part for change in self.changes for part in (Path(change.name).name, *Path(change.name).parent.parts)}
        return any(place in text for place in places)

    def _check_kept(self, change: Change) -> None:
        """What had its name before is there still."""
        for before in self.changes[: change.number - 1]:
            if before.kind == "os.rename":
                assert (self.disk.seen / before.name).exists(), f"{before.name} is gone after {change}"


@pytest.mark.hours
@pytest.mark.parametrize("name", COMMANDS)
def test_the_disk_becomes_full_at_every_write(disk, mirror, name):
    bench = Bench(disk, COMMANDS[name], mirror)
    faults = bench.faults()
    failed = sum(bench.fail(change, leave) for change, leave in faults)
    print(
        f"\n{name}: {len(faults)} faults at {len({change for change, _ in faults})} changes, {failed} ended the command"
    )
    assert failed >= len(faults) / 3


@pytest.mark.parametrize("name", SAMPLE)
def test_a_share_of_that(disk, mirror, name):
    """The same at two writes of three commands."""
    bench = Bench(disk, COMMANDS[name], mirror)
    faults = [fault for fault in bench.faults() if fault[0].kind == "open"]
    assert any([bench.fail(*fault) for fault in random.Random(name).sample(faults, 2)])


@pytest.mark.hours
@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_training_on_disks_with_less_and_less_room(tmp_path, mirror, kind):
    """No hook: the disk is as full as it is from the beginning, and training meets its end somewhere."""
    with small_disk(tmp_path, 400 * MIB, kind) as disk:
        before = disk.free()
        bench = Bench(disk, COMMANDS["train"], mirror)
        room, codes = before - disk.free(), []
        for leave in range(0, room, room // 12):
            bench.begin()
            disk.fill(leave)
            codes.append(disk.run(*bench.words, fresh=True).code)
            check_whole(disk.seen)
            disk.empty()
            again = disk.run(*bench.again)
            assert again.code == 0, again.err
            assert digests(disk.seen) == bench.digests
    print(f"\ntrain on {kind} with {len(codes)} amounts of room, fresh processes: {codes.count(6)} ended")
    assert codes[0] == 6 and set(codes) <= {0, 6}


@pytest.mark.hours
def test_two_processes_on_a_full_disk(disk):
    """The run's disk, and the one for temporary files, through which workers report their errors."""
    disk.wipe()
    annotations(disk)
    words = (*RECIPE, "--gpus", "2")
    assert disk.run(*words, fresh=True).code == 0
    undisturbed = digests(disk.seen / "run")
    shutil.rmtree(disk.seen / "run")
    disk.fill(40 * MIB)
    said = disk.run(*words, fresh=True, env={"TMPDIR": str(disk.path)})
    assert said.code == 6 and said.err.count("Error: The disk is full: run/") == 1, said.err
    disk.empty()
    assert disk.run(*words, "--resume", fresh=True).code == 0
    assert digests(disk.seen / "run") == undisturbed
    disk.fill(0)
    elsewhere = [str(disk.beside / "run") if word == "run" else word for word in words]
    said = disk.run(
        *elsewhere, "--set", "optim.lr=1e30", "train.log_every=1", fresh=True, env={"TMPDIR": str(disk.path)}
    )
    disk.empty()
    assert said.code == 6 and "not a finite number" in said.err, said.err
