"""Fine-tuning: load the weights of another model as far as they fit."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from stgcn_cli.config.schema import Preset
from stgcn_cli.errors import CheckpointError
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.models import build_model
from stgcn_cli.models.keys import Keys
from stgcn_cli.runs import checkpoint as checkpoints
from stgcn_cli.runs.checkpoint import Checkpoint


def check(preset: Preset, path: Path, frozen: bool, reporter: Reporter) -> None:
    """Report what of the checkpoint `path` the preset's model can start from. Raises CheckpointError."""
    summary, is_backbone_new = load_fitting(build_model(preset), checkpoints.read(path))
    reporter.note(summary)
    if frozen and is_backbone_new:
        reporter.warn(
            "--freeze backbone also freezes the re-initialised part of the backbone, which will never be trained. "
            "With another skeleton, leave --freeze out."
        )


def load_fitting(model: nn.Module, checkpoint: Checkpoint) -> tuple[str, bool]:
    """Load every tensor that has the shape the model wants; return what was loaded, in words, and whether the backbone is partly new.

    The adjacency is a fact of the layout, not a weight: the model keeps its own when it differs. Raises CheckpointError
    when what does not fit is more than the head and what follows from the skeleton.
    """
    checkpoints.check_values(checkpoint)
    wanted, keys = model.state_dict(), checkpoint.keys
    fitting = {key: tensor for key, tensor in checkpoint.state.items() if _fits(key, tensor, wanted, keys)}
    new = [key for key in wanted if key not in fitting]
    strange = [key for key in new if not (keys.in_head(key) or keys.counts_joints(key) or keys.is_first(key))]
    if strange:
        raise CheckpointError(
            f"{checkpoint.path} holds another kind of network: {strange[0]} is missing or has another shape, "
            f"and {len(strange) - 1} more.",
            "Weights to start from must be of the same network with the same partition.",
        )
    if any(map(keys.counts_joints, new)):  # of another skeleton: none of its joints means the same here
        fitting = {key: tensor for key, tensor in fitting.items() if not keys.counts_joints(key)}
        new = [key for key in wanted if key not in fitting]
    model.load_state_dict(fitting, strict=False)
    summary = (
        f"Loaded {len(fitting)} of {len(wanted)} tensors from {checkpoint.path}. {_words(new, wanted, checkpoint)}"
    )
    return summary, not all(map(keys.in_head, new))


def _fits(key: str, tensor: Tensor, wanted: Mapping[str, Tensor], keys: Keys) -> bool:
    if key not in wanted or tensor.shape != wanted[key].shape:
        return False
    return key != keys.graph or bool(tensor.to(wanted[key].dtype).allclose(wanted[key], atol=1e-6))


def _words(new: list[str], wanted: Mapping[str, Tensor], checkpoint: Checkpoint) -> str:
    keys, parts = checkpoint.keys, []
    if any(map(keys.in_head, new)):
        parts.append(f"the classification head ({checkpoint.num_classes} → {keys.num_classes(wanted)} classes)")
    if any(map(keys.counts_joints, new)):
        parts.append(
            f"what depends on the skeleton ({checkpoint.channels} → {keys.input_channels(wanted)} input channels)"
        )
    if any(map(keys.is_first, new)):
        parts.append("the first convolution (other coordinates)")
    return f"Re-initialised: {', '.join(parts)}." if parts else "Everything fits."
