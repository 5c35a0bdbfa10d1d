"""Self-test of two seconds: a network against float64, and a sum over two ranks."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from stgcn_cli.diagnostics import Finding

_WITHIN = 1e-4  # float32 against float64, relative to the largest value
_LOOKED_AT = ("0.gcn.conv", "9.tcn.2")  # weights of the first and the last block
_PATIENCE = timedelta(seconds=5)
_BROKEN = "torch computes wrong results on this machine. Reinstall it; if that does not help, report this text."


def look() -> Iterator[Finding]:
    """Forward and backward of a small network on each kind of device, and a sum over two ranks of gloo."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine threads wait for each other longer than this computes
    try:
        yield _computes("cpu")
        if torch.cuda.is_available():
            yield _computes("cuda")
    finally:
        torch.set_num_threads(threads)
    if torch.distributed.is_available() and torch.distributed.is_gloo_available():
        yield _communicates()


def _computes(device: str) -> Finding:
    import torch

    from stgcn_cli.runtime.precision import without_tf32

    began = time.perf_counter()
    with without_tf32():  # whose 10 bits would look broken
        wanted, got = _figures("cpu", torch.float64), _figures(device, torch.float32)
    off = max(float((a.double().cpu() - b).abs().max() / b.abs().max()) for a, b in zip(got, wanted, strict=True))
    found = f"off by {off:.1e} from float64, in {time.perf_counter() - began:.1f} s"
    name = f"forward and backward on {device}"
    return Finding(name, found, "" if off < _WITHIN else _BROKEN)


def _figures(device: str, dtype: Any) -> list[Any]:
    """Logits and two gradients of a small batch; drawn on the CPU in float64, so that they are of the same numbers."""
    import torch

    from stgcn_cli.models.stgcn import STGCN

    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = STGCN("ntu", 5).to(device, dtype)
    x = torch.randn(2, 3, 16, 25, 1, generator=generator, dtype=torch.float64).to(device, dtype)
    logits = model(x)
    torch.nn.functional.cross_entropy(logits, torch.tensor([1, 3], device=device)).backward()
    weights = dict(model.named_parameters())
    return [logits.detach(), *(weights[f"backbone.st_gcn_networks.{name}.weight"].grad for name in _LOOKED_AT)]


def _communicates() -> Finding:
    """Two ranks in two threads, over the network interface that training would use."""
    import torch
    from torch import distributed

    began = time.perf_counter()
    store, sums = distributed.HashStore(), dict.fromkeys((0, 1), "no answer")

    def rank(number: int) -> None:
        try:
            group: Any = distributed.ProcessGroupGloo(store, number, 2, _PATIENCE)
            value = torch.tensor([1.0 + number])
            group.allreduce([value]).wait()
            sums[number] = f"{value.item():g}"
        except Exception as error:  # any network error is the result to report
            sums[number] = f"{type(error).__name__}: {error}".splitlines()[0][:200]

    ranks = [threading.Thread(target=rank, args=(number,), daemon=True) for number in sums]
    for thread in ranks:
        thread.start()
    for thread in ranks:
        thread.join(_PATIENCE.total_seconds() + 5)
    if set(sums.values()) == {"3"}:
        return Finding("sum over two ranks (gloo)", f"1 + 2 = 3, in {time.perf_counter() - began:.1f} s")
    advice = "Does this machine's own name lead to an address of it? Try GLOO_SOCKET_IFNAME=lo"
    return Finding("sum over two ranks (gloo)", sums[0], advice)
