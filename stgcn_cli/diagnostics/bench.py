"""`stgcn bench`: clips per second, milliseconds of each phase, memory and latency of a preset on this device.

Shapes: N clips, C channels, T frames, V joints, M persons.
"""

import multiprocessing
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stgcn_cli.config.schema import Preset
from stgcn_cli.data.loader import Absent, Clips
from stgcn_cli.data.ntu.names import NTU
from stgcn_cli.data.prepare.babel import BABEL
from stgcn_cli.data.splits import Split
from stgcn_cli.diagnostics.drawn import batch_of, labels_of, split_of, with_counts
from stgcn_cli.errors import RunError
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.models import build_model
from stgcn_cli.runtime.distributed import World
from stgcn_cli.runtime.memory import memory_errors, peak_bytes, reset_peak, tune_allocator
from stgcn_cli.runtime.precision import computing, dtype_of, set_up
from stgcn_cli.runtime.timing import seconds_of
from stgcn_cli.training.optim import build_optimizer
from stgcn_cli.training.options import Learner, RunOptions, State, learner_of
from stgcn_cli.training.step import Batch, step

_SINGLES = 20  # clips whose latency is measured, at least
ON_CPU = 4  # clips of a batch by default


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What to measure; drawn clips unless `split` names real ones."""

    preset: Preset
    device: torch.device
    precision: str
    batch: int
    rounds: int
    split: Split | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Seconds of each round: a training step, an evaluated batch, a single clip, and each phase of a step; peak bytes."""

    options: BenchOptions
    train: list[float]
    evaluate: list[float]
    latency: list[float]
    phases: dict[str, list[float]]
    peak: float

    @property
    def training_clips(self) -> int:
        """Clips of the training split: of the given data, else the official number; 0 if unknown."""
        if self.options.split:
            return len(self.options.split.indices)
        data = self.options.preset.data
        known = NTU.get(data.dataset.removesuffix("-2d"))
        return (known.official if known else BABEL.get(data.dataset, {})).get(data.train, 0)

    def as_dict(self) -> dict[str, Any]:
        """Medians and all rounds; times in seconds, sizes in bytes."""
        o, device = self.options, self.options.device
        clips_per_s = {
            name: {"median": o.batch / statistics.median(times), "least": o.batch / max(times), "greatest": o.batch / min(times)}
            for name, times in (("train", self.train), ("evaluate", self.evaluate))
        }  # fmt: skip
        phases = {name: statistics.median(times) for name, times in self.phases.items()}
        passes = o.preset.train.epochs * o.preset.data.passes
        return {
            "preset": o.preset.name, "device": device.type, "threads": torch.get_num_threads(),
            "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability(),
            "precision": o.precision, "batch_size": o.batch, "rounds": o.rounds, "clips": "given" if o.split else "random",
            "clips_per_s": clips_per_s, "phases": phases,
            "latency": {"p50": percentile(self.latency, 0.5), "p95": percentile(self.latency, 0.95)},
            "peak_memory": self.peak, "training_clips": self.training_clips,
            "training_seconds": passes * self.training_clips / clips_per_s["train"]["median"],
            "seconds": {"train": self.train, "evaluate": self.evaluate, "latency": self.latency},
        }  # fmt: skip


def measure(options: BenchOptions, reporter: Reporter) -> Measured:
    """Measure everything; a minute or two on a CPU. Raises RunError when a step needs more memory than there is."""
    preset, device, precision = options.preset, options.device, options.precision
    with reporter.progress("measure memory", None):
        peak = peak_of_step(preset, options.batch, device, precision)
    clips = Clips.of(options.split or split_of(preset, options.batch), preset, device)
    index, labels = torch.arange(options.batch) % len(clips), labels_of(preset, options.batch, device)
    placed = clips.placed(index)
    x, absent = clips.batch(index, placed=placed)[0], clips.absent(index, placed)
    last = clips.absent(index[-1:])
    singles = max(_SINGLES, options.rounds)
    with reporter.progress("measure speed", 3 * (options.rounds + 1) + singles + 1) as advance:

        def timed(work: Callable[[], object], rounds: int, calls: int | None = None) -> list[float]:
            """Seconds of a call in each round, after one that does not count; see `seconds_of`."""
            times = []
            for _ in range(rounds + 1):
                times.append(seconds_of(work, device, calls=calls))
                advance(1)
            return times[1:]

        train, evaluate = train_step(preset, device, precision), eval_step(preset, device, precision)
        return Measured(
            options=options, peak=peak,
            train=timed(lambda: train(x, labels, absent), options.rounds),
            evaluate=timed(lambda: evaluate(x, labels, absent), options.rounds),
            latency=timed(lambda: evaluate(x[-1:], labels[-1:], last), singles, calls=1),
            phases=_phases(options, lambda: clips.batch(index, placed=placed)[0], labels, absent, lambda: advance(1)),
        )  # fmt: skip


