"""Device selection. Chosen GPUs become the only ones visible to this process and its workers."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from stgcn_cli.errors import UsageError
from stgcn_cli.runtime import DEVICES

_FORMS = "Use --device auto, cpu or cuda; cuda:1 for one GPU, 0,2 for several."
DRIVER = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"))


def named_gpus(device: str) -> tuple[int, ...]:
    """Indices in "cuda:1", "0,2" or "cuda:0,2" among the visible GPUs; () for a word of DEVICES. Raises UsageError."""
    if device in DEVICES:
        return ()
    words = device.removeprefix("cuda:").split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise UsageError(f"Unknown device {device!r}.", _FORMS)
    indices = tuple(map(int, words))
    if len(set(indices)) < len(indices):
        raise UsageError(f"--device {device} names a GPU twice.", _FORMS)
    return indices


def processes(device: str, gpus: int | None) -> int:
    """`--gpus`, else as many as `--device` names, else 1."""
    return gpus if gpus is not None else len(named_gpus(device)) or 1


def resolve_device(device: str, gpus: int, warn: Callable[[str], Any] = lambda text: None) -> str:
    """ "cuda" or "cpu" for the user's `device`; GPUs that it names are the only visible ones afterwards.

    Raises UsageError when `gpus` are not available. Calls `warn` for a GPU that cannot be used.
    """
    named = named_gpus(device)
    if gpus < 1:
        raise UsageError(f"--gpus {gpus} is not possible.", "Use --gpus 1 or more.")
    if named and len(named) != gpus:
        raise UsageError(
            f"--device {device} names {len(named)} GPUs for {gpus} process{'es' if gpus > 1 else ''}.",
            "Each process uses one.",
        )
    if named:
        _show_only(named, device)
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cpu" or (device == "auto" and present == 0 and gpus == 1):
        if device == "auto" and any(path.exists() for path in DRIVER) and os.environ.get("CUDA_VISIBLE_DEVICES") != "":
            warn(
                "This machine has an NVIDIA driver, but torch finds no usable GPU: computing on the CPU. See stgcn doctor."
            )
        return "cpu"
    if gpus > present:
        found = f"{present} CUDA GPU{'' if present == 1 else 's'}" if present else "no CUDA GPU"
        if named:
            raise UsageError(
                f"--device {device} is not possible: not all of these GPUs exist.",
                "List them: nvidia-smi. Without a GPU: --device cpu",
            )
        hint = f"Use --gpus {present}." if present else f"Use --gpus {gpus} --device cpu to train on the processor."
        raise UsageError(f"--gpus {gpus} is not possible: this machine has {found}.", hint)
    return "cuda"


def _show_only(named: tuple[int, ...], device: str) -> None:
    """Hide all other GPUs; before the first use of CUDA, which reads the variable once."""
    if torch.cuda.is_initialized():  # in a program of the user's
        if len(named) > 1:
            raise UsageError(
                f"--device {device} is too late: this process uses CUDA already.", "Set CUDA_VISIBLE_DEVICES."
            )
        torch.cuda.set_device(named[0])
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    words = visible.split(",") if visible else None
    if words and max(named) >= len(words):
        raise UsageError(f"--device {device} is not possible: CUDA_VISIBLE_DEVICES names {len(words)}.", _FORMS)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(words[index] if words else str(index) for index in named)


def device_of_rank(kind: str, local_rank: int) -> torch.device:
    """The device of a process of this machine; a scheduler may show each process one GPU only."""
    if kind != "cuda":
        return torch.device(kind)
    return torch.device("cuda", local_rank % max(1, torch.cuda.device_count()))


def check_own_devices(store: Any, rank: int, size: int, device: torch.device) -> None:
    """Raise UsageError in every rank when two of them would share a GPU, with which NCCL fails obscurely or hangs."""
    if device.type != "cuda":
        return
    store.set(f"device {rank}", str(torch.cuda.get_device_properties(device).uuid))
    owners: dict[str, list[int]] = {}
    for other in range(size):
        owners.setdefault(store.get(f"device {other}").decode(), []).append(other)
    for ranks in owners.values():
        if len(ranks) > 1:
            error = UsageError(
                f"Processes {', '.join(map(str, ranks))} would share one GPU.",
                "Start as many processes as there are GPUs, or give each its own: --gpus-per-task=1 with srun.",
            )
            error.is_reported = rank > 0
            raise error
