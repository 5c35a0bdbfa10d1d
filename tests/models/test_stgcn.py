"""ST-GCN: the published figures to the digit, and that its short cuts change nothing."""

import copy
import json
import tomllib

import numpy as np
import pytest
import torch

from stgcn_cli.config.schema import LossConfig
from stgcn_cli.models.deduplicate import rounded_up
from stgcn_cli.models.stgcn import STGCN
from stgcn_cli.training.optim import build_loss
from tests.cli.runner import ROOT
from tests.factories.network_input import drawn_input, drawn_weights

FIGURES = ["ntu60-3d-a", "ntu60-3d", "ntu60-2d", "babel60", "babel60-wfl"]
PRECISIONS = {"f32": torch.float32, "f64": torch.float64}


def model_for(figures, name: str, dtype: torch.dtype) -> STGCN:
    model = STGCN("coco" if figures["input_shape"][3] == 17 else "ntu", 60)
    model.load_state_dict(drawn_weights(model, importance_near_one=not name.endswith("-a")), strict=True)
    return model.to(dtype)


def loss_for(name: str):
    if name != "babel60-wfl":
        return build_loss(LossConfig())
    preset = tomllib.loads((ROOT / "presets" / "babel60-wfl.toml").read_text())
    return build_loss(LossConfig(name="cb-focal", class_counts=tuple(preset["loss"]["class_counts"])))


def sums(tensor) -> list[float]:
    return [float(tensor.double().sum()), float(tensor.double().square().sum())]


def test_names_order_shapes_and_types_are_published(golden):
    names = json.loads((golden / "forward" / "names.json").read_text())
    model = STGCN("ntu", 60)
    said = {name: [list(t.shape), str(t.dtype).removeprefix("torch.")] for name, t in model.state_dict().items()}
    assert list(said.items()) == list(names["state_dict"].items())
    assert [name for name, _ in model.named_parameters()] == names["parameters"]


