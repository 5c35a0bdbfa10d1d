"""What was measured, in words and for scripts."""

import statistics
from typing import Any

from stgcn_cli.bench.measure import Measured, ratios
from stgcn_cli.bench.timing import percentile


def as_dict(m: Measured) -> dict[str, Any]:
    """Times in seconds, sizes in bytes, rates per second; of each race the median of the ratios, the least, the greatest."""
    raced = {"train": m.train, "evaluate": m.evaluate, "latency": m.latency}
    floors = m.floor_s
    step = statistics.median(m.train["ours"])
    return {
        "preset": m.asked.preset.name, "device": m.asked.device.type, "device_name": device_name(m), "threads": threads(),
        "precision": m.asked.precision, "batch_size": m.asked.batch, "rounds": m.asked.rounds,
        "clips": "given" if m.asked.split else "drawn", "bodies_computed": m.bodies,
        "ratios": {name: dict(zip(("median", "least", "greatest"), each, strict=True)) for name, each in ratios(m).items()},
        "clips_per_s": {name: {who: m.clips_per_s(raced[name], who) for who in ("plain", "ours")}
                        for name in ("train", "evaluate")},
        "seconds": raced, "parts_of_a_step": m.parts, "gather_share": m.parts["gather"] / sum(m.parts.values()),
        "latency": {who: {"p50": percentile(m.latency[who], 0.5), "p95": percentile(m.latency[who], 0.95)}
                    for who in ("plain", "ours")},
        "peak_memory": m.peak, "matmul_flop_per_s": m.matmul, "copy_bytes_per_s": m.copy, "step_flop": m.step_flop,
        "step_bytes": m.step_bytes, "floor": floors, "floor_reached": max(floors.values()) / step,
        "training_clips": m.training_clips, "training_seconds": m.training_s,
        "prepare": {"seconds": m.files.prepare_s, "texts": m.files.texts},
        "store": {"build_seconds": m.files.build_s, "bytes": m.files.bytes, "open_seconds": m.files.open_s},
    }  # fmt: skip


def device_name(m: Measured) -> str:
    """The GPU's name; of a processor what torch computes with."""
    import torch

    if m.asked.device.type == "cuda":
        return torch.cuda.get_device_name(m.asked.device)
    return torch.backends.cpu.get_cpu_capability()


def threads() -> int:
    """Of this process."""
    import torch

    return torch.get_num_threads()
