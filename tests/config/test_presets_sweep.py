"""Every shipped preset: loads, builds, takes one step, and its checkpoint comes back as it was."""

import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.io.reporter import SILENT
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint, resolve
from stgcn_cli.training import options, start
from stgcn_cli.training.optim import build_loss, build_optimizer


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_builds_steps_and_its_checkpoint_comes_back(name, tmp_path):
    preset = presets.load(name)
    if preset.loss.class_counts == "data":  # a training counts first
        preset = presets.load(name, [f"loss.class_counts={[1] * preset.model.num_classes}"])
    model = build_model(preset).train()
    state = options.State(model, build_optimizer(preset, model), epoch=1)
    joints = len(LAYOUTS[preset.data.layout].joints)
    x = torch.randn(2, len(preset.data.channels), 8, joints, preset.data.num_person)
    loss = build_loss(preset.loss)(model(x), torch.tensor([0, preset.model.num_classes - 1]))
    loss.backward()
    assert torch.isfinite(loss) and all(p.grad is not None for p in model.parameters())
    state.optimizer.step()
    start.save_epoch(options.Job(options.RunOptions(preset=preset), (), tmp_path), state, {}, is_best=True)

    read = checkpoint.read(tmp_path / "last.pth")
    assert resolve.preset_of(read, resolve.EvalOptions(checkpoint=str(read.path)), SILENT) == preset
    again = build_model(preset)
    checkpoint.load_into(again, read)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    checkpoint.load_optimizer(build_optimizer(preset, again), read)
