"""The exit codes of the README, each by the program itself."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.cli.runner import ROOT, Result, environment
from tests.factories.http_server import running
from tests.reliability.disks import Disk, plain_folder
from tests.reliability.writing import RECIPE, annotations

CODES = {
    0: [("presets",), ("--help",), (*RECIPE, "--epochs", "1", "--no-validate")],
    2: [("trian",), ("train", "--preset", "nothing"), ("train", "--gpus"), (*RECIPE, "--set", "optim.rate=1")],
    3: [
        (*RECIPE, "--data", "gone.pkl"),
        ("prepare", "ntu60"),
        ("prepare", "ntu60", "--source", "gone.zip", "--out", "new.pkl"),
    ],
    4: [("eval", "gone.pth"), ("checkpoint", "inspect", "data/ntu60.pkl")],
    5: [("download", "babel60", "--base-url", "MIRROR")],
    6: [(*RECIPE, "--set", "optim.lr=1e30", "train.log_every=1")],
}
SIGNALS = {130: signal.SIGINT, 143: signal.SIGTERM}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Disk:
    place = plain_folder(tmp_path_factory.mktemp("codes"))
    annotations(place)
    return place


@pytest.mark.parametrize(("code", "words"), [(code, words) for code, all_words in CODES.items() for words in all_words])
def test_a_command_ends_with_its_code(place, code, words):
    with running() as mirror:
        here = {"run": f"run{code}", "MIRROR": mirror.base}
        said = place.run(*(here.get(word, word) for word in words), env={"no_proxy": "127.0.0.1"})
    assert said.code == code, said
    assert said.err.count("Error") == (code != 0), said.err


@pytest.mark.parametrize(("code", "sent"), SIGNALS.items())
def test_a_signal_ends_with_its_code_and_the_last_checkpoint_stays(place, code, sent):
    words = [f"run{code}" if word == "run" else word for word in RECIPE]
    started = place.start(*words, "--set", "train.epochs=500")
    end = time.monotonic() + 120
    folder = place.seen / f"run{code}"
    while not (folder / "last.pth").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(started[0], sent)
    said = place.end(started)
    assert said.code == code and said.err.count("Everything completed is kept.") == 1, said
    assert re.search(rf"Saved epoch \d+, step \d+\. Resume: stgcn train --resume run{code}", said.err), said
    assert torch.load(folder / "last.pth", weights_only=True)["meta"]["epoch"] >= 1
    assert not list(folder.glob("*.part"))


def test_the_readme_has_the_same_table():
    text = (ROOT / "README.md").read_text().partition("## Exit codes")[2].partition("\n## ")[0]
    codes = {
        int(code)
        for line in text.splitlines()
        if line.startswith("| ")
        for code in re.findall(r"\b\d+\b", line.split("|")[1])
    }
    assert codes == {*CODES, *SIGNALS}


OUT_OF_REACH = [("presets", "show", "demo"), ("--help",)]


@pytest.mark.parametrize("words", OUT_OF_REACH)
def test_results_that_cannot_be_written_are_reported(place, words):
    said, read = shell(place, words, "> /dev/full"), shell(place, words, "| true")
    assert said.code == 6 and "disk is full: the output" in said.err, said
    assert read.code == 0 and not read.err, read  # who reads them has seen enough


def test_messages_that_cannot_be_written_change_nothing(place):
    assert shell(place, ("presets",), "2> /dev/full").code == 0
    assert shell(place, ("train", "--preset", "nothing"), "2> /dev/full").code == 2
    assert shell(place, ("train", "--preset", "nothing"), ">&- 2>&-").code == 2


def shell(place: Disk, words: tuple, redirected: str) -> Result:
    """A call of the program whose streams go elsewhere."""
    call = f"set -o pipefail; {sys.executable} -m stgcn_cli {' '.join(words)} {redirected}"
    done = subprocess.run(
        ["bash", "-c", call], capture_output=True, text=True, cwd=place.seen, env=environment(place.seen)
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Result(done.returncode, done.stdout, done.stderr)
