"""Adjacency: equal to the published values, and the corrected partition does what the paper says."""

import numpy as np
import pytest

from stgcn_cli.config.skeletons import LAYOUTS, Layout
from stgcn_cli.models.graph import PARTITIONS, adjacency, hops


def test_adjacency_is_the_published_one(golden):
    with np.load(golden / "graph" / "graph.npz") as figures:
        assert len(figures.files) == 14
        for key in figures.files:
            layout, partition = key.split("|")
            np.testing.assert_array_equal(adjacency(LAYOUTS[layout], partition), figures[key], key)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_layouts_are_one_piece_with_names_for_all_joints(layout):
    assert len(set(layout.joints)) == len(layout.joints)
    assert np.isfinite(hops(layout)).all()
    assert 0 <= layout.centre < len(layout.joints)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
@pytest.mark.parametrize(
    "partition", sorted(each for each in PARTITIONS if each != "agcn" and not each.startswith("pyskl"))
)
def test_partitions_share_out_the_same_neighbours(layout, partition):
    np.testing.assert_allclose(adjacency(layout, partition).sum(0), adjacency(layout, "uniform")[0])
    np.testing.assert_allclose(adjacency(layout, partition).sum((0, 1)), 1)


def test_the_published_quirk_and_its_correction():
    chain = Layout("chain", ("centre", "a", "b", "c"), ((1, 0), (2, 1), (3, 2)), centre=0)
    nearer = {name: adjacency(chain, name)[2] > 0 for name in ("spatial", "spatial-corrected")}
    assert nearer["spatial-corrected"][2, 3]  # joint b is nearer to the centre than joint c ...
    assert not nearer["spatial"][2, 3]  # ... but both are beyond one hop, and so equally far as published
    assert nearer["spatial"][1, 2] and nearer["spatial"][0, 1]


def test_hops_count_bones():
    chain = Layout("chain", ("a", "b", "c", "d"), ((0, 1), (1, 2)), centre=0)
    np.testing.assert_array_equal(hops(chain)[0], [0, 1, 2, np.inf])
