"""Times and memory of a GPU are those of steps in a row, as in training, without what only the first one needs."""

from types import SimpleNamespace

import pytest
import torch

from stgcn_cli.diagnostics import bench
from stgcn_cli.runtime import timing

GPU, CPU = SimpleNamespace(type="cuda"), torch.device("cpu")


@pytest.mark.parametrize(("device", "calls", "expected"), [
    (GPU, None, "wait work work work work work wait"), (GPU, 1, "wait work wait"), (CPU, None, "wait work wait"),
])  # fmt: skip
def test_no_call_of_a_run_is_waited_for(monkeypatch, device, calls, expected):
    done = []
    monkeypatch.setattr(timing, "wait", lambda _: done.append("wait"))
    assert timing.seconds_of(lambda: done.append("work"), device, calls=calls) >= 0
    assert done == expected.split()


def test_the_first_steps_workspaces_are_no_part_of_the_peak(monkeypatch):
    done = []
    monkeypatch.setattr(bench, "reset_peak", lambda _: done.append("reset"))
    monkeypatch.setattr(bench, "train_step", lambda *_: lambda *batch: done.append("step"))
    monkeypatch.setattr(bench, "batch_of", lambda *_: (None, None))
    monkeypatch.setattr(bench, "peak_bytes", lambda _: len(done))
    assert bench._peak_here(None, 8, GPU, "bf16") == 4
    assert done == ["reset", "step", "reset", "step"]
