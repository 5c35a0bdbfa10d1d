"""Each target for a moment, its corpus replayed, and what the parser's fuzzing reaches; the long runs are marked slow."""

import json
import subprocess
import sys

import pytest

from tests.cli.runner import ROOT, environment
from tests.fuzz import campaign
from tests.fuzz.targets import NAMES, find

SHORT = {
    "parser": 1000,
    "annotations": 1000,
    "checkpoint": 80,
    "presets": 700,
    "store": 500,
    "archives": 700,
    "logs": 600,
    "http": 250,
    "clips": 500,
    "tables": 300,
    "arrays": 300,
    "poses": 500,
}
LONG = {"parser": 60_000, "annotations": 20_000, "checkpoint": 3000, "presets": 20_000, "store": 10_000, "archives": 20_000,
        "logs": 20_000, "http": 5000, "clips": 20_000, "tables": 10_000, "arrays": 10_000, "poses": 70_000}  # fmt: skip


def python(folder, *words: object) -> str:
    """What such a call of Python prints; fails when it fails."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(folder),
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def fuzzed(folder, target: str, inputs: int, *more: object) -> dict:
    """The report of a campaign in a process of its own; fails when something was found."""
    return json.loads(
        python(folder, "-m", "tests.fuzz", target, "--inputs", inputs, "--save", folder / "found", "--json", *more)
    )


@pytest.mark.parametrize("target", NAMES)
def test_nothing_is_found_in_a_moment(tmp_path, target):
    """The inputs are tried in a fork of this process."""
    report = campaign.run(find(target), SHORT[target], save=tmp_path / "found")
    assert not report.findings
    assert report.inputs == SHORT[target] and len(report.outcomes) > 10
    assert report.early_share <= 0.1


@pytest.mark.slow
@pytest.mark.hours
@pytest.mark.parametrize("target", NAMES)
def test_nothing_is_found_in_minutes(tmp_path, target):
    report = fuzzed(tmp_path, target, LONG[target], "--seed", 1)
    assert report["inputs"] == LONG[target] and report["early"] <= 0.1 * report["inputs"]


@pytest.mark.parametrize("target", NAMES)
def test_what_was_of_interest_once_is_tried_again(tmp_path, target):
    outcomes = campaign.replay(find(target), tmp_path)
    assert len(outcomes) >= 5


def test_the_corpus_is_small():
    files = [path for path in campaign.CORPUS.glob("*/*")]
    assert len(files) <= 110 and all(path.stat().st_size < 4096 for path in files)


def test_inputs_reach_nearly_every_branch_of_the_parser_and_get_past_its_first_line(tmp_path):
    pytest.importorskip("coverage")
    data, told = tmp_path / "coverage", tmp_path / "coverage.json"
    report = json.loads(python(
        tmp_path, "-m", "coverage", "run", "--branch", "--include", "*/ntu/parser.py,*/ntu/strict_parser.py", f"--data-file={data}",
        "-m", "tests.fuzz", "parser", "--inputs", 1500, "--here", "--json",
    ))  # fmt: skip
    python(tmp_path, "-m", "coverage", "json", f"--data-file={data}", "-o", told)
    totals = json.loads(told.read_text())["totals"]
    assert totals["covered_branches"] / totals["num_branches"] >= 0.95, totals
    assert report["early"] / report["inputs"] <= 0.1
