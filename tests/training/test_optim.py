"""Losses: the reference's figures, and finite where the reference is not."""

import tomllib

import numpy as np
import pytest
import torch

from stgcn_cli.training.optim import cb_focal_loss, class_weights, cross_entropy
from tests.cli.runner import ROOT

EXTREMES = [f"extreme_{sign}{size}" for sign in "+-" for size in (50, 80, 88, 89, 100)]
CASES = ["normal", "normal_x5", "normal_x30", *EXTREMES, "pm100", "single"]


@pytest.fixture(scope="module")
def figures():
    return np.load(ROOT / "tests" / "golden" / "losses" / "losses.npz")


def both(loss_of, figures, case: str, dtype: torch.dtype):
    """Loss and gradient of the logits."""
    x = torch.tensor(figures[f"in/60/{case}/x"]).to(dtype).requires_grad_()
    loss = loss_of(x, torch.tensor(figures[f"in/60/{case}/y"]))
    loss.backward()
    return loss.detach(), x.grad


def focal(figures, gamma: float = 2.0):
    weights = torch.tensor(figures["weights_60"])
    return lambda x, y: cb_focal_loss(x, y, weights, gamma)


def largest(expected, relative: float) -> dict[str, float]:
    return {"rtol": relative, "atol": relative * abs(expected).max() + 1e-12}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name, relative", [("cb", 1e-7), ("ce", 1e-12)])
def test_float64_equals_the_reference(figures, case, name, relative):
    loss, grad = both(focal(figures) if name == "cb" else cross_entropy, figures, case, torch.float64)
    expected = figures[f"{name}/60/{case}/f64/grad"]
    np.testing.assert_allclose(loss, figures[f"{name}/60/{case}/f64/loss"], rtol=relative, atol=1e-12)
    np.testing.assert_allclose(grad, expected, **largest(expected, relative))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["cb", "ce"])
def test_float32_gives_the_float64_values_where_the_reference_overflows(figures, case, name):
    loss, grad = both(focal(figures) if name == "cb" else cross_entropy, figures, case, torch.float32)
    expected = figures[f"{name}/60/{case}/f64/grad"]
    np.testing.assert_allclose(loss, figures[f"{name}/60/{case}/f64/loss"], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-6 * abs(expected).max() + 1e-12)


@pytest.mark.parametrize("case", CASES)
def test_gamma_zero_is_plain_weighted_cross_entropy(figures, case):
    loss, grad = both(focal(figures, gamma=0.0), figures, case, torch.float32)
    expected = figures[f"cb_g0/60/{case}/f32/grad"]
    np.testing.assert_allclose(loss, figures[f"cb_g0/60/{case}/f32/loss"], rtol=1e-5)
    np.testing.assert_allclose(grad, expected, **largest(expected, 1e-5))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_logits_are_computed_in_float32(figures, dtype):
    x, y = torch.full((2, 60), -20.0), torch.tensor([3, 59])
    for loss_of in (focal(figures), cross_entropy):
        half = x.to(dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(half, y)
        loss.backward()
        assert loss.dtype == torch.float32 and half.grad.isfinite().all()
        torch.testing.assert_close(loss.detach(), loss_of(x, y))


def test_published_class_weights(figures):
    counts = tomllib.loads((ROOT / "presets" / "babel60-wfl.toml").read_text())["loss"]["class_counts"]
    np.testing.assert_allclose(class_weights(counts), figures["weights_60"], rtol=1e-7)


def test_a_class_without_clips_weighs_nothing():
    weights = class_weights([10, 0, 1000])
    assert weights[1] == 0 and weights[0] > weights[2] > 0
    assert float(weights.sum()) == pytest.approx(2)
    torch.testing.assert_close(weights[[0, 2]], class_weights([10, 1000]))
