"""Three nights to a deadline, on real clips at small size: from the zip of raw skeletons to fused results.

Every second command is one that the program itself, or a page of the documentation, says to type.
"""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from tests.cli.runner import ROOT, environment, run_stgcn

SUBJECTS, REPETITIONS = (1, 2, 6), (1, 2)  # 1 and 2 train, 6 validates
SHORT = "--set data.clip_len=24 data.num_person=1 model.num_classes=10 train.batch_size=8 train.log_every=1 " \
        "train.validate_every=1 --device cpu"  # fmt: skip


@pytest.fixture
def folder(shared, tmp_path):
    """A folder with 60 of the real texts in data/, and the program as `stgcn` for a shell."""
    source = shared / "data" / "uiprmd_skeletons.zip"
    if not source.is_file():
        pytest.skip(f"{source.name} is not in the data folder of STGCN_TEST_DATA: the real clips")
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(source) as real, zipfile.ZipFile(tmp_path / "data" / source.name, "w") as small:
        for name in real.namelist():
            found = re.search(r"P(\d{3})R(\d{3})A\d{3}\.skeleton$", name)
            if found and int(found[1]) in SUBJECTS and int(found[2]) in REPETITIONS:
                small.writestr(name, real.read(name))
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "stgcn"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m stgcn_cli "$@"\n')
    program.chmod(0o755)
    return tmp_path


def typed(folder, words, **how):
    """What the program answers; every command of these nights must work."""
    said = run_stgcn(folder, *shlex.split(words), **how)
    assert said.code == 0, f"stgcn {words}\n{said.out}{said.err}"
    return said


def records(folder, mode):
    lines = (folder / "log.jsonl").read_text().splitlines() if (folder / "log.jsonl").is_file() else []
    return [record for record in map(json.loads, lines) if record["mode"] == mode]


def interrupted(folder, words, run):
    """Start the program, press Ctrl-C in its second epoch, and return what it says."""
    with subprocess.Popen(
        [sys.executable, "-m", "stgcn_cli", *shlex.split(words)], cwd=folder, env=environment(folder), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        end = time.monotonic() + 300
        while not records(run, "val") and time.monotonic() < end and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    return process.returncode, out + err


@pytest.mark.slow
def test_three_nights(folder):
    # the first night: from the zip to a run that is interrupted
    assert re.search(r"clips +60\b", typed(folder, "prepare ntu60 --source data/uiprmd_skeletons.zip").out)
    plan = typed(folder, f"train ntu60-xsub-3d {SHORT} --epochs 4 --dry-run").out
    steps = int(re.search(r"epochs +4, (\d+) steps each", plan)[1])
    assert steps == 5 and "time " in plan and not (folder / "runs").exists()
    run = folder / "runs" / "ntu60-xsub-3d"
    code, said = interrupted(folder, f"train ntu60-xsub-3d {SHORT} --epochs 4", run)
    assert code == 130 and "Traceback" not in said, said
    saved = re.search(r"Saved epoch (\d), step (\d)\. Resume: stgcn (train --resume \S+)", said)
    assert saved and (run / "last.pth").is_file(), said

    # the second: resume as it says, look, draw
    typed(folder, saved[3])
    assert [record["epoch"] for record in records(run, "epoch")] == [1, 2, 3, 4]
    iterations = [(record["epoch"], record["iter"]) for record in records(run, "train")]
    assert len(set(iterations)) == len(iterations) and iterations[-1] == (4, steps)
    figures = typed(folder, f"report {run.relative_to(folder)} --format svg").err
    curve = (run / "learning_curve.svg").read_text()
    assert "learning_curve.svg" in figures and (run / "best.confusion.svg").is_file() and "training loss" in curve

    # the third: the sweep of the documentation, word for word, and the sum of its results
    preset = typed(folder, f"presets show ntu60-xsub-3d {SHORT.replace('--device cpu', '')} --set train.epochs=2").out
    (folder / "own.toml").write_text(preset)
    (folder / "data" / "ntu60.pkl").rename(folder / "own.pkl")
    page = (ROOT / "docs" / "training.md").read_text("utf-8")
    sweep = re.search(r"<!-- test: tests/cli/test_three_nights.py -->\n```bash\n(.*?)```", page, re.DOTALL)[1]
    variables = environment(folder)
    variables["PATH"] = f"{folder / 'bin'}:{variables['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", sweep], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    listed = [line.split() for line in done.stdout.splitlines() if line.startswith("runs/lr-")]
    assert {(words[0], words[3]) for words in listed} == {("runs/lr-0.1", "0.1"), ("runs/lr-0.05", "0.05")}, done.stdout
    comparison = (folder / "comparison.html").read_text("utf-8")
    assert "McNemar" in comparison and "optim.lr" in comparison
    fused = json.loads(typed(folder, "fuse runs/lr-0.1 runs/lr-0.05 --softmax --out fused.npz --json").out)
    assert fused["clips"] == 20 and len(fused["singles"]) == 2 and (folder / "fused.npz").is_file()
    again = json.loads(typed(folder, "eval fused.npz --json").out)
    assert again["top1_acc"] == pytest.approx(fused["fusion"]["top1_acc"])
