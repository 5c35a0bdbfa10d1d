"""Commands that write files, killed at random moments: a file has its final name whole or not at all, and with the
command typed again all is there. A few kills here; `python -m tests.reliability.test_kills_while_writing --kills 20`.
"""

import argparse
import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest

from tests.reliability.checks import check_whole, digests
from tests.reliability.disks import plain_folder
from tests.reliability.writing import COMMANDS

NAMES = (
    "report", "data convert", "data merge", "export", "eval, pkl", "eval, csv", "predict, json", "predict, csv", "convert",
    "fuse", "prepare, one file", "prepare, lists", "view, page", "view, gif",
)  # fmt: skip
_NEAR_THE_END = 0.5  # of the kills come in the last fifth, where files are written


def kill(folder: Path, name: str, kills: int, rng: random.Random) -> int:
    """Kill one command `kills` times, each time from the same beginning; returns how often its files were there already."""
    disk, command, beginning = plain_folder(folder), COMMANDS[name], folder / "beginning"
    command.given(disk)
    shutil.copytree(disk.seen, beginning)
    began = time.monotonic()
    assert disk.run(*command.words).code == 0
    seconds, calm, killed, named, before = time.monotonic() - began, digests(disk.seen), 0, 0, digests(beginning)
    while killed < kills:
        disk.wipe()
        shutil.copytree(beginning, disk.seen, dirs_exist_ok=True)
        started = disk.start(*command.words)
        time.sleep(seconds * (rng.uniform(0.8, 1.0) if rng.random() < _NEAR_THE_END else rng.random()))
        os.kill(started[0], signal.SIGKILL)
        killed += disk.end(started).code == -signal.SIGKILL
        check_whole(disk.seen, keeps_part=True)
        now = digests(disk.seen)
        assert all(now[file] == calm[file] for file in now.keys() & calm.keys())
        named += now.keys() == calm.keys()
        is_named = any(now[file] != before.get(file) for file in now.keys() & calm.keys())
        again = command.again if command.again and is_named else command.words
        said = disk.run(*again)
        assert said.code == 0, said
        check_whole(disk.seen)
        assert digests(disk.seen) == calm
    return named


@pytest.mark.slow
@pytest.mark.parametrize("name", random.Random(0).sample(NAMES, 5))
def test_a_killed_command_leaves_nothing_half_written(tmp_path, name):
    kill(tmp_path, name, 2, random.Random(name))


def main() -> None:
    """Kill every command as often as asked; ends with an error at the first difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=NAMES, help="some of the commands")
    asked = parser.parse_args()
    for name in asked.only:
        with tempfile.TemporaryDirectory() as folder:
            named = kill(Path(folder), name, asked.kills, random.Random(f"{name} {asked.seed}"))
        print(f"{name}: {asked.kills} kills, nothing half-written; its files were complete {named} times", flush=True)


if __name__ == "__main__":
    main()
