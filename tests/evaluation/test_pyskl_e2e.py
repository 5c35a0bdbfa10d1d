"""PYSKL's test pipeline from an annotation pickle to probabilities, through the command line."""

import json

import numpy as np
import pytest
import torch

from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.evaluation.saved import read_saved
from stgcn_cli.models.graph import adjacency
from tests.factories.weights import by_pyskl_rules

RUNS = {  # figure -> preset, stream, annotations
    "stgcnpp_3d_j": ("ntu60-xsub-3d-stgcnpp", "joint", "ann_3d.pkl"),
    "stgcnpp_3d_b": ("ntu60-xsub-3d-stgcnpp", "bone", "ann_3d.pkl"),
    "stgcnpp_3d_jm": ("ntu60-xsub-3d-stgcnpp", "joint-motion", "ann_3d.pkl"),
    "stgcnpp_3d_bm": ("ntu60-xsub-3d-stgcnpp", "bone-motion", "ann_3d.pkl"),
    "stgcn_pyskl_3d_j": ("ntu60-xsub-3d-uniform", "joint", "ann_3d.pkl"),
    "stgcnpp_2d_b": ("ntu60-xsub-2d-stgcnpp", "bone", "ann_2d.pkl"),
    "stgcnpp_3d_j|val_one_clip": ("ntu60-xsub-3d-stgcnpp", "joint", "ann_3d.pkl"),
}


def weights_file(shared, name, path):
    """The drawn weights under PYSKL's names, a bare dict of tensors."""
    drawn = {"stgcnpp_3d": "stgcnpp_3d_j", "stgcn_pyskl": "stgcn_pyskl_3d_j", "stgcnpp_2d": "stgcnpp_2d_b"}
    figure = next(value for key, value in drawn.items() if name.startswith(key))
    facts = json.loads((shared / "golden" / "pyskl" / "forward" / f"{figure}.json").read_text())
    partition = "pyskl-spatial" if figure.startswith("stgcn_pyskl") else "pyskl"
    graph = torch.tensor(adjacency(LAYOUTS["coco" if "2d" in figure else "ntu"], partition)).float()
    state = by_pyskl_rules(facts, graph)
    state["backbone.data_bn.running_var"] = (state["backbone.data_bn.running_var"] * 0.01).float()
    torch.save(state, path)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_probabilities_are_the_references(shared, stgcn, tmp_path, name):
    preset, stream, annotations = RUNS[name]
    weights_file(shared, name, tmp_path / "w.pth")
    settings = ["--set", "eval.clips=1"] if "one_clip" in name else []
    data = shared / "golden" / "pyskl" / "e2e" / annotations
    ran = stgcn("eval", "w.pth", "-p", preset, "--stream", stream, "--data", data, "--out", "r.pkl", "--no-report", "--device",
                "cpu", *settings)  # fmt: skip
    assert ran.code == 0, ran.err
    with np.load(shared / "golden" / "pyskl" / "e2e" / "results.npz") as stored:
        np.testing.assert_allclose(read_saved(tmp_path / "r.pkl").scores, stored[name], rtol=0, atol=1e-5)
