"""The networks a preset can name. Importing this package imports torch; nothing above it does."""

from torch import nn

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.models.stgcn import STGCN

MODELS = {"stgcn": STGCN}


def build_model(preset: Preset) -> nn.Module:
    """The preset's network with fresh weights, on the CPU in float32."""
    m, channels = preset.model, len(preset.data.channels)
    return MODELS[m.name](presets.layout_of(preset), m.num_classes, channels, partition=m.partition, dropout=m.dropout)
