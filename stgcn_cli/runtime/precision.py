"""Precision of computations. "auto" is bf16 for training on CUDA that has it natively, float32 elsewhere."""

import contextlib
import os
from collections.abc import Iterator

import torch

from stgcn_cli.errors import UsageError
from stgcn_cli.runtime import PRECISIONS


def resolve_precision(precision: str, device: str, *, training: bool) -> str:
    """One of PRECISIONS but "auto". Raises UsageError for a name that is none."""
    if precision not in PRECISIONS:
        raise UsageError(f"Unknown precision {precision!r}.", f"Use one of {', '.join(PRECISIONS)}.")
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


def evaluation_precision(precision: str) -> str:
    """The precision of validations and tests of a run: reduced ones only speed up training, as `stgcn eval` is in float32."""
    return "float64" if precision == "float64" else "float32"


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """A block in which float32 is float32, on GPUs too."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def set_up(precision: str, deterministic: bool | None = None) -> None:
    """Process-wide switches: TF32, and deterministic algorithms with --deterministic; None leaves them as they are."""
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    # a sum over 480,000 rows would be rounded to bfloat16 in between
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    if deterministic is not None:
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # no code here reads uninitialised memory
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
