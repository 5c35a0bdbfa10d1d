"""Ten mistakes for each command: wrong kinds of files, wrong order, missing values, typos, other programs' spellings.

Each gets one message that says what to type, the exit code of its kind, and nothing else. The program runs in the test's process.
"""

import pickle
import re
import shlex
import shutil
import sys

import numpy as np
import pytest

from stgcn_cli.cli import app
from tests.cli.runner import ROOT
from tests.conftest import make_records

MISTAKES = {
    "prepare": [
        ("", 2, "Missing argument 'DATASET'"), ("ntu6", 2, "Did you mean 'ntu60'"), ("NTU60", 2, "Did you mean 'ntu60'"),
        ("ntu60 extra", 2, "Unexpected argument"), ("ntu60 --source", 2, "requires an argument"),
        ("ntu60 --source nowhere.zip", 3, "nowhere.zip"), ("ntu60 --source own.toml", 3, "own.toml"),
        ("ntu60 --format singl", 2, "Did you mean 'single'?"), ("ntu60 --output x.pkl", 2, "Use --out"),
        ("babel60 --download", 2, "access must be requested"), ("ntu60-2d --raw", 2, "--raw is for ntu60 and ntu120"),
    ],
    "train": [
        ("", 2, "stgcn train ntu60-xsub-3d"), ("onw.toml", 2, "own.toml"), ("own.pkl", 2, "own.toml"),
        ("best.pth", 2, "--load-from best.pth"), ("demo --epochs", 2, "requires an argument"), ("demo --epochs ten", 2, "a whole number"),
        ("demo --lr 0.1 --learning-rate 0.1", 2, "Use --lr"), ("demo --set lr=0.1", 2, "optim.lr"),
        ("demo --set optim.lr", 2, "--set optim.lr=0.05"), ("demo --resume runs/none", 2, "runs/own"),
        ("demo --precision fp16", 2, "bf16"), ("demo --data nowhere.pkl", 3, "nowhere.pkl not found"),
        ("demo own.toml", 2, "Unexpected argument"),
        ("own.toml own.pkl", 2, "Use --data own.pkl"), ("demo --stream bones", 2, "Did you mean 'bone'?"),
        ("demo --work-dir own.pkl", 2, "names a folder"), ("own.toml --lr -1", 2, "at least 0"), ("help", 2, "stgcn presets"),
    ],
    "eval": [
        ("", 2, "Missing argument 'CHECKPOINT'"), ("bets.pth", 4, "best.pth"), ("own.pkl best.pth", 2, "Unexpected argument"),
        ("own.pkl", 3, "annotation pickle"), ("runs/own", 4, "Give one in it: runs/own/best.pth"), ("own.toml", 4, "is a preset"),
        ("best.pth --metrics accuracy", 2, "top_k_accuracy"), ("babel60", 3, "babel60.pkl"),
        ("best.pth --out r.xlsx", 2, ".json"), ("best.pth --weights x", 2, "No such option"),
        ("best.pth --batch-size 0", 2, "at least 1"), ("best.pth --data", 2, "requires an argument"),
        ("best.pth own.pkl", 2, "Use --data own.pkl"), ("", 2, "For example: stgcn eval "),
    ],
    "fuse": [
        ("", 2, "Missing argument 'RESULT"), ("nowhere.npz a.npz", 3, "nowhere.npz"), ("best.pth a.npz", 2, ".npz"),
        ("a.npz b.npz --weights 2,1", 2, "2:1"), ("a.npz b.npz --weights", 2, "requires an argument"),
        ("a.npz b.npz --out f.txt", 2, ".npz"), ("a.npz b.npz --metrics top1", 2, "Metrics:"),
        ("own.toml a.npz", 2, ".npz"), ("a.npz b.npz --alpha 2", 2, "No such option"), ("a.npz clips", 3, "stgcn eval CHECKPOINT --out"),
    ],
    "predict": [
        ("", 2, "Missing argument 'CHECKPOINT'"), ("best.pth", 2, "clip.npy"), ("clip.npy best.pth", 2, "stgcn predict best.pth clip.npy"),
        ("bets.pth clip.npy", 4, "best.pth"), ("best.pth clpi.npy", 3, "clip.npy"), ("best.pth --stream clip.npy", 2, "no INPUT"),
        ("best.pth clip.npy --top 5", 2, "--topk"), ("best.pth clip.npy --window 1", 2, "at least 2"),
        ("best.pth clip.npy --axes XYZ", 2, "T frames"), ("best.pth clip.npy --image-size 1280", 2, "WIDTHxHEIGHT"),
        ("best.pth clip.npy --stride 4", 2, "--window"), ("own.toml clip.npy", 4, "is a preset; expected a checkpoint"),
        ("best.pth no*.npy", 3, "No file matches no*.npy"), ("runs/own clip.npy", 4, "Give one in it: runs/own/best.pth"), ("best.pth clip.npy --csv --json", 2, "exclude each other"),
    ],
    "export": [
        ("", 2, "Missing argument 'CHECKPOINT'"), ("best.pth", 2, "--out"), ("bets.pth --out m.onnx", 4, "best.pth"), ("best.pth", 2, "For example: stgcn export "),
        ("best.pth --out m.pt", 2, ".onnx"), ("best.pth --out", 2, "requires an argument"), ("own.pkl --out m.onnx", 4, "own.pkl"),
        ("best.pth m.onnx", 2, "--out"), ("best.pth --out m.onnx --fp16", 2, "--half"),
        ("best.pth --out m.pt2 --int8", 2, ".onnx"), ("best.pth --output m.onnx", 2, "Use --out"),
    ],
    "view": [
        ("", 2, "INPUT"), ("clpi.npy", 3, "clip.npy"), ("own.pkl --clip 99", 3, "6 clips, numbered from 0"), ("own.pkl --out v.mp4", 2, ".gif"),
        ("own.pkl --layout ntuu", 2, "'ntu'"), ("own.pkl --frames 0", 2, "at least 1"), ("own.pkl --fps fast", 2, "expected a number"),
        ("own.pkl extra.pkl", 2, "Unexpected argument"), ("own.pkl --save v.gif", 2, "Use --out"),
        ("own.pkl --checkpoint bets.pth", 4, "best.pth"), ("clip.npy --clip 3", 3, "1 clip, numbered from 0"), ("own.pkl --clip", 2, "requires an argument"),
    ],
    "runs": [
        ("nowhere", 2, "not a folder"), ("own.pkl", 2, "not a folder"), ("runs/onw", 2, "not a folder"), ("--jsn", 2, "--json"),
        ("--list", 2, "No such option"), ("-v", 2, "No such option"), ("best.pth", 2, "not a folder"), ("--sort best", 2, "No such option"),
        ("--json=1", 2, "does not take a value"), ("own.toml", 2, "stgcn runs"),
    ],
    "report": [
        ("", 2, "Missing argument 'SOURCE"), ("runs/onw", 3, "runs/own"), ("clips", 2, "stgcn train"), ("runs", 2, "stgcn runs"), ("best.pth", 2, "or a run folder"),
        ("own.pkl", 2, "or a run folder"), ("a.npz --out page.pdf", 2, ".html"), ("a.npz --format jpg", 2, "png"),
        ("a.npz --output p.html", 2, "Use --out"), ("runs/own --data nowhere.pkl", 3, "nowhere.pkl"), ("a.npz --format", 2, "requires an argument"),
    ],
    "download": [
        ("", 2, "stgcn download --list"), ("babel6o", 2, "babel60"), ("nothing", 2, "--list"), ("ntu60", 2, "stgcn prepare"),
        ("babel60 --annotations", 2, "not published"), ("babel60 --base-url", 2, "requires an argument"),
        ("babel60 --base-url nowhere", 2, "http"), ("babel60 --cache", 2, "--cache-dir"), ("--lst", 2, "--list"),
        ("babel60 --out x", 2, "No such option"),
    ],
    "demo": [
        ("now", 2, "Unexpected argument"), ("--epochs 0", 2, "at least 1"), ("--epochs", 2, "requires an argument"),
        ("--epochs many", 2, "a whole number"), ("--output x", 2, "Use --out"), ("--seed -1", 2, "at least 0"),
        ("--device tpu", 2, "auto, cpu or cuda"), ("--cpu", 2, "--device cpu"), ("--quik", 2, "--quiet"), ("--out own.pkl", 2, "own.pkl"),
    ],
    "bench": [
        ("demo", 2, "Unexpected argument"), ("--preset dmo", 2, "demo"), ("--rounds 0", 2, "at least 1"), ("--batch 4", 2, "Use --batch-size"),
        ("--precision half", 2, "bf16"), ("--data nowhere.pkl", 3, "nowhere.pkl"), ("--set data.cliplen=9", 2, "data.clip_len"),
        ("--device gpu", 2, "auto, cpu or cuda"), ("--export --precision bf16", 2, "on the CPU"), ("--preset", 2, "requires an argument"),
    ],
    "doctor": [
        ("now", 2, "Unexpected argument"), ("--jsn", 2, "--json"), ("--verbose", 2, "No such option"), ("--fix", 2, "No such option"),
        ("own.pkl", 2, "Unexpected argument"), ("--quite", 2, "--quiet"), ("-v", 2, "No such option"), ("--json=yes", 2, "does not take"),
        ("--device cuda", 2, "No such option"), ("--all", 2, "No such option"),
    ],
    "data inspect": [
        ("", 2, "Missing argument 'FILE'"), ("onw.pkl", 3, "own.pkl"), ("best.pth", 3, "best.pth"), ("own.toml", 3, "own.toml"),
        ("own.pkl extra.pkl", 3, "extra.pkl"), ("own.pkl --axes", 2, "requires an argument"), ("own.pkl --axes QQ", 2, "T frames"),
        ("own.pkl --layout nut", 2, "'ntu'"), ("own.pkl --stats", 2, "No such option"), ("--jsn own.pkl", 2, "--json"),
    ],
    "data validate": [
        ("", 2, "Missing argument 'FILE'"), ("onw.pkl", 3, "own.pkl"), ("best.pth", 3, "best.pth"), ("own.toml", 3, "own.toml"),
        ("own.pkl extra.pkl", 2, "Unexpected argument"), ("own.pkl --preset dmo", 2, "demo"), ("own.pkl --set data.cliplen=9 -p demo", 2, "data.clip_len"),
        ("own.pkl --classes nams.txt", 2, "names.txt"), ("own.pkl --fix", 2, "No such option"), ("own.pkl --preset", 2, "requires an argument"),
    ],
    "data convert": [
        ("", 2, "INPUT"), ("clips", 2, "--out"), ("clpis --out o.pkl", 3, "clips"), ("own.pkl --out o.json", 2, ".pkl"),
        ("own.pkl --output o.pkl", 2, "Use --out"), ("own.pkl --out o.pkl --from mat", 2, "npy"), ("own.pkl --out o.pkl --format coco", 2, "single"),
        ("own.pkl --out o.pkl --val-fraction 20", 2, "at most 1"), ("own.pkl --out o.pkl --classes nams.txt", 2, "names.txt"),
        ("own.pkl --out o.pkl --labels labls.csv", 2, "labels.csv"), ("own.pkl --out own.pkl", 2, "own.pkl"),
    ],
    "data merge": [
        ("", 2, "FILE"), ("own.pkl", 2, "--out"), ("own.pkl onw.pkl --out o.pkl", 3, "own.pkl"), ("own.pkl best.pth --out o.pkl", 3, "best.pth"),
        ("own.pkl own.toml --out o.pkl", 3, "own.toml"), ("own.pkl own.pkl --out own.pkl", 2, "own.pkl"), ("own.pkl --output o.pkl", 2, "Use --out"),
        ("own.pkl --out o.pkl --classes nams.txt", 2, "names.txt"), ("own.pkl --out o.pkl --format both", 2, "single"),
        ("own.pkl --out", 2, "requires an argument"),
    ],
    "presets": [
        ("shwo demo", 2, "show"), ("demo", 2, "stgcn presets show demo"), ("list", 2, "stgcn presets"), ("--jsn", 2, "--json"), ("own.toml", 2, "stgcn presets show own.toml"),
        ("--all", 2, "No such option"), ("edit demo", 2, "No such command"), ("-v", 2, "No such option"), ("--preset demo", 2, "No such option"),
        ("babel60", 2, "stgcn presets show babel60"),
    ],
    "presets show": [
        ("", 2, "Missing argument 'NAME'"), ("dmo", 2, "demo"), ("onw.toml", 2, "own.toml"), ("own.pkl", 2, "own.toml"), ("best.pth", 2, "stgcn presets"),
        ("demo --set lr=1", 2, "optim.lr"), ("demo --set optim.lr=fast", 2, "optim.lr"), ("demo --set", 2, "requires an argument"),
        ("demo own.toml", 2, "Unexpected argument"), ("demo --jsn", 2, "No such option"),
    ],
    "checkpoint inspect": [
        ("", 2, "Missing argument 'FILE'"), ("bets.pth", 4, "best.pth"), ("own.pkl", 4, "own.pkl"), ("runs/own", 4, "runs/own"), ("own.toml", 4, "is a preset"),
        ("best.pth other.pth", 2, "Unexpected argument"), ("best.pth --jsn", 2, "--json"), ("best.pth --verbose", 2, "No such option"),
        ("best.pth", 4, "best.pth"), ("babel60", 4, "babel60"),
    ],
    "checkpoint convert": [
        ("", 2, "Missing argument 'FILE'"), ("best.pth", 2, "Missing argument 'OUT'"), ("bets.pth o.pth", 4, "best.pth"), ("own.pkl o.pth", 4, "own.pkl"),
        ("best.pth o.pth --form pyskl", 2, "mmaction2"), ("best.pth o.pth extra", 2, "Unexpected argument"),
        ("best.pth --out o.pth", 2, "No such option"), ("best.pth o.pth --form", 2, "requires an argument"),
        ("best.pth o.pth --optimiser", 2, "--optimizer"), ("runs/own o.pth", 4, "runs/own"),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with one of everything, all small; the checkpoints hold nothing."""
    folder = tmp_path_factory.mktemp("mistakes")
    records = make_records(6)
    names = [record["frame_dir"] for record in records]
    (folder / "own.pkl").write_bytes(
        pickle.dumps({"split": {"xsub_train": names[:3], "xsub_val": names[3:]}, "annotations": records})
    )
    shutil.copy(ROOT / "presets" / "demo.toml", folder / "own.toml")
    np.save(folder / "clip.npy", records[0]["keypoint"])
    (folder / "names.txt").write_text("wave\nkick\njump\n")
    (folder / "labels.csv").write_text("name,label\n" + "".join(f"{name},wave\n" for name in names))
    (folder / "clips").mkdir()
    (folder / "runs" / "own").mkdir(parents=True)
    shutil.copy(folder / "own.toml", folder / "runs" / "own" / "preset.toml")
    for path in (folder / "best.pth", folder / "runs" / "own" / "best.pth", folder / "a.npz", folder / "b.npz"):
        path.write_bytes(b"nothing")
    return folder


@pytest.mark.parametrize("command", MISTAKES)
def test_ten_mistakes_get_one_clear_answer_each(own_hooks, place, monkeypatch, capsys, command):
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "200")
    before, wrong = sorted(place.rglob("*")), []
    assert len(MISTAKES[command]) >= 10
    for words, code, answer in MISTAKES[command]:
        monkeypatch.setattr(sys, "argv", ["stgcn", *command.split(), *shlex.split(words)])
        with pytest.raises(SystemExit) as stop:
            app.main()
        out, err = capsys.readouterr()
        text = " ".join(err.split())
        errors = re.findall(r"^Error: \S", err, re.MULTILINE)
        if (
            stop.value.code != code
            or answer not in text
            or len(errors) != 1
            or "Traceback" in err
            or "defect" in err
            or out
        ):
            wrong.append(f"stgcn {command} {words}\n  {stop.value.code}, expected {code} and {answer!r}\n  {out}{text}")
    assert not wrong, "\n".join(wrong)
    assert sorted(place.rglob("*")) == before, "nothing is written"


def test_no_command_is_left_out():
    def leaves(command, path=()):
        for name, inner in getattr(command, "commands", {}).items():
            yield from leaves(inner, (*path, name))
        if not getattr(command, "commands", {}) or path == ("presets",):
            yield " ".join(path)

    import typer

    assert {*leaves(typer.main.get_command(app.app))} == {*MISTAKES}
