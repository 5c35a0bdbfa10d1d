"""Six steps of AGCN in float64 are those of MMAction2 and of BABEL's program: losses, every entry, and logits afterwards."""

import json
import tomllib

import numpy as np
import pytest
import torch

from stgcn_cli.config import presets
from stgcn_cli.data.loader import Clips
from stgcn_cli.data.splits import Split, open_stores
from stgcn_cli.models import build_model
from stgcn_cli.runs import agcn_names
from stgcn_cli.runtime.distributed import World
from stgcn_cli.training import options, step
from stgcn_cli.training.optim import build_optimizer
from tests.factories.weights import by_rules

SGD = ["optim.name=sgd", "optim.lr=0.1"]
CASES = {  # figure -> preset, settings
    "mm0_joint_S_sgd_lr0.1": ("ntu60-xsub-3d-agcn", ["data.clip_len=30"]),
    "mm0_bone_S_sgd_lr0.1": ("ntu60-xsub-3d-agcn-bone", ["data.clip_len=30"]),
    "babel60_S_adam_ce": ("babel60-agcn", []),
    "babel60_S_adam_focal": ("babel60-wfl-agcn", []),
    "babel60_S_sgd_ce": ("babel60-agcn", SGD),
    "babel120_S_adam_ce": ("babel120-agcn", []),
    "babel120_S_adam_focal": ("babel120-wfl-agcn", []),
}


def prepared(name, shared):
    """The preset, the model with the reference's weights, and the clips in batches, all in float64."""
    recipe, settings = CASES[name]
    if "wfl" in recipe:
        counts = tomllib.loads((shared / "facts" / "babel_class_counts.toml").read_text())
        settings = [*settings, f"loss.class_counts={counts[recipe.partition('-')[0]]}"]
    preset = presets.load(recipe, settings)
    golden = shared / "golden" / "agcn" / "forward"
    facts = json.loads((golden / f"{name.partition('_S_')[0]}__S.json").read_text())
    state = by_rules(facts, {key: torch.zeros(shape) for key, shape, *_ in facts["keys"]})
    model = build_model(preset)
    if "babel" in name:
        state = agcn_names.from_authors(state)
    model.load_state_dict(state | {"backbone.A": model.state_dict()["backbone.A"]})
    file, size = ("train_babel.pkl", 4) if "babel" in name else ("train.pkl", 8)
    store = open_stores([shared / "golden" / "trajectory" / file])[0]
    split = Split("train", store, np.arange(12 if "babel" in name else 48))
    clips = Clips.of(split, preset, torch.device("cpu"), torch.float64)
    return preset, model.double(), clips, torch.arange(len(clips)).split(size) * (6 * size // len(clips))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_six_steps_in_float64_are_those_of_the_reference(shared, name):
    folder = shared / "golden" / "agcn" / "trajectory"
    file = "trajectory_babel" if "babel" in name else "trajectory_mm0"
    figures, arrays = json.loads((folder / f"{file}.json").read_text()), np.load(folder / f"{file}.npz")
    preset, model, clips, batches = prepared(name, shared)
    alone = World(0, 1, torch.device("cpu"))
    state = options.State(model, build_optimizer(preset, model))
    learner = options.learner_of(options.RunOptions(preset=preset), alone, state)
    step.set_training(model, None)
    losses = [float(step.step(learner, step.Batch(*clips.batch(index)))[0]) for index in batches]
    np.testing.assert_allclose(losses, figures[f"{name}_f64"]["losses"], rtol=1e-6)
    with torch.inference_mode():
        logits = model.eval()(clips.batch(torch.arange(8))[0]).numpy()
    wanted = arrays[f"{name}_f64|final_logits_first8"]
    assert np.abs(logits - wanted).max() / np.abs(wanted).max() < 1e-6
    ours = model.state_dict()
    if "babel" in name:
        ours = agcn_names.to_authors(ours, persons=1)
    for key, (total, squares) in figures[f"{name}_f64"]["final_param_sums"].items():
        if not key.endswith("num_batches_tracked") and "bias" not in key:  # some biases are noise under Adam
            found = [float(ours[key].sum()), float((ours[key] ** 2).sum())]
            assert found == pytest.approx([total, squares], rel=1e-6, abs=1e-8), key
