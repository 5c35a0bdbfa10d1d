"""Steps over tensors that stay where they are: on the CPU they are called where a GPU would replay a graph."""

import functools
import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from stgcn_cli.config import presets
from stgcn_cli.data.loader import Clips
from stgcn_cli.diagnostics import bench
from stgcn_cli.errors import UsageError
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint
from stgcn_cli.runtime.distributed import LaunchConfig, World
from stgcn_cli.training import static_step
from stgcn_cli.training.optim import build_loss, build_optimizer
from stgcn_cli.training.options import Learner, RunOptions, State
from stgcn_cli.training.step import EagerSteps
from tests.conftest import SMALL

CPU = torch.device("cpu")
RECIPES = {
    "sgd": ("ntu60-xsub-3d", "train.batch_size=5", "optim.steps=[1, 2]"),  # 5, 5 and 2 clips; three learning rates
    "adam": ("ntu60-xsub-3d-agcn", "train.batch_size=8", "optim.schedule=cosine", "optim.steps=[]", "model.dropout=0.3",
             "data.sampling=uniform", 'data.augment=["mirror","scale"]', "data.pre_normalize=none", "data.normalize=none",
             "optim.ema_decay=0.9", "optim.clip_norm=1.0", "loss.label_smoothing=0.1"),
}  # fmt: skip


def losses(folder) -> list[float]:
    return [found["loss"] for line in (folder / "log.jsonl").read_text().splitlines() if (found := json.loads(line))["mode"] == "train"]  # fmt: skip


def after_steps(kind, split, preset, device=CPU, change=lambda model: None, dtype=torch.float32) -> list[torch.Tensor]:
    """Weights, momenta and outputs after steps of 4, 4, 4 and 2 clips with changing rates, of which two repeat a recording."""
    torch.manual_seed(0)
    model = build_model(preset).to(device, dtype)
    change(model)
    state = State(model, build_optimizer(preset, model))
    learner = Learner(state=state, net=model.train(), loss=build_loss(preset.loss), world=World(0, 1, device))
    clips, outputs = Clips.of(split, preset, device, dtype), []
    clips = replace(clips, labels=bench.labels_of(preset, 14, device))
    steps = kind(RunOptions(preset=preset, precision=str(dtype).removeprefix("torch.")), learner, clips)
    for number, index in enumerate(torch.arange(14).split(4)):
        steps.prepare(index, clips.placed(index), number)
        outputs += steps.take(0.1 / (1 + number))
    momenta = [each for kept in state.optimizer.state.values() for each in kept.values()]
    return [*outputs, *model.state_dict().values(), *momenta]


def test_static_steps_equal_eager_ones_bit_for_bit():
    preset = presets.load("ntu60-xsub-3d", ["data.clip_len=8", "model.num_classes=4", "train.batch_size=4"])
    split = bench.split_of(preset, 14)
    eager, static = (after_steps(kind, split, preset) for kind in (EagerSteps, static_step.StaticSteps))
    assert all(torch.equal(one, other) for one, other in zip(eager, static, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_they_equal_ordinary_steps_bit_for_bit_and_so_does_a_resumed_run(stgcn, small_data, tmp_path, recipe):
    preset, *settings = RECIPES[recipe]
    words = ["train", preset, *SMALL, "--no-validate", "--no-report", "--quiet", "--epochs", "3", "--work-dir"]
    more = [
        word for setting in (*settings, "train.checkpoint_every=1", "train.log_every=1") for word in ("--set", setting)
    ]
    for folder, flags in {
        "eager": (), "static": ("--cuda-graph",), "resumed": ("--cuda-graph", "--resume-from", "static/epoch_1.pth")
    }.items():  # fmt: skip
        ran = stgcn(*words, folder, *more, *flags)
        assert ran.code == 0, ran.err
    eager, static, resumed = (checkpoint.read(tmp_path / name / "last.pth") for name in ("eager", "static", "resumed"))
    for other in (static, resumed):
        assert all(torch.equal(value, other.state[name]) for name, value in eager.state.items())
        torch.testing.assert_close(other.optimizer, eager.optimizer, rtol=0, atol=0)
    assert losses(tmp_path / "static") == losses(tmp_path / "eager")
    assert len(losses(tmp_path / "eager")) > len(losses(tmp_path / "resumed")) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ntu60-xsub-3d", "ntu60-xsub-3d-agcn", "ntu60-xsub-3d-stgcnpp"])
def test_what_torch_compiles_gives_the_same_numbers(name):
    """Traced as for a compiler, and run as it is: it has no wait, and writes over nothing that is still needed."""
    preset = presets.load(name, ["data.clip_len=8", "train.batch_size=4"])
    split, ways = (
        bench.split_of(preset, 14),
        (lambda model: None, functools.partial(static_step.compile_blocks, backend="aot_eager", most=2)),
    )
    eager, traced = (after_steps(EagerSteps, split, preset, CPU, change, torch.float64) for change in ways)
    for one, other in zip(eager, traced, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cuda_graph": True, "launch": LaunchConfig("cpu", gpus=2)}, "--cuda-graph works in one process only"),
        ({"cuda_graph": True, "skip_nonfinite": 1}, "--skip-nonfinite looks at each loss"),
        ({"compile": True}, r"--compile needs a C\+\+ compiler; no-such-compiler was not found"),
    ],
)
def test_what_cannot_be_is_refused_in_words(monkeypatch, changed, message):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UsageError, match=message) as refused:
        static_step.check_options(RunOptions(preset=None, **changed))  # type: ignore[arg-type]
    assert refused.value.hint


def test_on_a_gpu_the_learning_rate_is_a_tensor_for_the_time_of_a_step():
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], 0.1)
    steps = static_step.StaticSteps.__new__(static_step.StaticSteps)
    steps.lr, steps.lr_on_device = 0.5, torch.tensor(0.5)
    steps.recorder = Settings()
    steps.learner = type("Learner", (), {"state": type("State", (), {"optimizer": optimizer})})
    with steps._learning_rate():
        assert optimizer.param_groups[0]["lr"] is steps.lr_on_device
    assert optimizer.param_groups[0]["lr"] == 0.5 and type(optimizer.param_groups[0]["lr"]) is float
    assert "capturable" not in optimizer.param_groups[0]  # SGD has no such setting


class Settings(static_step.Recorder):
    def optimizer_settings(self, lr):
        return {"lr": lr, "capturable": True}
