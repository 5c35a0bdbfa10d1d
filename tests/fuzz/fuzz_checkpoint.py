"""Checkpoints: zip archives and the older form, with steps of their pickles, members, sizes and bytes changed."""

import functools
import io
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stgcn_cli.config.presets import load
from stgcn_cli.errors import CheckpointError, UsageError
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint, inspect
from tests.fuzz.mutate import some_bytes, some_members, some_steps
from tests.fuzz.target import Target, refused

_STEPS = [b"cos\nsystem\n", b"c__builtin__\neval\n", b"ctorch\nload\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_parameter\n",
          b"ctorch._utils\n_rebuild_sparse_tensor\n", b"ctorch._utils\n_rebuild_qtensor\n", b"ctorch\nsparse_coo\n", b"ctorch\nFloatStorage\n",
          b"ctorch\nDoubleStorage\n", b"ctorch\nfloat64\n", b"ctorch\nSize\n", b"ctorch\ndevice\n", b"ctorch.storage\nUntypedStorage\n",
          b"ccollections\nOrderedDict\n", b"ccollections\nCounter\n", b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\nscalar\n", b"cbuiltins\nbytearray\n",
          b"c_codecs\nencode\n", b"c__builtin__\nset\n", b"R", b"b", b"\x81", b"Q", b"(", b"t", b")", b"\x85", b"\x86", b"\x87", b"]", b"}",
          b"a", b"e", b"s", b"u", b"N", b"\x88", b"\x89", b"K\x07", b"K\xff", b"M\xff\xff", b"J\xff\xff\xff\x7f", b"J\xff\xff\xff\xff",
          b"\x8a\x08" + struct.pack("<q", 1 << 40), b"\x8a\x08" + struct.pack("<q", -1), b"q\x00", b"h\x00", b"h\x01", b"h\x03", b"0", b"2",
          b"X\x04\x00\x00\x00meta", b"X\x06\x00\x00\x00\x1b[31mX", b"X\x03\x00\x00\x00\xed\xa0\x80", b"G\x7f\xf8\x00\x00\x00\x00\x00\x00", b".",
          b"X\x05\x00\x00\x00cuda:", b"X\x04\x00\x00\x00meta"]  # fmt: skip


def _value(seed: int) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(seed)
    state = {
        "backbone.data_bn.weight": torch.rand(6, generator=rng), "backbone.A": torch.rand(3, 2, 2, generator=rng),
        "cls_head.fc.weight": torch.rand(3, 2, 1, 1, generator=rng), "cls_head.fc.bias": torch.rand(3, generator=rng),
        "backbone.st_gcn_networks.0.tcn.0.num_batches_tracked": torch.tensor(7),
    }  # fmt: skip
    meta: dict[str, Any] = {
        "epoch": 3,
        "iter": 9,
        "CLASSES": ["walk", "sit"],
        "config": "model = dict()",
        "time": "now",
    }
    if seed == 1:
        meta |= {
            "best": np.float64(0.5),
            "preset": "name = 'x'",
            "hook_msgs": {"best_score": np.float64(0.2), "n": np.int64(3)},
        }
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return {
        "meta": meta,
        "state_dict": {f"module.{k}" if seed == 2 else k: v for k, v in state.items()},
        "optimizer": optimizer,
    }


def _seeds() -> list[bytes]:
    seeds = []
    for seed in range(3):
        for modern in (True, True, False):
            stream = io.BytesIO()
            torch.save(_value(seed), stream, _use_new_zipfile_serialization=modern)
            seeds.append(stream.getvalue())
    stream = io.BytesIO()
    torch.save(_value(0)["state_dict"], stream)
    return [*seeds, stream.getvalue(), pickle.dumps({"state_dict": {}}, protocol=2)]


def _inside(rng: random.Random, name: str, content: bytes) -> bytes:
    if name.endswith(".pkl") and rng.random() < 0.9:
        return some_steps(rng, content, [content], _STEPS)
    return some_bytes(rng, content, [content])


def _mutate(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    if zipfile.is_zipfile(io.BytesIO(data)):
        return some_members(rng, data, seeds, _inside)
    return some_steps(rng, data, seeds, _STEPS) if rng.random() < 0.7 else some_bytes(rng, data, seeds)


@functools.cache
def _model() -> torch.nn.Module:
    return build_model(load("ntu60-xsub-3d"))


def _attempt(data: bytes, folder: Path) -> str:
    path = folder / "some.pth"
    path.write_bytes(data)
    try:
        read = checkpoint.read(path)
    except CheckpointError as error:
        return refused(error, path)
    try:
        told = inspect.describe(read)
    except (CheckpointError, UsageError) as error:  # the preset in it makes no sense
        return refused(error, path)
    assert len(str(told)) < 100_000, "a description without end"
    for step in (lambda: checkpoint.load_into(_model(), read), lambda: checkpoint.load_optimizer(_optimizer(), read)):
        try:
            step()
        except (CheckpointError, UsageError) as error:
            refused(error, path)
    return "read"


def _optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(3))], lr=0.1, momentum=0.9)


TARGET = Target(
    "checkpoint",
    _seeds,
    _mutate,
    _attempt,
    ("archive.py", "checkpoint.py", "inspect.py", "_weights_only_unpickler.py"),
    memory_mb=1500,
)
