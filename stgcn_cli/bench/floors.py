"""What the device can do at best, measured: the rate of a large matrix product, and of copying memory."""

import torch

from stgcn_cli.bench.timing import seconds_of

_SIDE = {"cpu": 1536, "cuda": 8192}  # of square matrices
_BYTES = {"cpu": 256 << 20, "cuda": 1 << 30}  # larger than any cache
_TRIES = 6


def matmul_rate(device: torch.device, precision: str) -> float:
    """FLOP/s of the best of some matrix products in this precision; a multiply-add counts as two."""
    dtype = {"bf16": torch.bfloat16, "float64": torch.float64}.get(precision, torch.float32)
    side = _SIDE.get(device.type, 2048)
    a = torch.randn(side, side, device=device).to(dtype)
    return 2 * side**3 / min(seconds_of(lambda: a @ a, device) for _ in range(_TRIES))


def copy_rate(device: torch.device) -> float:
    """Bytes/s, those read and those written, of the best of some copies."""
    count = _BYTES.get(device.type, 256 << 20)
    a = torch.ones(count // 4, device=device)
    b = torch.empty_like(a)
    return 2 * count / min(seconds_of(lambda: b.copy_(a), device) for _ in range(_TRIES))