@pytest.mark.parametrize(
    "layout, classes, count", [("ntu", 60, 3_098_832), ("coco", 60, 3_088_704), ("ntu", 120, 3_114_252)]
)
def test_size(layout, classes, count):
    assert sum(p.numel() for p in STGCN(layout, classes).parameters()) == count


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", FIGURES)
def test_evaluation_equals_the_reference(golden, name, precision):
    figures = np.load(golden / "forward" / f"{name}.npz")
    model = model_for(figures, name, PRECISIONS[precision]).eval()
    for key, second in (("logits", False), ("logits2", True)):
        if f"{key}_{precision}" in figures:
            expected = figures[f"{key}_{precision}"]
            with torch.no_grad():
                logits = model(drawn_input(tuple(figures["input_shape"]), second).to(PRECISIONS[precision]))
            tolerance = {"f32": 1e-5, "f64": 1e-9}[precision] * abs(expected).max()
            np.testing.assert_allclose(logits, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", [pytest.param(FIGURES[0], marks=pytest.mark.slow), *FIGURES[1:]])  # other weights
def test_a_training_step_equals_the_reference(golden, name, precision):
    figures = np.load(golden / "forward" / f"{name}.npz")
    model = model_for(figures, name, PRECISIONS[precision]).train()
    x = drawn_input(tuple(figures["input_shape"])).to(PRECISIONS[precision])
    loss = loss_for(name)(model(x), torch.tensor([3, 59]))
    loss.backward()
    exact = precision == "f64"
    # The reference rounds the focal loss's class weights to float32. In float32 ReLUs near zero fall either way.
    near = (1e-7 if name == "babel60-wfl" else 1e-9) if exact else 2e-2
    norms = figures[f"grad_norms_{precision}"]
    assert float(loss.detach()) == pytest.approx(float(figures[f"loss_{precision}"]), rel=1e-7 if exact else 1e-6)
    # BatchNorm takes out the bias before it, so the true gradient of that bias is 0 and what is left is rounding.
    rounding = (1e-12 if exact else 3e-5) * max(norms)
    np.testing.assert_allclose([float(p.grad.norm()) for p in model.parameters()], norms, near, rounding)
    buffers = [sums(buffer) for buffer in model.buffers()]
    np.testing.assert_allclose(buffers, figures[f"buffers_{precision}"], *((1e-9, 1e-12) if exact else (1e-4, 1e-5)))


def with_copies(shape, empty: float) -> torch.Tensor:
    x = torch.randn(shape, dtype=torch.float64)
    x[torch.tensor([0, 2, 3]), ..., 1] = empty
    return x


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout, frames, empty", [("coco", 20, -0.5), ("ntu", 7, 0.0), ("openpose-18", 1, 0.0)])
def test_computing_equal_bodies_once_changes_nothing(layout, frames, empty, training):
    torch.manual_seed(0)
    once = STGCN(layout, 7)
    once.load_state_dict(drawn_weights(once))
    once.double().train(training)
    each = copy.deepcopy(once)
    each.backbone.find_copies = lambda *_: None
    x = with_copies((5, 3, frames, once.backbone.A.shape[1], 2), empty)
    assert once.backbone.find_copies(x.permute(0, 4, 2, 3, 1).flatten(0, 1))[2] == 3
    weights = torch.randn(5, 7, dtype=torch.float64)
    outputs = [model(x) for model in (once, each)]
    torch.testing.assert_close(*outputs, rtol=1e-10, atol=1e-10)
    for out in outputs:
        (out * weights).sum().backward()
    for (name, p), q in zip(once.named_parameters(), each.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-7, atol=1e-9, msg=name)
    for p, q in zip(once.buffers(), each.buffers(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-12)


def bodies_computed(model: STGCN, x: torch.Tensor) -> int:
    """How many bodies of x reach the first block in an evaluation."""
    seen = []
    handle = model.backbone.st_gcn_networks[0].register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    with torch.inference_mode():
        model(x)
    handle.remove()
    return seen[0]


def test_evaluation_computes_the_empty_person_once_for_all_batches():
    model = STGCN("ntu", 4).eval()
    x = with_copies((5, 3, 12, 25, 2), 0.0).float()
    assert [bodies_computed(model, each) for each in (x, x, x[:1], x[1:2], x[2:])] == [8, 7, 1, 2, 4]


def test_bodies_that_fill_a_size_up_change_nothing(monkeypatch):
    monkeypatch.setattr("stgcn_cli.models.backbone.rounded_up", lambda kept, _: rounded_up(kept, 4))
    model = STGCN("ntu", 4).double().eval()
    x = with_copies((5, 3, 12, 25, 2), 0.0)
    assert [bodies_computed(model, each) for each in (x, x[:1], x[1:3])] == [8, 1, 4]
    with torch.no_grad():
        torch.testing.assert_close(model(x), model.plain(x), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("change", [
    lambda model, x: (model, x[:, :, :8]),
    lambda model, x: (model, torch.where(x == 0, -1, x)),
    lambda model, x: (model.double(), x.double()),
    lambda model, x: (model, x) if model.backbone.data_bn.running_mean.add_(1).any() else None,
    lambda model, x: (model, x) if model.load_state_dict(STGCN("ntu", 4).state_dict()) else None,
    lambda model, x: (model.train().eval(), x) if model.backbone.edge_importance[3].data.mul_(2).any() else None,
], ids=["length", "constant", "type", "statistics", "weights", "data"])  # fmt: skip
def test_features_of_the_empty_person_are_not_kept_too_long(change):
    model, x = STGCN("ntu", 4).eval(), with_copies((5, 3, 12, 25, 2), 0.0).float()
    model.load_state_dict(drawn_weights(model))
    assert bodies_computed(model, x) == 8
    with torch.inference_mode(False), torch.no_grad():
        model, x = change(model, x)
        plain = model.plain(x)
        torch.testing.assert_close(model(x), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("x", [torch.zeros(2, 3, 8, 25, 2), torch.randn(1, 3, 8, 25, 1)], ids=["all empty", "one body"])
def test_batches_without_a_short_cut(x):
    for model in (STGCN("ntu", 4).train(), STGCN("ntu", 4).eval()):
        assert model(x).isfinite().all()


def test_every_parameter_gets_a_gradient_under_autocast():
    model = STGCN("ntu", 4)
    x = with_copies((4, 3, 16, 25, 2), 0.0).float()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
    logits.square().sum().backward()
    assert logits.dtype == torch.float32
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_bfloat16_evaluation_stays_near_float32():
    model = STGCN("ntu", 60).eval()
    model.load_state_dict(drawn_weights(model))
    x = drawn_input((2, 3, 60, 25, 2))
    with torch.no_grad():
        exact = model(x)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(x)
    assert (rounded - exact).abs().max() < 0.03 * exact.abs().max()


def test_any_strides_and_float_type():
    model = STGCN("ntu", 4).eval()
    x = torch.randn(2, 2, 25, 9, 3).half().permute(0, 4, 3, 2, 1)
    torch.testing.assert_close(model(x), model(x.contiguous().float()))


def test_dropout_and_the_corrected_partition_train():
    model = STGCN("ntu", 4, partition="spatial-corrected", dropout=0.5)
    x = torch.randn(2, 3, 8, 25, 2)
    assert not torch.equal(model(x), model(x))
