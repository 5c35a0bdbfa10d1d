"""AGCN is the network of MMAction2 0.24.1: names, logits, losses, gradients and buffers, and the same for copies of a body."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stgcn_cli.models import recognise
from stgcn_cli.models.agcn import AGCN
from tests.factories.weights import by_rules

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}


@pytest.fixture(params=["mm0_joint__S", pytest.param("mm0_joint__A", marks=pytest.mark.slow)])
def figures(request, shared):
    folder = shared / "golden" / "agcn" / "forward"
    return json.loads((folder / f"{request.param}.json").read_text()), np.load(folder / f"{request.param}.npz")


def network(facts: dict, dtype: torch.dtype) -> AGCN:
    model = AGCN("ntu", 60)
    model.load_state_dict(by_rules(facts, model.state_dict()))
    return model.to(dtype)


def clips(facts: dict, dtype: torch.dtype) -> torch.Tensor:
    x = np.random.default_rng(7).normal(size=facts["input_shape"])
    if facts["variant"] == "S":
        n, c, _, v, m = facts["input_shape"]
        x = x + np.random.default_rng(11).normal(0, 2, (n, c, 1, v, m))
    return torch.from_numpy(x.astype(np.float32)).to(dtype)


def apart(found, wanted) -> float:
    """Largest difference, relative to the largest value."""
    return float(np.abs(np.asarray(found) - wanted).max() / np.abs(wanted).max())


def test_names_order_and_shapes_are_published(figures):
    facts, _ = figures
    state = AGCN("ntu", 60).state_dict()
    assert list(state) == facts["state_dict_order"] and recognise(state) is AGCN.keys
    assert {key: list(tensor.shape) for key, tensor in state.items()} == {
        key: shape for key, shape, *_ in facts["keys"]
    }


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_evaluation_equals_the_reference(figures, dtype):
    facts, arrays = figures
    model = network(facts, dtype).eval()
    with torch.inference_mode():
        logits = model(clips(facts, dtype))
    assert apart(logits, arrays[f"logits_eval_f{torch.finfo(dtype).bits}"]) < TOLERANCE[dtype]


def test_a_training_step_equals_the_reference(figures):
    facts, arrays = figures
    model = network(facts, torch.float64).train()
    loss = F.cross_entropy(model(clips(facts, torch.float64)), torch.tensor(facts["labels"]))
    loss.backward()
    assert float(loss) == pytest.approx(facts["train_loss_f64"], rel=1e-12)
    noise, gradients = set(facts["zero_gradient_parameters"]), dict(model.named_parameters())
    for name, norm in facts["grad_norm_f64"].items():
        if name not in noise:
            assert float(gradients[name].grad.norm()) == pytest.approx(norm, rel=1e-9), name
    for key in arrays.files:
        if key.startswith("grad/"):
            assert apart(gradients[key.removeprefix("grad/")].grad, arrays[key]) < 1e-9, key
    buffers = dict(model.named_buffers())
    for name, (total, squares) in facts["buffers_after_train_forward_f64"].items():
        found = buffers[name].double()
        assert [float(found.sum()), float((found**2).sum())] == pytest.approx([total, squares], rel=1e-9, abs=1e-12), (
            name
        )


def test_the_graph_is_the_published_one(shared):
    published = np.load(shared / "golden" / "agcn" / "adjacency.npz")["mmaction2_0x|ntu-rgb+d|agcn"]
    assert np.array_equal(AGCN("ntu", 5).backbone.A.numpy(), published.astype(np.float32))


def test_empty_persons_counted_once_change_nothing():
    """Clips with an empty second person against a network that computes every body."""
    torch.manual_seed(0)
    x = torch.randn(3, 3, 20, 25, 2, dtype=torch.float64)
    x[..., 1] = 0
    fast, plain = AGCN("ntu", 4).double(), AGCN("ntu", 4).double()
    plain.load_state_dict(fast.state_dict())
    plain.backbone.find_copies = lambda *_: None
    results = []
    for model in (fast, plain):
        logits = model.train()(x)
        logits.square().sum().backward()
        with torch.inference_mode():
            evaluated = model.eval()(x)
        results.append(
            (logits.detach(), evaluated, {n: p.grad for n, p in model.named_parameters()}, model.state_dict())
        )
    torch.testing.assert_close(results[0][:2], results[1][:2], rtol=1e-9, atol=1e-10)
    for part in (2, 3):
        for name, value in results[1][part].items():
            torch.testing.assert_close(results[0][part][name], value, rtol=1e-7, atol=1e-9, msg=name)


@pytest.mark.parametrize("training", [False, True])
def test_fast_equals_plain_in_float64_with_gradients(training):
    torch.manual_seed(1)
    model = AGCN("ntu", 4).double().train(training)
    for name, parameter in model.named_parameters():
        if name.endswith("PA"):
            torch.nn.init.normal_(parameter, 0, 0.1)
    x = torch.randn(2, 3, 12, 25, 2, dtype=torch.float64)
    found = []
    for logits in (model(x), model.plain(x)):
        model.zero_grad()
        logits.square().sum().backward()
        found.append((logits.detach(), [parameter.grad.clone() for parameter in model.parameters()]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-7, atol=1e-8)
