"""Switches of the process: what a run asked for stays, and is given back."""

import pytest
import torch

from stgcn_cli.diagnostics import selftest
from stgcn_cli.runtime import precision


@pytest.fixture(autouse=True)
def switches_as_before():
    kept = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(kept[0])
    torch.backends.cudnn.benchmark = kept[1]
    torch.backends.cuda.matmul.allow_tf32 = False


def test_an_evaluation_in_a_deterministic_run_stays_deterministic(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    precision.set_up("bf16", deterministic=True)
    precision.set_up("float32")
    assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
    assert not torch.utils.deterministic.fill_uninitialized_memory
    assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
    precision.set_up("float32", deterministic=False)
    assert not torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.benchmark


def test_the_self_test_computes_without_tf32_and_gives_the_switches_back(monkeypatch):
    seen = []

    def figures(device, dtype):
        seen.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
        return [torch.ones(2)]

    monkeypatch.setattr(selftest, "_figures", figures)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    assert not selftest._computes("cpu").advice
    assert seen == [(False, False)] * 2
    assert torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("of_run, of_evaluation", [("bf16", "float32"), ("tf32", "float32"), ("float64", "float64")])
def test_validation_has_the_precision_of_eval(of_run, of_evaluation):
    assert precision.evaluation_precision(of_run) == of_evaluation
