"""ST-GCN++, and ST-GCN with PYSKL's graph: names, logits, losses, gradients, buffers and trajectories of PYSKL."""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.models import recognise
from stgcn_cli.models.graph import adjacency, as_in_pyskl, hops, spatial
from stgcn_cli.models.stgcn import STGCN
from stgcn_cli.models.stgcnpp import STGCNPP
from stgcn_cli.runs.dialects import translate
from tests.factories.weights import by_pyskl_rules

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}
NETWORKS = ["stgcnpp_3d_j", "stgcnpp_2d_b", "stgcn_pyskl_3d_j"]


@pytest.fixture(params=NETWORKS)
def figures(request, shared):
    folder = shared / "golden" / "pyskl" / "forward"
    return json.loads((folder / f"{request.param}.json").read_text()), np.load(folder / f"{request.param}.npz")


def network(facts: dict, dtype: torch.dtype):
    """The network with the drawn weights, and a function from PYSKL's names to ours."""
    layout = LAYOUTS["ntu" if facts["input_shape"][3] == 25 else "coco"]
    is_pp = "stgcn++" in facts["config"]
    model = STGCNPP(layout, 60) if is_pp else STGCN(layout, 60, partition="pyskl-spatial")
    graph = torch.tensor(adjacency(layout, "pyskl" if is_pp else "pyskl-spatial")).float()
    state, _ = translate(by_pyskl_rules(facts, graph))
    model.load_state_dict(state)
    return model.to(dtype)


def names_here(facts: dict) -> dict[str, str]:
    """The names here of PYSKL's tensors: each tensor holds a number of its own."""
    numbered = {key: torch.full(shape, float(i + 1)) for i, (key, shape, *_) in enumerate(facts["keys"])}
    if "stgcn++" not in facts["config"]:
        numbered |= {key: torch.zeros_like(value) for key, value in numbered.items() if key.endswith(".gcn.A")}
    found = {float(value.flatten()[0]): key for key, value in translate(numbered)[0].items()}
    return {key: found[float(value.flatten()[0])] for key, value in numbered.items()}


