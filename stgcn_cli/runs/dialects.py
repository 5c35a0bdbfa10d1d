"""Checkpoints of other collections: where their weights lie, whose they are, and their names as ours.

A dialect is recognised by the names in a state dict. To add one: a line in `DIALECTS`, with a key map for a network that is
in `models`, without one for another network, which is then refused by its name.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stgcn_cli.models import recognise
from stgcn_cli.runs import agcn_names

State = dict[str, Tensor]

WRAPPERS = (  # keys under which trainers keep the weights, in the order in which they are looked for
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "net_state_dict", "weights", "params", "module",
    "ema_state_dict", "model_ema", "ema",
)  # fmt: skip
_PREFIXES = (
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "network.",
)  # of wrappers of a network: DataParallel, torch.compile
_DEEPEST = 3  # wrappers inside each other


def weights_in(value: Mapping[str, Any]) -> tuple[State, str]:
    """Return the tensors of the network in a checkpoint, and the key of those that are neither here nor in `state_dict`.

    numpy arrays become tensors. Without any tensors the state is empty.
    """
    for path, found in _candidates(value, (), 0):
        state = _tensors(found)
        if state:
            return state, "" if path in ((), ("state_dict",)) else ".".join(path)
    return {}, ""


def _candidates(
    value: Mapping[str, Any], path: tuple[str, ...], depth: int
) -> list[tuple[tuple[str, ...], Mapping[str, Any]]]:
    inner = [
        candidate
        for key in WRAPPERS
        if depth < _DEEPEST and isinstance(below := value.get(key), Mapping)
        for candidate in _candidates(below, (*path, key), depth + 1)
    ]
    return [*inner, (path, value)]


def _tensors(values: Mapping[str, Any]) -> State:
    """Tensors of a state dict, detached, without the prefixes of wrappers; arrays of numbers become tensors."""
    state = {}
    for key, value in values.items():
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiub":
            value = torch.from_numpy(np.array(value))
        if isinstance(value, Tensor):
            state[str(key).removeprefix("module.")] = value.detach()  # other programs save parameters
    while shared := next(
        (prefix for prefix in _PREFIXES if state and all(key.startswith(prefix) for key in state)), None
    ):
        state = {key.removeprefix(shared): tensor for key, tensor in state.items()}
    return state


@dataclass(frozen=True)
class Dialect:
    """Names of one collection. `signs` are regular expressions, each of which has to match a whole name."""

    name: str
    signs: tuple[str, ...]
    renamed: Callable[[State], State] | None = None  # raises ValueError; None: a network that is not in `models`
    linear_head: str = ""  # where the names are ours: a weight of the head that is a convolution with us

    def owns(self, state: Mapping[str, Tensor]) -> bool:
        """Whether a state dict is of this dialect."""
        if self.linear_head and self.linear_head in state and state[self.linear_head].ndim != 2:
            return False
        return all(any(re.fullmatch(sign, key) for key in state) for sign in self.signs)


def translate(state: State) -> tuple[State, str]:
    """Return the state dict under our names, and the dialect it was in, "" for ours.

    Raises ValueError, naming the network, for one that is not in `models`.
    """
    for dialect in DIALECTS:
        if dialect.owns(state):
            if dialect.renamed is None:
                raise ValueError(f"contains weights of {dialect.name}, another network, which is not supported")
            return dialect.renamed(state), dialect.name
    if recognise(state) is None:
        names = ", ".join(list(state)[:3])
        raise ValueError(f"is not a checkpoint of a known network: it contains {names or 'no tensors'}")
    return state, ""


def _head(weight: Tensor) -> Tensor:
    """The weight of a linear head (classes, features) as that of a convolution."""
    return weight[:, :, None, None] if weight.ndim == 2 else weight


def _from_original(state: State) -> State:
    """The first ST-GCN code: no `backbone.`, and `fcn` for the head."""
    renamed = {}
    for key, tensor in state.items():
        own = key.replace("fcn.", "cls_head.fc.", 1) if key.startswith("fcn.") else f"backbone.{key}"
        renamed[own] = _head(tensor) if key == "fcn.weight" else tensor
    return renamed


_PYSKL_NAMES = {  # of a block
    "gcn.conv": "gcn.conv", "gcn.bn": "tcn.0", "tcn.conv": "tcn.2", "tcn.bn": "tcn.3", "residual.conv": "residual.0",
    "residual.bn": "residual.1",
}  # fmt: skip
_PYSKL_KEY = re.compile(r"backbone\.gcn\.(\d+)\.(\w+\.\w+)(?:\.(\w+))?")
_LEAST_FACTOR = 0.1  # mean factor of the edges; those added to a graph begin at 1e-6, those multiplied with it at 1


def _from_pyskl(state: State) -> State:
    """PYSKL's ST-GCN, also MMAction2 1.x: the graph is in every block, factors are called PA, the head is linear."""
    renamed: State = {}
    graphs: dict[str, Tensor] = {}
    for key, tensor in state.items():
        found = _PYSKL_KEY.fullmatch(key)
        if found is None:
            own = re.sub(r"^cls_head\.(fc_cls|fc)\.", "cls_head.fc.", key)
            renamed[own] = _head(tensor) if own == "cls_head.fc.weight" else tensor
        elif found[2] == "gcn.A":
            graphs[found[1]] = tensor
        elif found[2] == "gcn.PA":
            renamed[f"backbone.edge_importance.{found[1]}"] = tensor
        elif found[2] in _PYSKL_NAMES:
            renamed[f"backbone.st_gcn_networks.{found[1]}.{_PYSKL_NAMES[found[2]]}.{found[3]}"] = tensor
        else:
            renamed[key] = tensor
    graph = next(iter(graphs.values()))
    for number, each in graphs.items():
        if each.shape != graph.shape or not torch.equal(each, graph):
            raise ValueError(
                "contains an ST-GCN of PYSKL whose blocks have graphs of their own, which is not supported"
            )
        factors = renamed.setdefault(f"backbone.edge_importance.{number}", torch.ones_like(graph))
        if factors.shape == graph.shape and graph.any() and factors[graph != 0].abs().mean() < _LEAST_FACTOR:
            raise ValueError("contains an ST-GCN of PYSKL that adds PA to its graph, which is not supported")
    return renamed | {"backbone.A": graph}


