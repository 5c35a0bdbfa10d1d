"""`stgcn bench --export`: torch beside what `stgcn export` writes, on the CPU: clips per second, latency of a window, file size.

Shapes: N clips, M persons, T frames, V joints, C values of a joint.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stgcn_cli.config.schema import Preset
from stgcn_cli.diagnostics.bench import percentile, seconds_of
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.models import build_model
from stgcn_cli.runs import export
from stgcn_cli.runs.exported import of_onnx
from stgcn_cli.runtime.precision import computing, set_up

WINDOW = 64  # frames, where the preset takes clips of any length
_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to compute: seconds of a batch and of one window in each round, and bytes of the file."""

    name: str
    batch: int
    batches: list[float]
    windows: list[float]
    size: int

    def as_dict(self) -> dict[str, Any]:
        """Medians and all rounds; times in seconds."""
        return {
            "name": self.name, "clips_per_s": self.batch / percentile(self.batches, 0.5), "size": self.size,
            "latency": {"p50": percentile(self.windows, 0.5), "p95": percentile(self.windows, 0.95)},
            "seconds": {"batch": self.batches, "window": self.windows},
        }  # fmt: skip


def measure(preset: Preset, frames: int, batch: int, rounds: int, reporter: Reporter) -> list[Row]:
    """Torch, torch by plain operations, torch in bf16, ONNX and int8, measured in turns within each round after one that does not count.

    Raises UsageError where the packages for ONNX are missing.
    """
    export.require_packages()
    set_up("float32", deterministic=False)
    torch.manual_seed(0)
    network = build_model(preset).eval()
    about = export.metadata(preset, [f"class {index}" for index in range(preset.model.num_classes)], {})
    program = export.Program(network, preset).eval()
    with reporter.progress("export", None):
        whole = export.onnx(program, preset, about)
        small = export.int8(whole, about)
    stream = io.BytesIO()
    torch.save({"state_dict": network.state_dict()}, stream)
    ways: dict[str, tuple[Callable[..., object], int]] = {
        "torch": (_torch(program, "float32"), stream.tell()),
        "torch plain": (_plain(program), stream.tell()),
        "torch bf16": (_torch(program, "bf16"), stream.tell()),
        "onnx": (of_onnx(whole, "model.onnx").run, len(whole)),
        "onnx int8": (of_onnx(small, "model.onnx").run, len(small)),
    }
    one, many = export.example(preset, 1, frames), export.example(preset, batch, frames)
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in ways}
    with reporter.progress("measure", (rounds + 1) * len(ways)) as advance:
        for _ in range(rounds + 1):
            for name, (run, _) in ways.items():
                for found, inputs in zip(times[name], (many, one), strict=True):
                    found.append(_seconds(run, inputs))
                advance(1)
    return [
        Row(name=name, batch=batch, batches=batches[1:], windows=windows[1:], size=ways[name][1])
        for name, (batches, windows) in times.items()
    ]


def _seconds(run: Callable[..., object], inputs: tuple[Tensor, ...]) -> float:
    return seconds_of(lambda: run(*inputs), _CPU)


def _torch(program: export.Program, precision: str) -> Callable[..., object]:
    @torch.inference_mode()
    def run(*inputs: Tensor) -> object:
        with computing(precision, _CPU):
            return program(*inputs)

    return run


def _plain(program: export.Program) -> Callable[..., object]:
    @torch.inference_mode()
    def run(keypoints: Tensor, image_size: Tensor | None = None) -> object:
        x = program.prepare(keypoints, image_size) if program.whole else keypoints
        return program.network.plain(x.permute(0, 4, 2, 3, 1))

    return run
