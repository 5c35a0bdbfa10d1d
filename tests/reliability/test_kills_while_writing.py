"""Commands that write a file, killed at random moments: a file has its final name whole or not at all."""

import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.runner import environment, run_stgcn
from tests.reliability.commands import COMMANDS, OUT, setting

KILLS = {"report": 5, "data convert": 5, "data merge": 5, "export": 5, "checkpoint convert": 5, "fuse": 5}
_NEAR_THE_END = 0.5  # of the kills come in the last tenth, where files are written


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return setting(tmp_path_factory.mktemp("all"), run_stgcn)


def start(folder, words):
    return subprocess.Popen(
        [sys.executable, "-m", "stgcn_cli", *words], cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def written(folder, calm):
    """The new files with their content, and what was left half-written."""
    new = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name not in calm}
    return {name: content for name, content in new.items() if ".part" not in name}, [n for n in new if ".part" in n]


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLS)
def test_a_killed_command_leaves_nothing_half_written(made, tmp_path, name):
    command, rng, killed = COMMANDS[name], random.Random(name), 0
    words = command.typed({OUT: f"out{command.suffix}"})
    place = tmp_path / "x"
    shutil.copytree(made, place)
    before = {path.name for path in place.iterdir()}
    began = time.monotonic()
    assert start(place, words).wait(300) == 0
    seconds, (calm, _) = time.monotonic() - began, written(place, before)
    while killed < KILLS[name]:
        for path in place.iterdir():
            if path.name not in before and path.is_file():
                path.unlink()
        process = start(place, words)
        near = rng.random() < _NEAR_THE_END
        time.sleep(seconds * (rng.uniform(0.9, 1.0) if near else rng.random()))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        found, _ = written(place, before)
        for file, content in found.items():
            assert len(content) == len(calm[file]) or content == calm[file], f"{file} is half-written"
    force = ["--force"] if command.force else []
    assert start(place, [*words, *force]).wait(300) == 0
    found, parts = written(place, before)
    assert found.keys() == calm.keys() and not parts
