"""Which numbers are computed with. "auto" is bf16 for training on CUDA that has it natively, float32 elsewhere."""

import contextlib
import os

import torch

from stgcn_cli.errors import UsageError
from stgcn_cli.runtime import PRECISIONS


def resolve_precision(precision: str, device: str, *, training: bool) -> str:
    """One of PRECISIONS but "auto". Raises UsageError for a name that is none."""
    if precision not in PRECISIONS:
        raise UsageError(f"There is no precision {precision!r}.", f"Use one of {', '.join(PRECISIONS)}.")
    if precision != "auto":
        return precision
    native = device == "cuda" and torch.cuda.get_device_capability()[0] >= 8
    return "bf16" if training and native else "float32"


def dtype_of(precision: str) -> torch.dtype:
    """The type of weights and clips."""
    return torch.float64 if precision == "float64" else torch.float32


def computing(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """The context a forward pass runs in."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def set_up(precision: str, deterministic: bool) -> None:
    """Process-wide switches: TF32, and deterministic algorithms with --deterministic."""
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = not deterministic
