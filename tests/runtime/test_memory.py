"""Memory that runs out is a message with batch, bytes wanted and free, and what to try; other errors stay what they are."""

import sys

import pytest
import torch

from stgcn_cli.cli import app
from stgcn_cli.config import presets
from stgcn_cli.errors import FAILED_RUN, RunError
from stgcn_cli.runtime.distributed import LaunchConfig, _first_error
from stgcn_cli.runtime.memory import memory_errors
from stgcn_cli.training import options, step

OF_CUDA = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.20 GiB is free. "
    "Process 7 has 77 GiB memory in use."
)


def raised(error: BaseException, hint: str = "Try less.") -> RunError:
    with pytest.raises(RunError) as found, memory_errors("A training step of 32 clips", hint):
        raise error
    return found.value


def test_of_a_gpu():
    found = raised(torch.OutOfMemoryError(OF_CUDA))
    assert found.message == (
        "A training step of 32 clips needs more memory than the GPU has. It asked for 2.68 GB; 1.20 GiB of 79.11 GiB are free."
    )
    assert found.hint == "Try less."


def test_of_the_machine():
    with pytest.raises(RunError, match=r"It asked for 4,000 TB; .* are free"), memory_errors("It", ""):
        torch.empty(10**15)


def test_other_errors_stay():
    with pytest.raises(RuntimeError, match="shapes"), memory_errors("It", ""):
        raise RuntimeError("shapes differ")


def test_of_a_rank_that_had_no_words_for_it():
    found = _first_error(1, {"message": f"OutOfMemoryError: {OF_CUDA}"}, 1)
    assert "Rank 1 needs more memory than the GPU has" in found.message and "--resume" not in found.hint


def test_what_training_offers():
    preset = presets.load("ntu60-xsub-3d")
    on_gpu = options.RunOptions(preset=preset, launch=LaunchConfig("cuda"), precision="float32")
    half = preset.train.batch_size // 2
    for words in ("--gpus", "--precision bf16", f"--set train.batch_size={half}"):
        assert words in step.memory_hint(on_gpu)
    on_cpu = options.RunOptions(preset=preset, launch=LaunchConfig("cpu"), precision="bf16")
    assert "--gpus" not in step.memory_hint(on_cpu) and "--precision" not in step.memory_hint(on_cpu)


@pytest.mark.parametrize(("text", "shown"), [
    (OF_CUDA, "This command needs more memory than the GPU has. It asked for 2.68 GB"), ("shapes differ", "a defect of stgcn"),
])  # fmt: skip
def test_of_a_command_that_has_no_words_for_it(monkeypatch, text, shown):
    def full(*given: object, **more: object) -> None:
        raise torch.OutOfMemoryError(text) if text is OF_CUDA else RuntimeError(text)

    failed = []
    monkeypatch.setattr(app, "app", full)
    monkeypatch.setattr(app.signal, "signal", lambda *_: None)
    monkeypatch.setattr(app.console, "fail", lambda *words: failed.append(" ".join(words)))
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == FAILED_RUN and shown in failed[0]
