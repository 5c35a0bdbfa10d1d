"""`train --resume`: the run's own settings, refusals of others, and a stop by a signal that loses no step."""

import json
import os
import shutil

import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.errors import UsageError
from stgcn_cli.runs import folder, settings
from stgcn_cli.runtime.stop import StopRequest
from tests.conftest import SMALL

TRAIN = ("train", "ntu60-xsub-3d", *SMALL, "--set", "train.log_every=1", "--epochs", "2")


@pytest.fixture
def recorded_run(tmp_path):
    """A run folder that was started with some settings."""
    (tmp_path / "preset.toml").touch()
    recorded = {"seed": 3, "data": [str(tmp_path / "a.pkl")], "precision": "float32", "gpus": 2, "freeze": None}
    settings.record(tmp_path, recorded)
    return tmp_path


def test_a_resumed_run_takes_what_was_recorded(recorded_run, monkeypatch):
    kept = settings.resumed(recorded_run, {"gpus": 1}, force=False)
    assert kept["seed"] == 3 and kept["data"] == (recorded_run / "a.pkl",) and kept["gpus"] == 1
    monkeypatch.chdir(recorded_run)
    same = {"seed": 3, "data": (type(recorded_run)("a.pkl"),)}
    assert settings.resumed(recorded_run, same, force=False)["seed"] == 3


def test_the_folder_of_the_data_is_no_other_data(recorded_run):
    (recorded_run / "preset.toml").write_text(presets.to_toml(presets.load("ntu60-xsub-3d")))
    (recorded_run / "ntu60.pkl").touch()
    given = {"data": (recorded_run,)}
    with pytest.raises(UsageError, match="--data"):
        settings.resumed(recorded_run, given, force=False)
    (recorded_run / "environment.json").write_text(json.dumps({"data": [str(recorded_run / "ntu60.pkl")]}))
    assert settings.resumed(recorded_run, given, force=False) == given


@pytest.mark.parametrize("given", [{"seed": 4}, {"precision": "bf16"}, {"freeze": "backbone"}, {"data": ("b.pkl",)}])
def test_a_setting_that_differs_is_refused_by_name_or_forced(recorded_run, given):
    (key,) = given
    with pytest.raises(UsageError, match=f"--{key} .*was") as refused:
        settings.resumed(recorded_run, given, force=False)
    assert "--force" in refused.value.hint
    assert settings.resumed(recorded_run, given, force=True)[key] == given[key]


def test_the_environment_of_the_start_is_kept(recorded_run):
    before = json.loads((recorded_run / "environment.json").read_text())
    settings.record(recorded_run, {"seed": 3, "gpus": 8})
    after = json.loads((recorded_run / "environment.json").read_text())
    assert after.pop("resumed")[0]["gpus"] == 8 and after == before


@pytest.mark.parametrize("text", ["[]", "{", '{"seed": "3", "gpus": true, "data": 7}'])
def test_an_odd_record_counts_as_none(tmp_path, text):
    (tmp_path / "environment.json").write_text(text)
    assert settings.recorded(tmp_path) == {"data": ()}


def test_a_run_is_found_by_path_name_preset_and_age(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "b-2"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "preset.toml").touch()
    os.utime(tmp_path / "runs" / "a" / "preset.toml", (1e9, 1e9))
    os.utime(tmp_path / "runs" / "b" / "preset.toml", (1e9 + 1, 1e9 + 1))
    runs = type(tmp_path)("runs")
    assert folder.find_run("runs/a", None, None) == runs / "a"
    assert folder.find_run("a", None, None) == runs / "a"
    assert folder.find_run("", None, "b") == runs / "b-2"
    assert folder.find_run("", None, None) == runs / "b-2"
    with pytest.raises(UsageError, match="no run in c") as refused:
        folder.find_run("c", None, None)
    assert "runs/a" in refused.value.hint and "--resume-or-start" in refused.value.hint


def test_a_run_stopped_within_an_epoch_ends_as_an_undisturbed_one(stgcn, small_data, tmp_path, monkeypatch):
    said = stgcn(*TRAIN, "--seed", "5", "--work-dir", "calm")
    assert said.code == 0, said.err
    answers = iter([False] * 4 + [True] + [False] * 99)
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "is_agreed", lambda self: next(answers))
        patch.setattr(StopRequest, "end", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        said = stgcn(*TRAIN, "--seed", "5", "--work-dir", "stopped")
    assert said.code == 130 and "Saved epoch 2, step 2. Resume: stgcn train --resume stopped" in said.err, said.err
    shutil.move(tmp_path / "stopped", tmp_path / "runs" / "elsewhere")
    said = stgcn("train", "--resume", "elsewhere")
    assert said.code == 0, said.err
    calm, resumed = (torch.load(tmp_path / name / "last.pth", weights_only=True) for name in ("calm", "runs/elsewhere"))
    assert all(torch.equal(calm["state_dict"][key], resumed["state_dict"][key]) for key in calm["state_dict"])
    assert calm["meta"]["best"] == resumed["meta"]["best"]


def test_training_ends_when_no_epoch_gets_better(stgcn, small_data, tmp_path):
    said = stgcn(*TRAIN, "--epochs", "9", "--lr", "0", "--patience", "2", "--work-dir", "x")
    assert said.code == 0 and "no better top1_acc for 2 epochs" in said.err, said.err
    meta = torch.load(tmp_path / "x" / "last.pth", weights_only=True)["meta"]
    assert meta["epoch"] == meta["best"]["epoch"] + 2 < 9
    again = stgcn("train", "--resume", "x")
    assert again.code == 0 and "no better" in again.err, again.err
    said = stgcn(*TRAIN, "--patience", "2", "--no-validate")
    assert said.code == 2 and "train.patience" in said.err


def test_a_run_whose_settings_were_not_written_yet_takes_the_given_ones(recorded_run):
    """The disk was full between preset.toml and environment.json."""
    (recorded_run / "environment.json").unlink()
    given = {"data": (recorded_run / "x.pkl",), "seed": 4}
    assert settings.resumed(recorded_run, given, force=False) == given
