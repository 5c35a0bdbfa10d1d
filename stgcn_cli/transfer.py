"""Fine-tuning: weights of another model, as far as they fit; what does not is made anew, and said."""

from torch import nn

from stgcn_cli.checkpoint import Checkpoint
from stgcn_cli.errors import CheckpointError

_BY_LAYOUT = ("backbone.A", "backbone.data_bn.", "backbone.edge_importance.")  # they count joints, bones and channels
_FIRST = "backbone.st_gcn_networks.0.gcn.conv.weight"


def load_fitting(model: nn.Module, checkpoint: Checkpoint) -> str:
    """Load every tensor that has the shape the model wants; returns one line that says what was made anew.

    The adjacency `backbone.A` is a fact of the layout, not a weight: the model keeps its own when it differs.
    Raises CheckpointError when what does not fit is more than the head and what follows from the skeleton.
    """
    wanted = model.state_dict()
    fitting = {key: tensor for key, tensor in checkpoint.state.items() if _fits(key, tensor, wanted)}
    anew = [key for key in wanted if key not in fitting]
    strange = [key for key in anew if not key.startswith(("cls_head.", *_BY_LAYOUT)) and key != _FIRST]
    if strange:
        raise CheckpointError(
            f"{checkpoint.path} holds another kind of network: {strange[0]} is missing or of another shape, "
            f"and {len(strange) - 1} more.",
            "Weights to start from must be of an ST-GCN with the same partition.",
        )
    if any(key.startswith(_BY_LAYOUT) for key in anew):  # of another skeleton: none of its joints means the same here
        fitting = {key: tensor for key, tensor in fitting.items() if not key.startswith(_BY_LAYOUT)}
        anew = [key for key in wanted if key not in fitting]
    model.load_state_dict(fitting, strict=False)
    return f"From {checkpoint.path.name}: {len(fitting)} of {len(wanted)} tensors. {_told(anew, wanted, checkpoint)}"


def _fits(key: str, tensor, wanted: dict) -> bool:
    if key not in wanted or tensor.shape != wanted[key].shape:
        return False
    return key != "backbone.A" or bool(tensor.to(wanted[key].dtype).allclose(wanted[key], atol=1e-6))


def _told(anew: list[str], wanted: dict, checkpoint: Checkpoint) -> str:
    if not anew:
        return "Everything fits."
    said = []
    if any(key.startswith("cls_head.") for key in anew):
        said.append(f"the head ({checkpoint.num_classes} classes there, {len(wanted['cls_head.fc.weight'])} here)")
    if any(key.startswith(_BY_LAYOUT) for key in anew):
        there, here = checkpoint.channels, len(wanted["backbone.data_bn.weight"])
        said.append(f"what follows from the skeleton ({there} channels there, {here} here)")
    if _FIRST in anew:
        said.append("the first convolution (other coordinates)")
    return f"Made anew: {', '.join(said)}."
