"""A checksum inside a checkpoint: the archive's own are not looked at when tensors are read, and bits flip on disks.

It covers every name, number, text and tensor of the checkpoint, whatever the pickle or the archive around them look like,
so a file that was read and written again by another program keeps it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

KEY = "checksum"


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint {"meta", "state_dict", …} with meta["checksum"] set to that of all the rest."""
    meta = {key: each for key, each in value["meta"].items() if key != KEY}
    value = {**value, "meta": meta}
    return {**value, "meta": {**meta, KEY: checksum(value)}}


def is_broken(value: Mapping[str, Any]) -> bool:
    """Whether `value` carries a checksum, and another one than its contents have."""
    meta = value.get("meta")
    if not isinstance(meta, Mapping) or KEY not in meta:
        return False
    rest = {key: each for key, each in meta.items() if key != KEY}
    return meta[KEY] != checksum({**value, "meta": rest})


def checksum(value: object) -> str:
    """ "sha256:" and 64 hex digits over nested tables, lists, numbers, texts and tensors."""
    digest = hashlib.sha256()
    _take(digest, value)
    return f"sha256:{digest.hexdigest()}"


def _take(digest: Any, value: object) -> None:
    if isinstance(value, Tensor):
        plain = value.detach().cpu().contiguous()
        digest.update(f"tensor {plain.dtype} {tuple(plain.shape)}".encode())
        if plain.numel():
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping):
        digest.update(f"table {len(value)}".encode())
        for key, each in value.items():
            _take(digest, key)
            _take(digest, each)
    elif isinstance(value, list | tuple):
        digest.update(f"list {len(value)}".encode())
        for each in value:
            _take(digest, each)
    else:
        digest.update(f"{type(value).__name__} {value!r}\n".encode("utf-8", "surrogatepass"))
