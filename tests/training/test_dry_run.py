import json
from pathlib import Path

import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.data.splits import find_split, open_stores
from stgcn_cli.errors import DataError, RunError
from stgcn_cli.io.reporter import SILENT
from stgcn_cli.training import dry_run
from stgcn_cli.training.options import RunOptions
from tests.cli.runner import run_stgcn
from tests.conftest import SMALL, write_small_data
from tests.runtime.test_memory import OF_CUDA

TRAIN = ("train", "--preset", "ntu60-xsub-3d", *SMALL, "--epochs", "3")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data and a finished run of three epochs."""
    folder = tmp_path_factory.mktemp("place")
    write_small_data(folder / "data")
    said = run_stgcn(folder, *TRAIN)
    assert said.code == 0, said.err
    return folder


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_plan_writes_nothing_and_describes_the_training(place):
    before = files(place)
    said = run_stgcn(place, *TRAIN, "--dry-run", "--json")
    assert said.code == 0, said.err
    assert files(place) == before
    told, run = json.loads(said.out), place / "runs" / "ntu60-xsub-3d"
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert told["steps_per_epoch"] == max(r["iter"] for r in log if r["mode"] == "train")
    assert told["validations"] == sum(r["mode"] == "val" for r in log)
    assert told["checkpoints"] == len(list(run.glob("epoch_*.pth")))
    assert not (run / "tensorboard").exists()  # only with its flag
    written = {path.stat().st_ino: path.stat().st_size for path in run.glob("*.pth")}
    assert told["disk"] == pytest.approx(sum(written.values()), rel=0.02)
    state = torch.load(run / "best.pth", weights_only=True)["state_dict"]
    counted = ("backbone.A", "running_mean", "running_var", "num_batches_tracked")
    assert told["parameters"] == sum(t.numel() for key, t in state.items() if not key.endswith(counted))
    assert told["folder"] == "runs/ntu60-xsub-3d-2" and told["clips"] == {"xsub_train": 12, "xsub_val": 6}
    assert 0 < told["seconds_per_step"] < told["seconds"] and 4 * told["parameters"] < told["memory_of_a_process"]


def test_people_get_a_table_with_rates_processes_and_how_it_was_measured(place):
    words = ("--set", "optim.steps=[1]", "--gpus", "2", "--work-dir", "two", "--no-validate")
    said = run_stgcn(place, *TRAIN, "--dry-run", *words)
    assert said.code == 0, said.err
    for text in ("0.01; 0.001 from epoch 2", "4 clips, 2 processes x 2", "GFLOP a clip", "two", "validation     none"):
        assert text in said.out, said.out
    assert "two real steps of the real batch" in said.err
    assert not (place / "two").exists()


def test_epochs_that_a_run_has_are_not_planned_again(place):
    said = run_stgcn(place, *TRAIN, "--epochs", "5", "--resume", "--dry-run", "--json")
    told = json.loads(said.out)
    assert (told["epochs"], told["epochs_done"], told["checkpoints"]) == (5, 3, 1)


def test_what_training_refuses_is_refused(place, monkeypatch):
    said = run_stgcn(place, *TRAIN, "--dry-run", "--work-dir", "runs/ntu60-xsub-3d")
    assert said.code == 2 and "already contains a run" in said.err, said.err
    monkeypatch.chdir(place)
    with pytest.raises(DataError, match="the model has 2 classes"):
        dry_run.plan_run(RunOptions(preset=presets.load("ntu60-xsub-3d", ["model.num_classes=2"])), SILENT)
    with pytest.raises(DataError, match=r"nowhere\.pkl not found"):
        dry_run.plan_run(RunOptions(preset=presets.load("ntu60-xsub-3d"), data=(Path("nowhere.pkl"),)), SILENT)


def test_memory_that_runs_out_in_the_measurement_is_reported(place, monkeypatch):
    def full(*given):
        raise torch.OutOfMemoryError(OF_CUDA)

    monkeypatch.chdir(place)
    monkeypatch.setattr(dry_run, "measure", full)
    preset = presets.load("ntu60-xsub-3d", ["model.num_classes=3"])
    with pytest.raises(RunError, match="A training step of 32 clips needs more memory than the GPU has"):
        dry_run.plan_run(RunOptions(preset=preset, data=(place / "data",)), SILENT)


@pytest.mark.slow
def test_memory_of_a_batch_is_estimated_from_a_part_of_it(place, monkeypatch):
    """The part is measured, the rest is added: near to what the whole batch takes."""
    preset = presets.load("ntu60-xsub-3d", ["data.clip_len=32", "model.num_classes=3", "train.batch_size=8"])
    split = find_split(open_stores([place / "data" / "ntu60.pkl"]), "xsub_train")
    options = RunOptions(preset=preset)
    monkeypatch.setattr(dry_run, "_SECONDS", 0)
    part = dry_run.measure(options, split)
    assert not part.is_whole and part.clips == 2 and part.batch == 8
    monkeypatch.setattr(dry_run, "_SECONDS", 1e6)
    whole = dry_run.measure(options, split)
    assert whole.is_whole and whole.memory / 2 < part.memory < whole.memory * 2
