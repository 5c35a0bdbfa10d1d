"""Fine-tuning: weights of another model, as far as they fit; what does not is made anew, and said."""

from pathlib import Path
from typing import NamedTuple

from torch import nn

from stgcn_cli.config.schema import Preset
from stgcn_cli.errors import CheckpointError
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint as checkpoints
from stgcn_cli.runs.checkpoint import Checkpoint

_BY_LAYOUT = ("backbone.A", "backbone.data_bn.", "backbone.edge_importance.")  # they count joints, bones and channels
_FIRST = "backbone.st_gcn_networks.0.gcn.conv.weight"


class Fit(NamedTuple):
    """What was taken over, in one line; and whether something in the backbone was not."""

    told: str
    is_backbone_anew: bool


def check(preset: Preset, path: Path, frozen: bool, reporter: Reporter) -> None:
    """Say what of the checkpoint `path` the preset's model can start from. Raises CheckpointError."""
    fit = load_fitting(build_model(preset), checkpoints.read(path))
    reporter.note(fit.told)
    if frozen and fit.is_backbone_anew:
        reporter.warn(
            "--freeze backbone also keeps what was made anew in the backbone as it is, so it will never be trained. "
            "With another skeleton, leave --freeze out."
        )


def load_fitting(model: nn.Module, checkpoint: Checkpoint) -> Fit:
    """Load every tensor that has the shape the model wants; returns what was taken over and what made anew.

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
    told = (
        f"From {checkpoint.path}: {len(fitting)} of {len(wanted)} tensors are taken. {_told(anew, wanted, checkpoint)}"
    )
    return Fit(told, any(key.startswith("backbone.") for key in anew))


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
