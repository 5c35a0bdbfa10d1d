"""Duration of device work, measured over several calls without waiting in between."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_RUN = 5  # calls measured together on a GPU: as in training, the host runs ahead of it


def wait(device: "torch.device") -> None:
    """Wait until the device has finished."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def seconds_of(
    work: Callable[[], object], device: "torch.device", *, calls: int | None = None, warm_up: bool = False
) -> float:
    """Seconds of one call, queued device work included; the mean of `calls` without a wait between them (on a GPU: 5)."""
    if warm_up:
        work()
    calls = calls or (_RUN if device.type == "cuda" else 1)
    wait(device)
    began = time.perf_counter()
    for _ in range(calls):
        work()
    wait(device)
    return (time.perf_counter() - began) / calls
