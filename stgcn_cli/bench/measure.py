"""`stgcn bench`: each piece of the work measured on this device, ours and the plain path in turn.

Shapes: N clips of a batch.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stgcn_cli import presets
from stgcn_cli.batches import Clips
from stgcn_cli.bench import clips as drawn
from stgcn_cli.bench import files, floors, memory, works
from stgcn_cli.bench.files import FileTimes
from stgcn_cli.bench.timing import in_turn, ratio, seconds_of
from stgcn_cli.config import Preset
from stgcn_cli.data.babel_release import BABEL
from stgcn_cli.data.ntu_names import NTU
from stgcn_cli.data.splits import Split
from stgcn_cli.models.cost import cost_of_clip, values_of_body
from stgcn_cli.screen import Screen

_SINGLES = 20  # clips whose latency is measured, at least
ON_CPU = 4  # clips of a batch, unless asked for


@dataclass(frozen=True)
class Asked:
    """What to measure. `split`: real clips; None: drawn ones."""

    preset: Preset
    device: torch.device
    precision: str
    batch: int
    rounds: int
    split: Split | None = None
    pickle: Path | None = None


@dataclass(frozen=True)
class Measured:
    """Seconds of each round by name, bytes, and rates in FLOP/s and bytes/s."""

    asked: Asked
    files: FileTimes
    train: dict[str, list[float]]  # plain, ours
    evaluate: dict[str, list[float]]
    latency: dict[str, list[float]]
    parts: dict[str, float]  # of a training step of ours: gather, forward, backward, update
    bodies: int  # of the batch that are not the same as another one
    peak: dict[str, float]
    matmul: float
    copy: float

    def clips_per_s(self, times: dict[str, list[float]], who: str) -> float:
        """Of a batch's median time."""
        return self.asked.batch / statistics.median(times[who])

    @property
    def step_flop(self) -> float:
        """Of a training step, with the bodies that have to be computed."""
        p = self.asked.preset
        cost = cost_of_clip(
            presets.layout_of(p), p.model.num_classes, len(p.data.channels), p.model.partition, frames_of(p), 1
        )
        return cost.step * self.bodies

    @property
    def step_bytes(self) -> float:
        """That a training step moves at least: feature maps written and read, forward, backward, and their gradients."""
        p = self.asked.preset
        size = 2 if self.asked.precision == "bf16" else 8 if self.asked.precision == "float64" else 4
        return 6 * size * values_of_body(presets.layout_of(p), len(p.data.channels), frames_of(p)) * self.bodies

    @property
    def floor_s(self) -> dict[str, float]:
        """The least time of a training step, by arithmetic and by memory."""
        return {"arithmetic": self.step_flop / self.matmul, "memory": self.step_bytes / self.copy}

    @property
    def training_clips(self) -> int:
        """Clips of the preset's training split: of the data that was given, else the official number; 0 = not known."""
        if self.asked.split:
            return len(self.asked.split.indices)
        data = self.asked.preset.data
        known = NTU.get(data.dataset.removesuffix("-2d")) or BABEL.get(data.dataset)
        return known.official.get(data.train, 0) if known else 0

    @property
    def training_s(self) -> float:
        """Of the preset's whole training at this speed, without validation and start."""
        passes = self.asked.preset.train.epochs * self.asked.preset.data.passes
        return passes * self.training_clips / self.clips_per_s(self.train, "ours")


def measure(asked: Asked, screen: Screen) -> Measured:
    """All of it; a minute or two on a processor."""
    preset, device = asked.preset, asked.device
    total = 2 * (asked.rounds + 1) * 2 + 2 * (_singles(asked) + 1)
    with screen.progress("measure files", None):
        times = files.measure(preset)
        if asked.pickle:
            from stgcn_cli.data.places import cache_folder

            times = FileTimes(times.prepare_s, times.texts, times.build_s, times.bytes,
                              files.open_seconds(asked.pickle, cache_folder()))  # fmt: skip
    with screen.progress("measure memory", None):
        peak = {who: memory.peak_of_step(preset, asked.batch, device, *how) for who, how in _ways(asked).items()}
    fetch, labels = _batches(asked)
    x = fetch()
    with screen.progress("race", total) as advance:
        tick: Callable[[], Any] = lambda: advance(1)  # noqa: E731
        train = in_turn(_train(asked, x, labels), asked.rounds, device, tick)
        evaluate = in_turn(_evaluate(asked, x, labels), asked.rounds, device, tick)
        latency = in_turn(_evaluate(asked, x[-1:], labels[-1:]), _singles(asked), device, tick)
    with screen.progress("measure parts and floors", None):
        parts = _parts(asked, fetch, labels)
        rates = floors.matmul_rate(device, asked.precision), floors.copy_rate(device)
    return Measured(asked, times, train, evaluate, latency, parts, _bodies(x), peak, *rates)


def frames_of(preset: Preset) -> int:
    """Frames of a clip as the network sees it."""
    return preset.data.clip_len or drawn.STORED


def _singles(asked: Asked) -> int:
    return max(_SINGLES, asked.rounds)


def _ways(asked: Asked) -> dict[str, tuple[str, bool]]:
    return {"plain": (works.PLAIN, True), "ours": (asked.precision, False)}


def _batches(asked: Asked) -> tuple[Callable[[], Tensor], Tensor]:
    """What gathers the batch of the measurement, and its labels."""
    split = asked.split or drawn.split_of(asked.preset, asked.batch)
    clips = Clips.of(split, asked.preset.data, asked.device)
    index = torch.arange(asked.batch) % len(clips)
    return lambda: clips.batch(index)[0], drawn.labels_of(asked.preset, asked.batch, asked.device)


def _train(asked: Asked, x: Tensor, labels: Tensor) -> dict[str, Callable[[], object]]:
    steps = {who: works.train_step(asked.preset, asked.device, *how) for who, how in _ways(asked).items()}
    return {who: partial(step, x, labels) for who, step in steps.items()}


def _evaluate(asked: Asked, x: Tensor, labels: Tensor) -> dict[str, Callable[[], object]]:
    """Evaluation is float32 unless another precision was asked for, as in `stgcn eval`; here it is the one asked for."""
    steps = {who: works.eval_step(asked.preset, asked.device, *how) for who, how in _ways(asked).items()}
    return {who: partial(step, x, labels) for who, step in steps.items()}


def _parts(asked: Asked, fetch: Callable[[], Tensor], labels: Tensor) -> dict[str, float]:
    """Median seconds of each part of a step."""
    parts = works.parts_of_a_step(asked.preset, asked.device, asked.precision, fetch, labels)
    taken: dict[str, list[float]] = {name: [] for name in parts}
    for index in range(asked.rounds + 1):
        for name, part in parts.items():
            spent = seconds_of(part, asked.device)
            if index:
                taken[name].append(spent)
    return {name: statistics.median(each) for name, each in taken.items()}


def _bodies(x: Tensor) -> int:
    """Bodies of x (N, C, T, V, M) to compute: an empty person is one, however often it is there, on a processor."""
    persons = x.permute(0, 4, 1, 2, 3).flatten(0, 1)
    if x.is_cuda:
        return len(persons)
    empty = (persons.flatten(2) == persons.flatten(2)[..., :1]).all(2).all(1)
    return int((~empty).sum()) + bool(empty.any())


def ratios(measured: Measured) -> dict[str, tuple[float, float, float]]:
    """How much faster than the plain path: median, least, greatest."""
    raced = {"train": measured.train, "evaluate": measured.evaluate, "latency": measured.latency}
    return {name: ratio(times, "plain", "ours") for name, times in raced.items()}
