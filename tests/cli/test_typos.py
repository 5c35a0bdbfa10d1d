"""A slip of the keyboard is answered with the nearest command, option, preset, class, clip or file.

The program runs in the test's own process here: forty starts of it would take longer than all it says.
"""

import pickle
import shutil
import sys

import pytest

from stgcn_cli.cli import app
from tests.cli.runner import ROOT
from tests.conftest import make_records


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with own.pkl, own.toml, labels for clips of three classes, and a run folder with checkpoints' names."""
    folder = tmp_path_factory.mktemp("typos")
    records = make_records(6)
    names = [record["frame_dir"] for record in records]
    splits = {"xsub_train": names[:3], "xsub_val": names[3:]}
    (folder / "own.pkl").write_bytes(pickle.dumps({"split": splits, "annotations": records}))
    (folder / "hand.toml").touch()
    shutil.copy(ROOT / "presets" / "demo.toml", folder / "own.toml")
    (folder / "names.txt").write_text("wave\nkick\njump\n")
    (folder / "labels.csv").write_text("name,label\n" + "".join(f"clip{n:03d},wafe\n" for n in range(6)))
    (folder / "runs" / "own").mkdir(parents=True)
    (folder / "runs" / "own" / "best.pth").write_bytes(b"")
    return folder


TYPOS = [
    ("trian", "train"), ("data inspct own.pkl", "inspect"), ("presets shwo demo", "show"),
    ("train --presett x", "--preset"),
    ("train --preset own", "own.toml"), ("train --preset onw.toml", "own.toml"), ("train --preset babel6o", "babel60"),
    ("train --preset demo --set train.epoch=3", "train.epochs"), ("presets show dmo", "demo"),
    ("train --preset own.toml --data onw.pkl", "own.pkl"),
    ("train --preset own.toml --load-from runs/onw/best.pth --data own.pkl", "runs/own/best.pth"),
    ("eval runs/own/bets.pth", "runs/own/best.pth"), ("eval runs/onw/best.pth", "runs/own/best.pth"),
    ("eval rnus/own/best.pth", "runs/own/best.pth"), ("eval runs/own", "runs/own/best.pth"),
    ("eval babel6o", "babel60"),
    ("predict runs/own/best.pth onw.pkl", "own.pkl"), ("predict runs/own/bst.pth own.pkl", "runs/own/best.pth"),
    ("view onw.pkl", "own.pkl"), ("view own.pkl --clip clip0002", "clip002"), ("view --layout ntuu", "ntu"),
    ("view --layout hnad.toml", "hand.toml"),
    ("report runs/onw", "runs/own"), ("data inspect onw.pkl", "own.pkl"), ("data validate onw.pkl", "own.pkl"),
    ("data merge onw.pkl own.pkl --out c.pkl", "own.pkl"), ("data convert onw.pkl --out c.pkl", "own.pkl"),
    ("data convert own.pkl --out c.pkl --labels labls.csv", "labels.csv"),
    ("data convert own.pkl --out c.pkl --classes nams.txt", "names.txt"),
    ("data convert own.pkl --out c.pkl --labels labels.csv --classes names.txt", "wave"),
    ("checkpoint inspect runs/own/bst.pth", "runs/own/best.pth"),
    ("download babel6o", "babel60"), ("prepare ntu6", "ntu60"),
]  # fmt: skip


@pytest.fixture
def told(own_hooks, place, monkeypatch, capsys):
    """told("train …") runs the program in the place and returns its exit code and what it says on stderr, in one line."""
    monkeypatch.chdir(place)

    def run(typed):
        monkeypatch.setattr(sys, "argv", ["stgcn", *typed.split()])
        with pytest.raises(SystemExit) as stop:
            app.main()
        return stop.value.code, " ".join(capsys.readouterr().err.split())

    return run


@pytest.mark.parametrize(("typed", "meant"), TYPOS)
def test_the_nearest_word_is_suggested(told, typed, meant):
    code, said = told(typed)
    assert code in (2, 3, 4), said
    assert any(start + meant in said for start in ("Did you mean '", "Give one in it: ", "Possible options: ")), said


def test_nothing_is_guessed_where_nothing_is_alike(told):
    code, said = told("data inspect quite-another.npz")
    assert code == 3 and "quite-another.npz not found." in said and "Did you mean" not in said
