"""`stgcn bench`: what it measures fits together."""

import json
import math
import shlex
import subprocess
import sys

import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.diagnostics import bench
from stgcn_cli.diagnostics.bench import in_turn, percentile, ratio
from tests.conftest import environment

SMALL = ("--set", "data.clip_len=16", "--batch-size", "2", "--rounds", "2", "--device", "cpu")


def test_a_race_for_scripts(stgcn):
    said = stgcn("bench", *SMALL, "--json")
    told = json.loads(said.out)
    assert said.code == 0 and told["batch_size"] == 2 and told["rounds"] == 2 and told["clips"] == "drawn"
    for work in ("train", "evaluate"):
        times, ratios = told["seconds"][work], told["ratios"][work]
        each = sorted(a / b for a, b in zip(times["plain"], times["ours"], strict=True))
        assert (
            len(each) == 2
            and ratios["least"] == pytest.approx(each[0])
            and ratios["greatest"] == pytest.approx(each[1])
        )
        assert 0 < ratios["least"] <= ratios["median"] <= ratios["greatest"]
    assert (
        told["latency"]["ours"]["p50"] <= told["latency"]["ours"]["p95"]
        and len(told["seconds"]["latency"]["ours"]) == 20
    )
    assert set(told["parts_of_a_step"]) == {"gather", "forward", "backward", "update"}
    assert 0 < told["gather_share"] < 0.5 and 0 < told["floor_reached"] < 1.5
    assert told["bodies_computed"] == 4  # one clip of two persons, one of one, and the empty one
    clips_per_s = told["clips_per_s"]["train"]["ours"]
    assert told["training_clips"] == 40_091 and told["training_seconds"] == pytest.approx(80 * 40_091 / clips_per_s)
    assert told["prepare"]["texts"] == 120 and told["store"]["bytes"] > 1e6
    assert (
        min(told["peak_memory"].values()) > 1e8 and told["matmul_flop_per_s"] > 1e9 and told["copy_bytes_per_s"] > 1e8
    )


def test_for_people_on_real_clips(stgcn, small_data):
    said = stgcn("bench", *SMALL, "--data", small_data, "--set", "model.num_classes=3", "--quiet")
    assert said.code == 0 and said.err == ""
    for words in ("2 given clips", "one clip at a time", "gather", "reached of the floor", "for 12 clips", "95 %"):
        assert words in said.out


@pytest.mark.parametrize(("words", "code", "told"), [
    (("--device", "gpu"), 2, "auto, cpu or cuda"),
    (("--precision", "half"), 2, "bf16"),
    (("--preset", "ntu60-xsub"), 2, "ntu60-xsub-3d"),
    (("--data", "nowhere.pkl"), 3, "nowhere.pkl"),
])  # fmt: skip
def test_what_cannot_be_measured_is_said(stgcn, words, code, told):
    said = stgcn("bench", *words)
    assert said.code == code and told in said.err and not said.out


@pytest.mark.slow
def test_a_batch_that_memory_cannot_hold_is_told_with_a_smaller_one(tmp_path):
    """Under a real limit of the process's address space."""
    command = f"ulimit -v 8000000; {shlex.quote(sys.executable)} -m stgcn_cli bench --device cpu --batch-size 300"
    said = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True
    )
    assert said.returncode == 6, said.stderr
    assert "A training step of 300 clips of the plain path needs more memory than there is." in said.stderr
    assert "--batch-size 150" in said.stderr and "Traceback" not in said.stderr and not said.stdout


def test_times_in_turn_leave_out_the_first_and_pair_by_round():
    calls = []
    times = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3, torch.device("cpu"))
    assert calls == ["a", "b"] * 4 and [len(each) for each in times.values()] == [3, 3]
    assert ratio({"slow": [4.0, 9.0, 2.0], "fast": [2.0, 3.0, 2.0]}, "slow", "fast") == (2.0, 1.0, 3.0)
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0 and percentile([1.0, 2.0], 0.95) == 2.0


@pytest.mark.parametrize("name", ["ntu60-xsub-3d", "ntu60-xsub-2d", "babel60-wfl"])
def test_both_paths_take_the_same_step(name):
    preset = presets.load(name, ["data.clip_len=12"])
    cpu = torch.device("cpu")
    x, labels = bench.batch_of(preset, 5, cpu)
    assert x.shape == (5, 3, 12, 17 if "2d" in name else 25, preset.data.num_person)
    if preset.data.num_person == 2:
        second = x[..., 1].flatten(2)
        assert int((second == second[..., :1]).all(2).all(1).sum()) == 4  # NTU's share of empty persons
    losses = []
    for plain in (False, True):
        step = bench.train_step(preset, cpu, "float32", plain)
        losses.append([float(step(x, labels)[0]) for _ in range(2)])
    assert all(math.isclose(a, b, rel_tol=2e-3) for a, b in zip(*losses, strict=True)), losses


def test_class_counts_of_absent_data_are_equal():
    preset = presets.load("babel60-wfl", ["loss.class_counts=data"])
    assert set(bench.with_counts(preset).loss.class_counts) == {100}
