"""The networks a preset can name. Importing this package imports torch; nothing above it does."""

from collections.abc import Iterable

from torch import nn

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.models.agcn import AGCN, initialise_as_authors
from stgcn_cli.models.backbone import Network
from stgcn_cli.models.keys import Keys
from stgcn_cli.models.stgcn import STGCN
from stgcn_cli.models.stgcnpp import STGCNPP

MODELS: dict[str, type[Network]] = {"stgcn": STGCN, "agcn": AGCN, "stgcnpp": STGCNPP}


def build_model(preset: Preset) -> Network:
    """The preset's network with fresh weights, on the CPU in float32."""
    m, channels = preset.model, len(preset.data.channels)
    model = MODELS[m.name](
        presets.layout_of(preset), m.num_classes, channels, m.partition, m.dropout, m.stages, m.widen
    )
    if m.input_norm == "person":
        model.backbone.normalise_each_person(preset.data.num_person)
    if m.init == "2s-agcn":
        initialise_as_authors(model)
    if m.init == "torch":
        _initialise_as_torch(model)
    return model


def _initialise_as_torch(model: Network) -> None:
    """Draw the convolutions of the backbone as torch does by default, which is what PYSKL trains from."""
    for module in model.backbone.modules():
        if isinstance(module, nn.Conv2d):
            module.reset_parameters()


def recognise(names: Iterable[str]) -> Keys | None:
    """Return the keys of the network whose state dict has these names; None for an unknown one."""
    known = list(names)
    return next((network.keys for network in MODELS.values() if network.keys.owns(known)), None)
