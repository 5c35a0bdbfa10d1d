"""The networks a preset can name. Importing this package imports torch; nothing above it does."""

from collections.abc import Iterable

from torch import nn

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.models.agcn import AGCN, initialise_as_authors
from stgcn_cli.models.keys import Keys
from stgcn_cli.models.stgcn import STGCN

MODELS: dict[str, type[STGCN | AGCN]] = {"stgcn": STGCN, "agcn": AGCN}


def build_model(preset: Preset) -> nn.Module:
    """The preset's network with fresh weights, on the CPU in float32."""
    m, channels = preset.model, len(preset.data.channels)
    model = MODELS[m.name](presets.layout_of(preset), m.num_classes, channels, partition=m.partition, dropout=m.dropout)
    if m.init == "2s-agcn":
        initialise_as_authors(model)
    return model


def recognise(names: Iterable[str]) -> Keys | None:
    """Return the keys of the network whose state dict has these names; None for an unknown one."""
    known = list(names)
    return next((network.keys for network in MODELS.values() if network.keys.owns(known)), None)