def _from_stgcnpp(state: State) -> State:
    """ST-GCN++: the names of the blocks are ours, the head is linear."""
    renamed = {re.sub(r"^cls_head\.fc_cls\.", "cls_head.fc.", key): tensor for key, tensor in state.items()}
    return renamed | {"cls_head.fc.weight": _head(renamed["cls_head.fc.weight"])}


_PYSKL_BLOCK = r"backbone\.gcn\.0\."
DIALECTS = (
    Dialect("the original ST-GCN code", (r"st_gcn_networks\.0\.gcn\.conv\.weight", r"fcn\.weight"), _from_original),
    Dialect(
        "PYSKL (ST-GCN)",
        (_PYSKL_BLOCK + r"gcn\.A", _PYSKL_BLOCK + r"tcn\.conv\.weight", r"cls_head\.fc_cls\.weight"),
        _from_pyskl,
    ),
    Dialect(
        "MMAction2 1.x (ST-GCN)",
        (_PYSKL_BLOCK + r"gcn\.A", _PYSKL_BLOCK + r"tcn\.conv\.weight", r"cls_head\.fc\.weight"),
        _from_pyskl,
    ),
    Dialect(
        "PYSKL (ST-GCN++)",
        (_PYSKL_BLOCK + r"gcn\.A", _PYSKL_BLOCK + r"tcn\.branches\.5\.weight", r"cls_head\.fc_cls\.weight"),
        _from_stgcnpp,
    ),
    Dialect(
        "MMAction2 1.x (ST-GCN++)",
        (_PYSKL_BLOCK + r"gcn\.A", _PYSKL_BLOCK + r"tcn\.branches\.5\.weight", r"cls_head\.fc\.weight"),
        _from_stgcnpp,
        linear_head="cls_head.fc.weight",
    ),
    Dialect("the ST-GCN code before June 2018", (r"(?:backbone|gcn0).*\.conv_list\.0\.weight",)),
    Dialect("CTR-GCN", (r"l1\.gcn1\.convs\.0\.conv4\.weight",)),
    Dialect("Shift-GCN", (r"l1\.gcn1\.(?:Feature_Mask|shift_in)",)),
    Dialect("AAGCN (attention-enhanced AGCN)", (r".*\.gcn1?\.conv_ta\.weight",)),
    Dialect(
        "2s-AGCN (its authors' code)", (r"l1a?\.gcn1\.conv_a\.0\.weight", r"l1a?\.gcn1\.PA"), agcn_names.from_authors
    ),
    Dialect(
        "MMAction2's 2s-AGCN of November 2021 (86.82 % with joints, 87.91 % with bones: ST-GCN's temporal part, tcn.3)",
        (r"backbone\.agcn_networks\.0\.tcn\.3\.weight",),
    ),
    Dialect("MS-G3D", (r"sgcn1\.0\.mlp\.layers\..*", r"gcn3d1\..*")),
    Dialect("EfficientGCN", (r"input_branches\..*", r"main_stream\..*")),
    Dialect("CTR-GCN (PYSKL)", (_PYSKL_BLOCK + r"gcn1?\.convs\.0\.conv4\.weight",)),
    Dialect("DG-STGCN", (_PYSKL_BLOCK + r"gcn\.pre\.0\.weight", _PYSKL_BLOCK + r"gcn\.post\.weight")),
    Dialect("AGCN (PYSKL)", (_PYSKL_BLOCK + r"gcn\.conv_a\.0\.weight",)),
    Dialect("PoseC3D", (r"backbone\.conv1\.conv\.weight", r"backbone\.layer1\.0\.conv1\.conv\.weight")),
)
