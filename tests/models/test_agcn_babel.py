"""AGCN as BABEL's program trains it: losses, gradients, buffers and features of its figures, and fresh weights of both programs."""

import json
import math
import tomllib

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stgcn_cli.config import presets
from stgcn_cli.config.schema import LossConfig
from stgcn_cli.data.loader import Clips
from stgcn_cli.data.splits import Split, open_stores
from stgcn_cli.data.streams import bone, parents
from stgcn_cli.models import build_model
from stgcn_cli.models.agcn import AGCN
from stgcn_cli.runs import agcn_names
from stgcn_cli.training.optim import build_loss
from tests.factories.weights import by_rules

NAMES = ["babel60__S", "babel60__A", "babel120__S", "babel120__A", "mm0_bone__S"]


@pytest.fixture(params=NAMES)
def figures(request, shared):
    folder = shared / "golden" / "agcn" / "forward"
    facts = json.loads((folder / f"{request.param}.json").read_text())
    return facts, np.load(folder / f"{request.param}.npz")


def reference(facts):
    """The network with the reference's weights, and its input, in float64."""
    state = by_rules(facts, {key: torch.zeros(shape) for key, shape, *_ in facts["keys"]})
    is_babel = "backbone.A" not in state
    model = AGCN("ntu", len(state["fc.bias" if is_babel else "cls_head.fc.bias"]))
    state = agcn_names.from_authors(state) if is_babel else state | {"backbone.A": model.backbone.A}
    model.load_state_dict(state)
    x = np.random.default_rng(7).normal(size=facts["input_shape"])
    if facts["variant"] == "S":
        n, c, _, v, m = facts["input_shape"]
        x = x + np.random.default_rng(11).normal(0, 2, (n, c, 1, v, m))
    x = torch.from_numpy(x.astype(np.float32))
    if facts["name"] == "mm0_bone":
        moved = x.permute(0, 4, 2, 3, 1)
        x = bone(moved, torch.tensor(parents(presets.layout_of(presets.load("ntu60-xsub-3d-agcn-bone")))), False)
        x = x.permute(0, 4, 2, 3, 1)
        assert float(x.double().sum()) == pytest.approx(facts["bone_sum"], rel=1e-6)
    return model.double(), x.double(), is_babel


def close(found, wanted, most=1e-9):
    assert float(np.abs(np.asarray(found) - wanted).max() / np.abs(wanted).max()) < most


@pytest.mark.slow
def test_a_forward_and_backward_pass_is_the_references(figures, shared):
    facts, arrays = figures
    model, x, is_babel = reference(facts)
    with torch.inference_mode():
        close(model.eval().features(x), arrays["features_eval_f64"])
        close(model(x), arrays["logits_eval_f64"])
    logits = model.train()(x)
    loss = F.cross_entropy(logits, torch.tensor(facts["labels"]))
    assert float(loss.detach()) == pytest.approx(facts["train_loss_f64"], rel=1e-12)
    gradients = dict(zip(dict(model.named_parameters()), torch.autograd.grad(loss, model.parameters()), strict=True))
    buffers = dict(model.named_buffers())
    if is_babel:
        graph = {"backbone.A": model.backbone.A}
        gradients = agcn_names.to_authors(gradients | graph, persons=1)
        buffers = agcn_names.to_authors(buffers | graph, persons=1)
    noise = set(facts["zero_gradient_parameters"])
    for name, norm in facts["grad_norm_f64"].items():
        if name not in noise:
            assert float(gradients[name].norm()) == pytest.approx(norm, rel=1e-9), name
    for key in arrays.files:
        if key.startswith("grad/"):
            close(gradients[key.removeprefix("grad/")], arrays[key])
    for name, (total, squares) in facts["buffers_after_train_forward_f64"].items():
        found = buffers[name].double()
        assert [float(found.sum()), float((found**2).sum())] == pytest.approx([total, squares], rel=1e-9, abs=1e-12)
    if is_babel:
        focal = build_loss(LossConfig("cb-focal", gamma=1.0, class_counts=counts(shared, logits.shape[1])))
        for_focal = logits.detach().requires_grad_()
        found = focal(for_focal, torch.tensor(facts["labels"]))
        found.backward()
        assert float(found.detach()) == pytest.approx(facts["train_loss_focal_gamma1_f64"], rel=1e-7)
        close(for_focal.grad, arrays["focal_grad_logits_f64"], 1e-7)


