"""Names in a network's state dict that other packages need; each network declares its own."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Names in a state dict. `blocks` begins the names of all blocks and of no other network's."""

    blocks: str
    by_layout: str  # regular expression of what counts joints, bones or input channels
    first: str  # regular expression of the first convolutions, which count coordinates
    importance: str = ""  # beginning of the learned factors of the graph, one tensor (K, V, V) for each block
    graph: str = "backbone.A"
    input_norm: str = "backbone.data_bn.weight"
    head: str = "cls_head.fc.weight"

    def in_head(self, key: str) -> bool:
        """Whether the entry belongs to the classification head."""
        return key.startswith(self.head.partition(".")[0] + ".")

    def counts_joints(self, key: str) -> bool:
        """Whether the shape of the entry follows from the skeleton."""
        return re.fullmatch(self.by_layout, key) is not None

    def is_first(self, key: str) -> bool:
        """Whether the entry is a weight of the first convolutions."""
        return re.fullmatch(self.first, key) is not None

    def is_learned(self, key: str) -> bool:
        """Whether the entry is trained: neither the graph nor a statistic of BatchNorm."""
        return key != self.graph and not key.endswith(("running_mean", "running_var", "num_batches_tracked"))

    def owns(self, names: Iterable[str]) -> bool:
        """Whether a state dict with these names is of this network."""
        return any(name.startswith(self.blocks) for name in names)

    def input_channels(self, state: Mapping[str, Tensor]) -> int:
        """Values of a person in a frame: joints times coordinates; 0 if unknown."""
        norm = state.get(self.input_norm)
        return 0 if norm is None else norm.numel()

    def num_classes(self, state: Mapping[str, Tensor]) -> int:
        """Classes of the head."""
        return len(state[self.head])

    def graph_in(self, state: Mapping[str, Tensor]) -> Tensor | None:
        """The graph (K, V, V), of a network that learns one in each block that of the first; None if there is none."""
        graphs = (
            [state[self.graph]] if self.graph in state else [state[key] for key in state if self.counts_joints(key)]
        )
        return next((graph for graph in graphs if graph.ndim == 3), None)

    def factors(self, state: Mapping[str, Tensor]) -> dict[int, Tensor]:
        """The learned factors of the graph by block; empty for a network without them."""
        found = {}
        for name, tensor in state.items():
            number = name.removeprefix(self.importance) if self.importance and name.startswith(self.importance) else ""
            if number.isdecimal():
                found[int(number)] = tensor
        return found
