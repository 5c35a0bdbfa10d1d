"""What is inside a checkpoint, for people: no code of it is run, and none is shown."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import LAYOUTS
from stgcn_cli.io.text import printable, shortened, shown
from stgcn_cli.models.graph import PARTITIONS, adjacency
from stgcn_cli.runs import identify
from stgcn_cli.runs.checkpoint import Checkpoint

_CODE = ("config", "cfg", "env_info", "preset")  # long texts, told by their length
_LONG = 100  # characters of a value that are shown


def describe(read: Checkpoint) -> dict[str, Any]:
    """Kind, meta, classes, skeleton, sizes, hash and likely presets, fit for JSON."""
    found = identify.likely(read)
    weights = [
        tensor for key, tensor in read.state.items() if read.keys.is_learned(key)
    ]  # no graph, no counts of BatchNorm
    classes = read.meta.get("CLASSES")
    return {
        "file": str(read.path),
        "kind": _kind(read),
        "sha256": read.sha256,
        "sha256_prefix": read.sha256[:8],
        "bytes": read.path.stat().st_size,
        "likely_presets": list(found.presets),
        "identified_by": found.identified_by,
        "skeleton": _skeleton(read),
        "channels": read.channels,
        "num_classes": read.num_classes,
        "classes": [printable(name) for name in classes] if isinstance(classes, list | tuple) else [],
        "parameters": sum(tensor.numel() for tensor in weights),
        "tensors": len(read.state),
        "dtypes": sorted({str(tensor.dtype).removeprefix("torch.") for tensor in weights}),
        **{key: value if type(value := read.meta.get(key)) is int else None for key in ("epoch", "iter")},
        "optimizer": isinstance(read.optimizer, Mapping),
        "meta": {printable(key): _shown(key, value) for key, value in read.meta.items() if key != "CLASSES"},
    }


def _kind(read: Checkpoint) -> str:
    if read.preset_text is not None:
        return "stgcn"
    if read.dialect:
        return read.dialect
    if any(key in read.meta for key in ("mmcv_version", "mmaction_version", "config")):
        return "MMAction2 0.x"
    if read.under:
        return f"weights under {read.under!r}"
    return "state dict with meta" if read.meta else "bare state dict"


def _skeleton(read: Checkpoint) -> dict[str, Any]:
    """Joints and partitions, and every layout and partition of ours that has just this graph."""
    graph = read.keys.graph_in(read.state)
    if graph is None:
        return {"joints": read.channels // 3, "partitions": None, "layouts": [], "graph": []}
    a = graph.double().numpy()
    known = ((name, way, adjacency(layout, way)) for name, layout in LAYOUTS.items() for way in PARTITIONS)
    same = [(name, way) for name, way, b in known if a.shape == b.shape and np.allclose(a, b, atol=1e-6)]
    return {
        "joints": a.shape[-1],
        "partitions": a.shape[0],
        "layouts": list(dict.fromkeys(name for name, _ in same)),
        "graph": list(dict.fromkeys(way for _, way in same)),
    }


def _shown(key: str, value: Any) -> Any:
    """A value of meta as a short printable thing."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float):
        return value
    text = printable(value if isinstance(value, str) else shown(value))
    if key in _CODE:
        return f"{len(text):,} characters"
    if isinstance(value, Mapping):
        return {printable(k): _shown(str(k), v) for k, v in list(value.items())[:20]}
    return shortened(text, _LONG)