def counts(shared, classes):
    return tuple(tomllib.loads((shared / "facts" / "babel_class_counts.toml").read_text())[f"babel{classes}"])


def test_the_focal_loss_is_the_references_for_either_gamma(shared):
    folder = shared / "golden" / "agcn"
    arrays = np.load(folder / "losses.npz")
    for case in json.loads((folder / "losses.json").read_text()):
        classes, scale, gamma = case["classes"], case["scale"], case["gamma"]
        x = np.random.default_rng(100 + classes + scale).normal(size=(8, classes)) * scale
        logits = torch.from_numpy(x.astype(np.float32)).to(torch.float64).requires_grad_()
        focal = build_loss(LossConfig("cb-focal", gamma=gamma, class_counts=counts(shared, classes)))
        loss = focal(logits, torch.tensor(case["labels"]))
        loss.backward()
        assert float(loss.detach()) == pytest.approx(case["loss"], rel=1e-6 if case["dtype"] == "f32" else 1e-7), case
        close(logits.grad, arrays[f"{classes}|{scale}|{gamma}"], 1e-6)


@pytest.mark.parametrize(
    ("preset", "file"), [("ntu60-xsub-3d-agcn", "init_mmaction2_0x_agcn"), ("babel60-agcn", "init_babel_agcn")]
)
def test_fresh_weights_are_drawn_as_the_reference_draws(shared, preset, file):
    """Mean and deviation of every entry over two seeds are the reference's over five, up to chance."""
    wanted = json.loads((shared / "golden" / "agcn" / f"{file}.json").read_text())["stats"]
    drawn = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = build_model(presets.load(preset))
        state = dict(model.state_dict())
        drawn.append(agcn_names.to_authors(state, persons=1) if "babel" in file else state)
    for name, (shape, mean, deviation, largest) in wanted.items():
        values = torch.cat([state[name].flatten() for state in drawn]).double()
        assert list(drawn[0][name].shape) == shape or (name.startswith("fc") and values.numel() == 2 * math.prod(shape))
        chance = 6 * deviation * math.sqrt(1 / len(values) + 0.2 / max(1, math.prod(shape)))
        assert float(values.mean()) == pytest.approx(mean, abs=chance + 1e-12), name
        if len(values) >= 512:
            assert float(values.std()) == pytest.approx(deviation, rel=0.25, abs=1e-12), name
            assert float(values.abs().max()) == pytest.approx(largest, rel=0.5), name


def test_bones_of_real_clips_are_the_references_to_the_bit(shared):
    folder = shared / "golden" / "agcn"
    figures, arrays = json.loads((folder / "bone_batches.json").read_text()), np.load(folder / "bone_batches.npz")
    for file in ("trajectory/train.pkl", "batches/in_ntu3d.pkl"):
        store = open_stores([shared / "golden" / file])[0]
        split = Split("all", store, np.arange(len(store)))
        clips = {
            length: Clips.of(
                split, presets.load("ntu60-xsub-3d-agcn-bone", [f"data.clip_len={length}"]), torch.device("cpu")
            )
            for length in (30, 300)
        }
        for index, name in enumerate(store.names):
            if f"{name}|clip_len30" in arrays.files and file.startswith("trajectory"):
                assert np.array_equal(clips[30].batch(torch.tensor([index]))[0][0], arrays[f"{name}|clip_len30"]), name
            if name not in figures[file]:
                continue
            x, fact = clips[300].batch(torch.tensor([index]))[0][0].numpy(), figures[file][name]
            assert list(x.shape) == fact["shape"] and x.ravel()[fact["index"]].tolist() == fact["value"], name
            sums = [float(x.sum(dtype=np.float64)), float((x.astype(np.float64) ** 2).sum())]
            assert sums == pytest.approx([fact["sum"], fact["sumsq"]], rel=1e-9), name
