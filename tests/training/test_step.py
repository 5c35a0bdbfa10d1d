"""What a run does around its steps: randomness, precision of validations, and the message of memory that runs out."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.data.loader import Clips
from stgcn_cli.diagnostics import bench
from stgcn_cli.errors import RunError
from stgcn_cli.evaluation import score
from stgcn_cli.models import build_model
from stgcn_cli.models.backbone import Network
from stgcn_cli.runs.log import NullLog
from stgcn_cli.runtime.distributed import World
from stgcn_cli.training import options, step, train
from stgcn_cli.training.optim import build_optimizer
from tests.runtime.test_memory import OF_CUDA

ALONE = World(0, 1, torch.device("cpu"))
TINY = ["data.clip_len=4", "model.num_classes=3", "train.batch_size=2"]


def context_of(*settings: str, **more: str) -> options.TrainContext:
    """Of a run of four clips in two steps."""
    preset = presets.load("ntu60-xsub-3d", [*TINY, *settings])
    split, model = bench.split_of(preset, 4), build_model(preset)
    clips = replace(Clips.of(split, preset, ALONE.device), labels=torch.tensor([0, 1, 2, 0]))
    state = options.State(model, build_optimizer(preset, model))
    job = options.Job(options.RunOptions(preset=preset, **more), (), Path())
    data = options.Dataset(split, clips)
    return options.TrainContext(
        job=job, learner=options.learner_of(job.options, ALONE, state), data=data, log=NullLog()
    )


@pytest.mark.parametrize(("dropout", "times"), [("0", 0), ("0.5", 2)])
def test_only_steps_that_draw_random_numbers_are_seeded(monkeypatch, dropout, times):
    seeded = []
    monkeypatch.setattr(step, "seed_step", lambda *where: seeded.append(where))
    step.train_epoch(context_of(f"model.dropout={dropout}"), 0)
    assert len(seeded) == times


def test_a_run_in_bf16_validates_in_float32_and_without_tf32(monkeypatch):
    seen = []

    def scores(model, clips, *, precision, **more):
        seen.append((precision, torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
        return torch.eye(3)[torch.arange(4) % 3]

    monkeypatch.setattr(score, "score_clips", scores)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    context = context_of(precision="bf16")
    context.data.split.store.labels[:] = 0
    train.validate(context, context.data, 1)
    assert seen == [("float32", False, False)] and torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("work", "message", "hint"), [
    (lambda c: step.train_epoch(c, 0), "A training step of 2 clips", "--set train.batch_size=1"),
    (lambda c: train.validate(c, c.data, 1), "An evaluation of 4 clips at a time", "--batch-size 2"),
    (lambda c: bench.peak_of_step(c.job.preset, 6, torch.device("cuda"), "bf16"), "A training step of 6 clips", "--batch-size 3"),
], ids=["train", "eval", "bench"])  # fmt: skip
def test_a_gpu_without_enough_memory_is_reported_wherever_it_computes(monkeypatch, work, message, hint):
    def full(*given: object) -> None:
        raise torch.OutOfMemoryError(OF_CUDA)

    monkeypatch.setattr(Network, "features", full)
    monkeypatch.setattr(bench, "_peak_here", full)
    with pytest.raises(RunError, match=f"{message} needs more memory than the GPU has. It asked for 2.68 GB; 1.20 GiB") as found:  # fmt: skip
        work(context_of())
    assert hint in found.value.hint
