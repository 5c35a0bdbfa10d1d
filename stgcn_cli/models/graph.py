"""Adjacency matrices of a skeleton, split into partitions of neighbours.

Shapes: K partitions, V joints. `A[k, v, w]` weighs what joint w receives from joint v.
Source: Yan et al. 2018, "Spatial Temporal Graph Convolutional Networks", as published in MMAction2 0.24.1.
"""

from dataclasses import replace

import numpy as np

from stgcn_cli.config.skeletons import Layout


def adjacency(layout: Layout, partition: str = "spatial") -> np.ndarray:
    """Adjacency of `layout` under one of PARTITIONS: float64 (K, V, V), A[k, v, w] from joint v to joint w.

    Raises KeyError for an unknown partition.
    """
    return PARTITIONS[partition](layout)


def uniform(layout: Layout) -> np.ndarray:
    """K = 1: a joint and its neighbours, each with the same weight."""
    return _shares(_near(layout))[None]


def distance(layout: Layout) -> np.ndarray:
    """K = 2: the joint itself, its neighbours."""
    shares, itself = _shares(_near(layout)), np.eye(len(layout.joints), dtype=bool)
    return np.stack([np.where(itself, shares, 0), np.where(itself, 0, shares)])


def spatial(layout: Layout, max_hop: int = 1) -> np.ndarray:
    """K = 3 as published: the joint itself, neighbours not nearer to the centre, neighbours nearer to it.

    The published code looks one hop far, so that every joint two or more bones away from the centre is infinitely far
    and its neighbours count as equally far. Published weights depend on it; `spatial_corrected` has true distances.
    A larger `max_hop` adds two partitions for each hop, as in PYSKL.
    """
    from_centre = hops(layout)[layout.centre]
    return _by_distance(layout, np.where(from_centre <= max_hop, from_centre, np.inf), max_hop)


def spatial_corrected(layout: Layout) -> np.ndarray:
    """K = 3 as described in the paper: like `spatial`, with the distance to the centre counted over all bones."""
    return _by_distance(layout, hops(layout)[layout.centre])


def agcn(layout: Layout) -> np.ndarray:
    """K = 3 as in two-stream AGCN (Shi et al. 2019): the joint itself, its inward bones, its outward bones."""
    inward = np.zeros((len(layout.joints), len(layout.joints)))
    for outer, inner in layout.bones:
        inward[inner, outer] = 1
    return np.stack([np.eye(len(inward)), _shares(inward), _shares(inward.T)])


def pyskl(layout: Layout) -> np.ndarray:
    """K = 3 of ST-GCN++ in PYSKL: as `agcn`, over the edges of PYSKL."""
    return agcn(as_in_pyskl(layout))


def pyskl_spatial(layout: Layout) -> np.ndarray:
    """K = 3 of ST-GCN in PYSKL: as `spatial`, over the edges of PYSKL."""
    return spatial(as_in_pyskl(layout))


# Edges of PYSKL where they differ from those of MMAction2 0.x: (joint, joint nearer to the centre), added or taken away.
_PYSKL_EDGES = {
    "ntu": ({(21, 7), (23, 11)}, {(21, 22), (23, 24)}),
    "coco": ({(5, 0), (6, 0), (11, 5), (12, 6)}, {(11, 12), (5, 11), (6, 12), (5, 6), (1, 2), (3, 5), (4, 6)}),
}


def as_in_pyskl(layout: Layout) -> Layout:
    """The layout with the edges of PYSKL's graphs; its bones are those of the streams all the same."""
    added, removed = _PYSKL_EDGES.get(layout.name, (set(), set()))
    return replace(layout, bones=tuple(sorted((set(layout.bones) - removed) | added)))


PARTITIONS = {
    "uniform": uniform,
    "distance": distance,
    "spatial": spatial,
    "spatial-corrected": spatial_corrected,
    "agcn": agcn,
    "pyskl": pyskl,
    "pyskl-spatial": pyskl_spatial,
}


def hops(layout: Layout) -> np.ndarray:
    """Number of bones between each two joints, float64 (V, V); infinite where no way leads from one to the other."""
    near = _near(layout)
    far, reach = np.where(near, 1.0, np.inf), near.copy()
    np.fill_diagonal(far, 0)
    for hop in range(2, len(near)):
        reach = reach @ near
        far[reach & np.isinf(far)] = hop
    return far


def _near(layout: Layout) -> np.ndarray:
    near = np.eye(len(layout.joints), dtype=bool)
    for i, j in layout.bones:
        near[i, j] = near[j, i] = True
    return near


def _shares(near: np.ndarray) -> np.ndarray:
    # Each column sums to one (to zero where a joint receives nothing): a joint averages over what it receives.
    received = near.sum(0, dtype=float)
    return near / np.where(received > 0, received, 1)


def _by_distance(layout: Layout, from_centre: np.ndarray, max_hop: int = 1) -> np.ndarray:
    away, nearer = hops(layout), from_centre[:, None] < from_centre[None, :]
    shares = _shares(away <= max_hop)
    parts = [way & (away == hop) for hop in range(1, max_hop + 1) for way in (~nearer, nearer)]
    return np.stack([np.where(part, shares, 0) for part in (away == 0, *parts)])
