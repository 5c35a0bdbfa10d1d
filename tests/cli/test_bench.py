"""`stgcn bench`: what it measures fits together."""

import json
import shlex
import subprocess
import sys

import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.diagnostics import bench
from tests.cli.runner import environment

SMALL = ("--set", "data.clip_len=16", "--batch-size", "2", "--rounds", "2", "--device", "cpu")


def test_the_figures_fit_together(stgcn):
    said = stgcn("bench", *SMALL, "--json")
    found = json.loads(said.out)
    assert said.code == 0 and found["batch_size"] == 2 and found["rounds"] == 2 and found["clips"] == "random"
    for work in ("train", "evaluate"):
        times, speed = found["seconds"][work], found["clips_per_s"][work]
        assert len(times) == 2 and 0 < speed["least"] <= speed["median"] <= speed["greatest"]
        assert speed["greatest"] == pytest.approx(2 / min(times)) and speed["least"] == pytest.approx(2 / max(times))
    assert found["latency"]["p50"] <= found["latency"]["p95"] and len(found["seconds"]["latency"]) == 20
    assert set(found["phases"]) == {"gather", "forward", "backward", "update"} and min(found["phases"].values()) > 0
    clips_per_s = found["clips_per_s"]["train"]["median"]
    assert found["training_clips"] == 40_091 and found["training_seconds"] == pytest.approx(80 * 40_091 / clips_per_s)
    assert found["peak_memory"] > 1e8


def test_for_people_on_real_clips(stgcn, small_data):
    said = stgcn("bench", *SMALL, "--data", small_data, "--set", "model.num_classes=3", "--quiet")
    assert said.code == 0 and said.err == ""
    for words in ("2 given clips", "evaluation", "gather", "latency of a clip", "for 12 clips", "95th percentile"):
        assert words in said.out


@pytest.mark.parametrize(("words", "code", "told"), [
    (("--device", "gpu"), 2, "auto, cpu or cuda"),
    (("--precision", "half"), 2, "bf16"),
    (("--preset", "ntu60-xsub"), 2, "stgcn presets"),
    (("--data", "nowhere.pkl"), 3, "nowhere.pkl"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused(stgcn, words, code, told):
    said = stgcn("bench", *words)
    assert said.code == code and told in said.err and not said.out


@pytest.mark.slow
def test_a_batch_that_memory_cannot_hold_is_reported_with_a_smaller_one(tmp_path):
    """Under a real limit of the process's address space."""
    command = f"ulimit -v 8000000; {shlex.quote(sys.executable)} -m stgcn_cli bench --device cpu --batch-size 300"
    said = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True
    )
    assert said.returncode == 6, said.stderr
    assert "A training step of 300 clips needs more memory than this machine has." in said.stderr
    assert "--batch-size 150" in said.stderr and "Traceback" not in said.stderr and not said.stdout


def test_percentiles():
    assert bench.percentile([3.0, 1.0, 2.0], 0.5) == 2.0 and bench.percentile([1.0, 2.0], 0.95) == 2.0


@pytest.mark.parametrize("name", ["ntu60-xsub-3d", "ntu60-xsub-2d", "babel60-wfl"])
def test_drawn_clips_have_the_shapes_and_persons_of_the_preset(name):
    preset = presets.load(name, ["data.clip_len=12"])
    x, labels = bench.batch_of(preset, 5, torch.device("cpu"))
    assert x.shape == (5, 3, 12, 17 if "2d" in name else 25, preset.data.num_person)
    if preset.data.num_person == 2:
        second = x[..., 1].flatten(2)
        assert int((second == second[..., :1]).all(2).all(1).sum()) == 4  # NTU's share of empty persons
    step = bench.train_step(preset, torch.device("cpu"), "float32")
    assert all(float(step(x, labels)[0]) > 0 for _ in range(2))


def test_class_counts_of_absent_data_are_equal():
    preset = presets.load("babel60-wfl", ["loss.class_counts=data"])
    assert set(bench.with_counts(preset).loss.class_counts) == {100}
