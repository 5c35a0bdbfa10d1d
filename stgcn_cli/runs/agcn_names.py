"""Names of AGCN's weights in its authors' code (2s-AGCN, and BABEL's program, which is derived from it), and ours.

Theirs has no graph in its state dict, a linear head, and a normalisation of the input for each person.
"""

import re

import torch
from torch import Tensor

from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.models.graph import adjacency

State = dict[str, Tensor]

_JOINTS = 25  # of the one graph both programs share
_VALUES = 3 * _JOINTS  # of a person in a frame
_BLOCK = "backbone.agcn_networks."
_PAIRS = (("gcn1.", "gcn."), ("tcn1.conv.", "tcn.0."), ("tcn1.bn.", "tcn.1."), ("residual.conv.", "residual.0."),
          ("residual.bn.", "residual.1."))  # fmt: skip
_KEY = re.compile(r"l(\d+)a?\.(.+)")  # l1a in some of their files


def from_authors(state: State) -> State:
    """Return a state dict of theirs under our names. Raises ValueError for another skeleton."""
    joints = state["l1.gcn1.PA" if "l1.gcn1.PA" in state else "l1a.gcn1.PA"].shape[-1]
    if joints != _JOINTS:
        raise ValueError(f"contains an AGCN of {joints} joints, whose graph is not in the file; supported: {_JOINTS}")
    renamed: State = {"backbone.A": torch.tensor(adjacency(LAYOUTS["ntu"], "agcn")).float()}
    shared = all(_is_shared(tensor) for key, tensor in state.items() if key.startswith("data_bn."))
    for key, tensor in state.items():
        if key.startswith("data_bn."):
            renamed[f"backbone.{key}"] = tensor[:_VALUES] if shared and tensor.ndim else tensor
        elif key.startswith("fc."):
            renamed[f"cls_head.{key}"] = tensor[:, :, None, None] if tensor.ndim == 2 else tensor
        elif found := _KEY.fullmatch(key):
            rest = found[2].replace("conv_res.", "down.")
            theirs, ours = next((pair for pair in _PAIRS if rest.startswith(pair[0])), ("", ""))
            renamed[f"{_BLOCK}{int(found[1]) - 1}.{ours}{rest.removeprefix(theirs)}"] = tensor
        else:
            renamed[key] = tensor
    return renamed


def _is_shared(tensor: Tensor) -> bool:
    """Whether an entry of the input's normalisation is the same for all persons; else see `model.input_norm`."""
    if tensor.ndim == 0 or tensor.numel() % _VALUES:
        return True
    persons = tensor.view(-1, _VALUES)
    return torch.equal(persons, persons[:1].expand_as(persons))


def to_authors(state: State, persons: int) -> State:
    """Return our state dict under their names, in their order. Raises ValueError for a graph that is not theirs."""
    graph = state["backbone.A"].double().numpy()
    theirs = adjacency(LAYOUTS["ntu"], "agcn")
    if graph.shape != theirs.shape or abs(graph - theirs).max() > 1e-6:
        raise ValueError("its graph is not that of NTU's 25 joints, the only one in that program")
    renamed: State = {}
    for key, tensor in state.items():
        if key == "backbone.A":
            continue
        if key.startswith("backbone.data_bn."):
            renamed[key.removeprefix("backbone.")] = tensor.repeat(persons) if tensor.numel() == _VALUES else tensor
        elif key.startswith("cls_head."):
            renamed[key.removeprefix("cls_head.")] = tensor.flatten(1) if tensor.ndim == 4 else tensor
        else:
            number, _, rest = key.removeprefix(_BLOCK).partition(".")
            their, ours = next(pair for pair in _PAIRS if rest.startswith(pair[1]))
            renamed[f"l{int(number) + 1}.{their}{rest.removeprefix(ours)}"] = tensor
    return renamed
