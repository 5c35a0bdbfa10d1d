"""A whole evening: the ten commands of the README, word for word, on a folder of real clips.

Only how long trained is changed: the README's recipe takes an hour on a processor, this one half a minute.
"""

import csv
import itertools
import json
import re
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.cli.runner import ROOT, run_stgcn

CLASSES = {1: "deep-squat", 5: "sit-to-stand", 7: "shoulder-abduction"}
SUBJECTS, REPETITIONS = range(1, 9), range(1, 4)
NEW = "S001C001P010R002A007.skeleton"  # of somebody who is not in the folder
THINNED = 4  # every fourth frame: a quarter of the work, and the movement is still there
SHORT = "--epochs 10 --set data.passes=1 --set train.batch_size=4 --set optim.lr=0.01 --device cpu"
ORDER = ["data convert", "data inspect", "data validate", "view", "train", "train", "report", "eval", "predict", "view"]


def tutorial(text: str) -> list[list[str]]:
    """The words of the commands in the first block under the heading of the tutorial, without `stgcn` and comments."""
    block = re.search(r"^#+ .*ten commands\n.*?```bash\n(.*?)```", text, re.DOTALL | re.MULTILINE)[1]
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert all(words[0] == "stgcn" for words in lines)
    return [words[1:] for words in lines]


def frames_of(text: str) -> list[list[str]]:
    """The lines of each frame of a `.skeleton` text of the real clips: at most one body, of 25 joints."""
    lines, at, frames = text.splitlines(), 1, []
    for _ in range(int(lines[0])):
        count = 1 + 27 * int(lines[at])
        frames.append(lines[at : at + count])
        at += count
    return frames


def write_clips(source: Path, folder: Path) -> None:
    """clips/CLASS/NAME.skeleton of a few people, and new.npy (T, V, C), in metres, of somebody else."""
    with zipfile.ZipFile(source) as archive:
        for member in archive.namelist():
            name = member.rpartition("/")[2]
            if not name.endswith(".skeleton"):
                continue
            subject, repetition, label = int(name[9:12]), int(name[13:16]), int(name[17:20])
            if label in CLASSES and subject in SUBJECTS and repetition in REPETITIONS:
                frames = frames_of(archive.read(member).decode())[::THINNED]
                target = folder / "clips" / CLASSES[label] / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text("\n".join([str(len(frames)), *itertools.chain(*frames)]) + "\n")
            elif name == NEW:
                frames = frames_of(archive.read(member).decode())[::THINNED]
                joints = [[list(map(float, line.split()[:3])) for line in frame[3:]] for frame in frames]
                np.save(folder / "new.npy", np.array(joints))


@pytest.fixture(scope="module")
def evening(shared, tmp_path_factory):
    """(folder, [(words, what was said)]) of all ten commands; the first that fails ends the evening."""
    source = shared / "data" / "uiprmd_skeletons.zip"
    if not source.is_file():
        pytest.skip(f"{source.name} is not in the data folder of STGCN_TEST_DATA: the real clips")
    folder = tmp_path_factory.mktemp("evening")
    write_clips(source, folder)
    browser = folder / "browser"  # notes what it shall open
    browser.write_text('#!/bin/sh\necho "$1" > opened.txt\n')
    browser.chmod(0o755)
    told = []
    for words in tutorial((ROOT / "README.md").read_text("utf-8")):
        more = shlex.split(SHORT) if words[0] == "train" else []
        said = run_stgcn(folder, *words, *more, env={"BROWSER": str(browser)}, timeout=600)
        assert said.code == 0, f"stgcn {shlex.join(words)}\n{said.out}{said.err}"
        assert "Warning" not in said.err, said.err
        told.append((words, said))
    return folder, told


def test_the_readme_has_the_ten_commands_of_an_evening():
    words = tutorial((ROOT / "README.md").read_text("utf-8"))
    assert [" ".join(w[:2]) if w[0] == "data" else w[0] for w in words] == ORDER
    assert "--dry-run" in words[4] and "--checkpoint" in words[9]


def test_the_page_on_own_data_has_the_same_ten():
    readme, page = ((ROOT / name).read_text("utf-8") for name in ("README.md", "docs/own-data.md"))
    assert tutorial(page) == tutorial(readme)


@pytest.mark.slow
def test_converting_looking_and_checking(evening):
    folder, told = evening
    convert, inspect, validate, view = (said.out for _, said in told[:4])
    assert re.search(r"clips +72\b", convert) and "train 54, val 18" in convert
    assert re.search(r"classes +3, 24 clips each", convert)
    assert (folder / "own.pkl").is_file() and (folder / "own.toml").is_file()
    for name in CLASSES.values():
        assert re.search(rf"{name} +24 +18 +6\b", inspect), inspect
    assert "72 records: no problems" in validate
    page = folder / view.strip()
    assert page.suffix == ".html" and 'class="player"' in page.read_text("utf-8")


@pytest.mark.slow
def test_no_subject_is_in_both_splits(evening):
    folder, _ = evening
    from stgcn_cli.data import annotations

    splits = annotations.read(folder / "own.pkl").splits
    people = {split: {re.search(r"P(\d+)R", name)[1] for name in names} for split, names in splits.items()}
    assert len(people["train"]) == 6 and len(people["val"]) == 2 and not people["train"] & people["val"]


@pytest.mark.slow
def test_the_plan_is_what_is_then_done(evening):
    folder, told = evening
    plan = told[4][1].out
    steps = int(re.search(r"epochs +10, ([\d,]+) steps each", plan)[1])
    log = [json.loads(line) for line in (folder / "runs/own/log.jsonl").read_text().splitlines()]
    assert steps == max(record["iter"] for record in log if record["mode"] == "train")
    assert "runs/own" in plan and (folder / "runs/own").is_dir() and not (folder / "runs/own-2").exists()


@pytest.mark.slow
def test_it_recognises_people_it_was_not_trained_on(evening):
    """Chance is a third."""
    folder, told = evening
    trained = told[5][1].out
    best = float(re.search(r"best\.pth top1_acc +([\d.]+) %", trained)[1])
    assert best > 60, trained
    evaluated = float(re.search(r"top1_acc +([\d.]+) %", told[7][1].out)[1])
    assert evaluated == best
    with (folder / "result.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 18


@pytest.mark.slow
def test_the_report_is_there_and_was_opened(evening):
    folder, told = evening
    page = folder / told[6][1].out.strip()
    assert page == folder / "runs/own/report.html"
    assert all(name in page.read_text("utf-8") for name in CLASSES.values())
    assert (folder / "opened.txt").read_text().strip() == page.resolve().as_uri()


@pytest.mark.slow
def test_a_new_clip_is_named_and_shown_with_its_name(evening):
    folder, told = evening
    lines = told[8][1].out.splitlines()
    likeliest = next(line.split()[0] for line in lines if line.split() and line.split()[0] in CLASSES.values())
    assert likeliest == "shoulder-abduction", told[8][1].out
    page = (folder / told[9][1].out.strip()).read_text("utf-8")
    assert "shoulder-abduction" in page and "new" in page


@pytest.mark.slow
def test_the_command_shown_after_training_works(evening):
    folder, told = evening
    following = re.search(r"^Next: stgcn (.*)$", told[5][1].err, re.MULTILINE)[1]
    said = run_stgcn(folder, *shlex.split(following))
    assert said.code == 0, said.err