def percentile(times: list[float], share: float) -> float:
    """The time that this share of them does not exceed."""
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def peak_of_step(preset: Preset, batch: int, device: torch.device, precision: str) -> float:
    """Peak bytes of a training step: of the allocator on CUDA, elsewhere of a process that does nothing else.

    Raises RunError when there is not enough memory.
    """
    hint = f"Use a smaller batch: --batch-size {max(1, batch // 2)}"
    try:
        with memory_errors(f"A training step of {batch} clips", hint):
            if device.type == "cuda":
                return _peak_here(preset, batch, device, precision)
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                return pool.submit(_peak_here, preset, batch, device, precision).result()
    except BrokenProcessPool as error:
        # the machine ended the process before it could answer
        raise RunError(f"A training step of {batch} clips needs more memory than this machine has.", hint) from error


def _peak_here(preset: Preset, batch: int, device: torch.device, precision: str) -> float:
    reset_peak(device)
    train = train_step(preset, device, precision)
    x, labels = batch_of(preset, batch, device)
    train(x, labels)
    if device.type == "cuda":
        reset_peak(device)  # without the workspaces of the search for the quickest algorithms
    train(x, labels)
    return peak_bytes(device)


def train_step(preset: Preset, device: torch.device, precision: str) -> Callable[..., object]:
    """Return the step that `train` takes: x (N, C, T, V, M), labels (N,), absent persons -> loss and ranks; the weights change."""
    learner = _learner(preset, device, precision)
    return lambda *batch: step(learner, Batch(*batch))


def _learner(preset: Preset, device: torch.device, precision: str) -> Learner:
    preset = with_counts(preset)
    model = _model(preset, device, precision).train()
    options = RunOptions(preset=preset, precision=precision)
    return learner_of(options, World(0, 1, device), State(model, build_optimizer(preset, model)))


def eval_step(preset: Preset, device: torch.device, precision: str) -> Callable[..., Tensor]:
    """Return what `eval` computes: x (N, C, T, V, M) -> logits; labels are ignored."""
    model = _model(preset, device, precision).eval()

    @torch.inference_mode()
    def evaluate(x: Tensor, labels: Tensor, absent: Absent | None = None) -> Tensor:
        with computing(precision, device):
            return model(x, absent)

    return evaluate


def _phases(
    options: BenchOptions,
    batch: Callable[[], Tensor],
    labels: Tensor,
    absent: Absent | None,
    advance: Callable[[], object],
) -> dict[str, list[float]]:
    """Seconds of gather, forward, backward and update in each round of training steps, each waited for."""
    learner = _learner(options.preset, options.device, options.precision)
    held: dict[str, Tensor] = {}

    def forward() -> None:
        with computing(options.precision, options.device):
            logits = learner.net(held["x"], absent)
        held["loss"] = learner.loss(logits, labels)

    def update() -> None:
        learner.state.optimizer.step()
        learner.state.optimizer.zero_grad(set_to_none=True)

    phases: dict[str, Callable[[], object]] = {
        "gather": lambda: held.update(x=batch()), "forward": forward, "backward": lambda: held["loss"].backward(), "update": update,
    }  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in phases}
    for _ in range(options.rounds + 1):
        for name, phase in phases.items():
            times[name].append(seconds_of(phase, options.device, calls=1))
        advance()
    return {name: each[1:] for name, each in times.items()}


def _model(preset: Preset, device: torch.device, precision: str) -> nn.Module:
    """Set up the process as `train` and `eval` do, and return the network with initial weights."""
    tune_allocator()
    set_up(precision)
    torch.manual_seed(0)
    return build_model(preset).to(device, dtype_of(precision))