def inputs(facts: dict, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Inputs (N, C, T, V, M) by the suffix of their figures."""
    joints = facts["input_shape"][3]
    x = np.random.default_rng(7).normal(size=facts["input_shape"])
    shifted = x + np.random.default_rng(11).normal(0, 2, (2, 2, 1, joints, 3))
    alone, empty = np.random.default_rng(8).normal(size=(1, 1, 37, joints, 3)), x.copy()
    empty[1, 1] = 0
    named = {"": x, "_input2": shifted, "_t37_one_person": alone, "_empty_person": empty}
    return {
        name: torch.tensor(value.astype(np.float32)).to(dtype).permute(0, 4, 2, 3, 1) for name, value in named.items()
    }


def apart(found, wanted) -> float:
    """Largest difference, relative to the largest value."""
    return float(np.abs(np.asarray(found).reshape(wanted.shape) - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("name", ["stgcnpp_3d_j", "stgcnpp_2d_b"])
def test_names_order_and_size_are_published(shared, name):
    facts = json.loads((shared / "golden" / "pyskl" / "forward" / f"{name}.json").read_text())
    model = STGCNPP("ntu" if "3d" in name else "coco", 60)
    assert [key.replace("fc_cls", "fc") for key in facts["state_dict_order"]] == list(model.state_dict())
    assert [key.replace("fc_cls", "fc") for key in facts["param_order"]] == [
        name for name, _ in model.named_parameters()
    ]
    assert sum(p.numel() for p in model.parameters()) == facts["n_params"]
    assert recognise(model.state_dict()) is STGCNPP.keys


def test_graphs_are_the_references(shared):
    names = {"nturgb+d": "ntu", "coco": "coco", "openpose": "openpose-18", "handmp": "hand-21"}
    with np.load(shared / "golden" / "pyskl" / "graph" / "graph.npz") as stored:
        for theirs, layout in names.items():
            edges = as_in_pyskl(LAYOUTS[layout])
            assert set(edges.bones) == set(map(tuple, stored[f"{theirs}|inward"])), theirs
            assert edges.centre == stored[f"{theirs}|center"]
            found = {
                "spatial": adjacency(LAYOUTS[layout], "pyskl"), "stgcn_spatial": adjacency(LAYOUTS[layout], "pyskl-spatial"),
                "stgcn_spatial|max_hop2": spatial(edges, max_hop=2), "binary_adj": (hops(edges) == 1)[None],
            }  # fmt: skip
            for mode, graph in found.items():
                np.testing.assert_array_equal(graph, stored[f"{theirs}|{mode}"], f"{theirs}|{mode}")


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_evaluation_equals_the_reference(figures, dtype):
    facts, arrays = figures
    model, bits = network(facts, dtype).eval(), torch.finfo(dtype).bits
    with torch.inference_mode():
        for name, x in inputs(facts, dtype).items():
            assert apart(model(x), arrays[f"logits_eval{name}_f{bits}"]) < TOLERANCE[dtype], name
        x = inputs(facts, dtype)[""]
        assert apart(model(x).softmax(1).mean(0), arrays[f"prob_two_clips_f{bits}"][0]) < TOLERANCE[dtype]


def test_a_training_step_equals_the_reference(figures):
    facts, arrays = figures
    model = network(facts, torch.float64).train()
    loss = F.cross_entropy(model(inputs(facts, torch.float64)[""]), torch.tensor(facts["labels"]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(facts["train_loss_f64"], rel=1e-12)
    gradients, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    names = names_here(facts)
    for name, norm in facts["grad_norm_f64"].items():
        assert float(gradients[names[name]].grad.norm()) == pytest.approx(norm, rel=1e-7, abs=1e-9), name
    for key in arrays.files:
        if key.startswith("grad_f64/"):
            assert apart(gradients[names[key.removeprefix("grad_f64/")]].grad, arrays[key]) < 1e-9, key
    for name, (total, squares) in facts["buffers_after_train_forward_f64"].items():
        if not name.endswith(("num_batches_tracked", ".A")):
            found = buffers[names[name]].double()
            assert [float(found.sum()), float((found**2).sum())] == pytest.approx([total, squares], rel=1e-9, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stgcnpp_3d_j", "stgcn_pyskl_3d_j"])
def test_six_steps_equal_the_references_trajectory(shared, name):
    folder = shared / "golden" / "pyskl"
    facts = json.loads((folder / "forward" / f"{name}.json").read_text())
    steps = json.loads((folder / "trajectory" / f"{name}.json").read_text())
    model, names = network(facts, torch.float64).train(), names_here(facts)
    optimizer = torch.optim.SGD(model.parameters(), **{k: v for k, v in steps["optimizer"].items() if k != "type"})
    for number, wanted in enumerate(steps["steps"]):
        x = np.random.default_rng(1000 + number).normal(size=(4, 1, 2, 30, 25, 3))
        if name == "stgcn_pyskl_3d_j":
            x[1, :, 1] = 0
        lr = steps["optimizer"]["lr"] / 2 * (1 + math.cos(math.pi * number / 6))
        assert lr == pytest.approx(wanted["lr"], rel=1e-12)
        optimizer.param_groups[0]["lr"] = lr
        loss = F.cross_entropy(
            model(torch.tensor(x[:, 0]).permute(0, 4, 2, 3, 1)), torch.tensor(steps["labels"][number])
        )
        optimizer.zero_grad()
        loss.backward()
        assert float(loss.detach()) == pytest.approx(wanted["loss"], rel=1e-6)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), math.inf)
        assert float(norm) == pytest.approx(wanted["grad_norm"], rel=1e-6)
        optimizer.step()
    state = model.state_dict()
    for key, (total, squares) in steps["state_after"].items():
        if not key.endswith("num_batches_tracked"):
            found = state[names[key]].double()
            assert [float(found.sum()), float((found**2).sum())] == pytest.approx(
                [total, squares], rel=1e-5, abs=1e-6
            ), key
    with np.load(folder / "trajectory" / f"{name}.npz") as arrays, torch.inference_mode():
        x = torch.tensor(np.random.default_rng(7).normal(size=(2, 2, 30, 25, 3))).permute(0, 4, 2, 3, 1)
        assert apart(model.eval()(x), arrays["logits_after"]) < 1e-6


@pytest.mark.parametrize("training", [True, False])
def test_the_fast_path_is_the_published_order(training):
    """Also with an empty second person, which the fast path computes once."""
    torch.manual_seed(0)
    model = STGCNPP("coco", 4, stages=4, widen=(3,)).double().train(training)
    x = torch.randn(3, 3, 21, 17, 2, dtype=torch.float64)
    x[..., 1] = 0
    results = []
    for forward in (model, model.plain):
        state = {key: value.clone() for key, value in model.state_dict().items()}
        logits = forward(x)
        logits.square().sum().backward()
        results.append((logits.detach(), {n: p.grad for n, p in model.named_parameters()}, dict(model.state_dict())))
        results[-1] = (*results[-1][:2], {key: value.clone() for key, value in results[-1][2].items()})
        model.zero_grad()
        model.load_state_dict(state)
    torch.testing.assert_close(results[0], results[1], rtol=1e-7, atol=1e-10)
