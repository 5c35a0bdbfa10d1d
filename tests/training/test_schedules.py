"""Schedules, optimizers, averages, clipping and smoothing: each against its formula."""

import copy
import json
import math
import shutil

import pytest
import torch
from torch import nn

from stgcn_cli.config import presets
from stgcn_cli.config.schema import LossConfig, OptimConfig
from stgcn_cli.runtime.distributed import World
from stgcn_cli.training import options, step
from stgcn_cli.training.optim import WeightAverage, build_loss, build_optimizer, learning_rate
from tests.conftest import SMALL
from tests.factories.runs import assert_equal


def test_a_step_schedule_changes_at_the_start_of_its_epochs():
    config = OptimConfig(lr=0.1, steps=(10, 50))
    rates = [learning_rate(config, epoch * 7 + 6, 7, 80) for epoch in range(80)]
    assert rates == pytest.approx([0.1] * 10 + [0.01] * 40 + [0.001] * 30, rel=1e-12)


def test_a_cosine_schedule_is_that_of_pyskl():
    """lr(i) = 0.05 (1 + cos(pi i / I)) for 0.1, i from 0, I all iterations."""
    config = OptimConfig(lr=0.1, schedule="cosine")
    rates = [learning_rate(config, i, 10, 3) for i in range(30)]
    assert rates == pytest.approx([0.05 * (1 + math.cos(math.pi * i / 30)) for i in range(30)], rel=1e-12)
    lowest = learning_rate(OptimConfig(lr=0.1, schedule="cosine", min_lr=0.02), 10**6 - 1, 10**6, 1)
    assert lowest == pytest.approx(0.02, rel=1e-9)


def test_a_warm_up_rises_to_the_rate_of_the_schedule():
    config = OptimConfig(lr=0.1, warmup_epochs=1.5)
    rates = [learning_rate(config, i, 4, 5) for i in range(8)]
    assert rates == pytest.approx([0.1 * (i + 1) / 6 for i in range(6)] + [0.1] * 2)


def test_smoothing_gives_all_classes_a_share():
    logits, labels = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 3, 2, 2])
    logs = logits.log_softmax(1)
    wanted = -(0.9 * logs[torch.arange(4), labels] + 0.1 * logs.mean(1)).mean()
    assert float(build_loss(LossConfig(label_smoothing=0.1))(logits, labels)) == pytest.approx(float(wanted), rel=1e-12)


def updated(name: str, decay: float, clip: float | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight (3,) before and after a step with the gradient (3, 4, 0)."""
    preset = presets.load("demo", [f"optim.name={name}", "optim.lr=0.1", f"optim.weight_decay={decay}"])
    model = nn.Module()
    model.w = nn.Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    before = model.w.detach().clone()
    model.w.grad = torch.tensor([3.0, 4.0, 0.0], dtype=torch.float64)
    state = options.State(model, build_optimizer(preset, model))
    learner = options.Learner(
        state=state, net=model, loss=lambda *_: None, world=World(0, 1, torch.device("cpu")), clip_norm=clip
    )
    step._update(learner)
    return before, model.w.detach()


def test_each_optimizer_takes_its_own_first_step():
    gradient = torch.tensor([3.0, 4.0, 0.0], dtype=torch.float64)
    before, after = updated("sgd", 0.5)
    torch.testing.assert_close(after, before - 0.1 * 1.9 * (gradient + 0.5 * before))  # nesterov, momentum 0.9
    before, after = updated("adam", 0.5)  # a first step of Adam has the length of the rate; decay is in the gradient
    torch.testing.assert_close(after, before - 0.1 * (gradient + 0.5 * before).sign(), rtol=1e-6, atol=1e-7)
    before, after = updated("adamw", 0.5)
    torch.testing.assert_close(after, before * (1 - 0.1 * 0.5) - 0.1 * gradient.sign(), rtol=1e-6, atol=1e-7)
    before, after = updated("sgd", 0.0, clip=1.0)  # the gradient's norm is 5
    torch.testing.assert_close(after, before - 0.1 * 1.9 * gradient / 5, rtol=1e-5, atol=0)


def test_an_average_is_the_weighted_mean_of_all_weights():
    model = nn.Linear(1, 1)
    average, wanted = WeightAverage(model, 0.5), copy.deepcopy(model).weight.detach()
    for iteration, decay in enumerate([1 / 10, 2 / 11, 3 / 12, 4 / 13, 5 / 14]):
        nn.init.normal_(model.weight)
        average.update(model, iteration)
        wanted = decay * wanted + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(average.model.weight.detach(), wanted)


def test_the_last_smaller_batch_is_left_out_on_request():
    def sizes(*settings):
        preset = presets.load("demo", ["train.batch_size=4", *settings])
        return [len(each) for each in step.batches_of_epoch(options.RunOptions(preset=preset), 10, 0, 0, 1)]

    assert sizes() == [4, 4, 2] and sizes("train.drop_last=true") == [4, 4]
    assert sizes("train.drop_last=true", "train.batch_size=16") == [10]  # never all of them


EVERYTHING = ("--set", "optim.name=adamw", "--set", "optim.schedule=cosine", "--set", "optim.steps=[]", "--set",
              "optim.warmup_epochs=0.5", "--set", "optim.clip_norm=1.0", "--set", "optim.ema_decay=0.9", "--set",
              "loss.label_smoothing=0.1", "--set", "train.log_every=1", "--set", "train.drop_last=true")  # fmt: skip


@pytest.mark.parametrize("preset", ["ntu60-xsub-3d", pytest.param("ntu60-xsub-3d-agcn", marks=pytest.mark.slow)])
def test_a_run_with_every_option_resumes_to_the_same_bits(stgcn, small_data, tmp_path, preset):
    words = ("train", "--preset", preset, *SMALL, *EVERYTHING, "--checkpoint-minutes", "0", "--quiet",
             "--no-report")  # fmt: skip
    assert stgcn(*words, "--work-dir", "whole").code == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for name in ("last.pth", "epoch_2.pth"):
        (tmp_path / "cut" / name).unlink(missing_ok=True)
    done = stgcn(*words, "--work-dir", "cut", "--resume")
    assert done.code == 0, done.err
    assert_equal(tmp_path / "whole", tmp_path / "cut")
    rows = [json.loads(line) for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    rates = [row["lr"] for row in rows if row["mode"] == "train"]
    assert len(rates) == 6 and rates[0] < rates[1] > rates[-1]  # rises, then falls
    last = torch.load(tmp_path / "cut" / "last.pth", weights_only=True)
    assert not torch.equal(last["state_dict"]["cls_head.fc.weight"], last["training_state_dict"]["cls_head.fc.weight"])
