"""Times of pieces of work, taken in turn, so that a machine that slows down slows down all of them."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

Work = Callable[[], object]


def seconds_of(work: Work, device: torch.device) -> float:
    """Of one call, the device's work included."""
    wait(device)
    began = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - began


def wait(device: torch.device) -> None:
    """Until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turn(works: Mapping[str, Work], rounds: int, device: torch.device, tick: Work = lambda: None) -> dict[str, list]:
    """Seconds of each work in each round, after one call of each that does not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for index in range(rounds + 1):
        for name, work in works.items():
            spent = seconds_of(work, device)
            if index:
                times[name].append(spent)
            tick()
    return times


def ratio(times: Mapping[str, list[float]], slow: str, fast: str) -> tuple[float, float, float]:
    """Median, least and greatest of the rounds' ratios slow / fast."""
    ratios = sorted(a / b for a, b in zip(times[slow], times[fast], strict=True))
    return statistics.median(ratios), ratios[0], ratios[-1]


def percentile(times: list[float], share: float) -> float:
    """The time that this share of them does not exceed."""
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]
