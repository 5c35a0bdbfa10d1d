"""`stgcn bench`: each piece of the work measured on this device, ours and the plain path in turn.

Shapes: N clips of a batch.
"""

import multiprocessing
import os
import pickle
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data.loader import REFERENCE_SIZE, Clips
from stgcn_cli.data.ntu.names import NTU
from stgcn_cli.data.prepare import synthetic
from stgcn_cli.data.prepare.babel import BABEL
from stgcn_cli.data.prepare.ntu import prepare_ntu
from stgcn_cli.data.splits import Split
from stgcn_cli.data.store import Store, open_store, store_of
from stgcn_cli.errors import RunError
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.models import build_model
from stgcn_cli.models.flops import cost_of_clip, values_of_body
from stgcn_cli.models.reference import as_published
from stgcn_cli.runtime.distributed import World
from stgcn_cli.runtime.memory import tune_allocator
from stgcn_cli.runtime.precision import computing, dtype_of, set_up
from stgcn_cli.training import train
from stgcn_cli.training.options import State, TrainPlan
from stgcn_cli.training.step import Step, build_loss_of, step_function

# Clips to measure with: of a preset's shapes, drawn at random, with NTU's share of empty second persons.
#
# Shapes: N clips, C channels, T frames, V joints, M persons.

TWO_PERSONS = 0.2  # of the clips, as in NTU RGB+D
LOOPED, STORED = (
    100,
    150,
)  # frames of a drawn clip: where the preset names a length it is looped to, and where it does not


def split_of(preset: Preset, count: int, two_persons: float = TWO_PERSONS) -> Split:
    """`count` clips of random movement in memory; the first ones, this share of them, have all the preset's persons."""
    data, joints = preset.data, len(presets.layout_of(preset).joints)
    rng, several = np.random.default_rng(0), -int(-count * two_persons // 1)
    records = []
    for index in range(count):
        shape = (data.num_person, LOOPED if data.clip_len else STORED, joints)
        drawn = rng.normal(size=(*shape, len(data.channels))).astype(np.float32)
        if data.channels != "xyz":
            drawn[..., :2] = 500 + 100 * drawn[..., :2]  # pixels
        drawn[data.num_person if index < several else 1 :] = 0
        record = {
            "frame_dir": f"drawn{index}",
            "total_frames": shape[1],
            "img_shape": REFERENCE_SIZE,
            "keypoint": drawn,
        }
        if data.channels == "xys":
            record |= {"keypoint": drawn[..., :2], "keypoint_score": drawn[..., 2]}
        records.append(record)
    return Split("drawn", store_of(records, Path("drawn clips")), np.arange(count))


def batch_of(
    preset: Preset, count: int, device: torch.device, two_persons: float = TWO_PERSONS
) -> tuple[Tensor, Tensor]:
    """x (N, C, T, V, M) and labels (N,) of `count` drawn clips, fetched as training does."""
    clips = Clips.of(split_of(preset, count, two_persons), preset.data, device)
    return clips.batch(torch.arange(count))[0], labels_of(preset, count, device)


def labels_of(preset: Preset, count: int, device: torch.device) -> Tensor:
    """Labels (N,): each class in turn."""
    return torch.arange(count, device=device) % preset.model.num_classes


# What comes before the first step: preparing raw texts, building the store of a pickle, opening it.

_SUBJECTS, _REPETITIONS = range(1, 13), 2  # of the made texts: 120 of one person
_CLIPS = 400  # in the made pickle


@dataclass(frozen=True)
class FileTimes:
    """Seconds; `texts` and `bytes` are how much there was. What was not measured is 0."""

    prepare_s: float
    texts: int
    build_s: float
    bytes: int
    open_s: float


def measure_files(preset: Preset) -> FileTimes:
    """In a temporary folder, which is removed again."""
    with tempfile.TemporaryDirectory(prefix="stgcn-bench-") as name:
        folder = Path(name)
        prepare_s, texts = _prepare(folder) if preset.data.dataset in NTU else (0.0, 0)
        path = folder / "made.pkl"
        path.write_bytes(pickle.dumps(_records(preset), protocol=4))
        began = time.perf_counter()
        open_store(path, folder)
        built = time.perf_counter()
        store = open_store(path, folder)
        opened = time.perf_counter()
        size = path.stat().st_size
        del store  # before its folder goes
        return FileTimes(prepare_s, texts, built - began, size, opened - built)


def open_seconds(path: Path, cache: Path) -> float:
    """Of opening a store that is there already."""
    open_store(path, cache)
    began = time.perf_counter()
    open_store(path, cache)
    return time.perf_counter() - began


def _prepare(folder: Path) -> tuple[float, int]:
    raw = folder / "made_skeletons.zip"
    texts = synthetic.write_zip(raw, tuple(_SUBJECTS), _REPETITIONS)
    began = time.perf_counter()
    prepare_ntu("ntu60", [raw], folder / "prepared.pkl", workers=os.cpu_count() or 1)
    return time.perf_counter() - began, texts


def _records(preset: Preset) -> list[dict]:
    store: Store = split_of(preset, _CLIPS).store
    frames = np.asarray(store.frames)
    return [
        {"frame_dir": name, "label": 0, "total_frames": int(length), "keypoint": frames[start : start + length][None]}
        for name, length, start in zip(store.names, store.lengths, store.starts[:, 0], strict=True)
    ]


# What the device can do at best, measured: the rate of a large matrix product, and of copying memory.

_SIDE = {"cpu": 1536, "cuda": 8192}  # of square matrices
_BYTES = {"cpu": 256 << 20, "cuda": 1 << 30}  # larger than any cache
_TRIES = 6


def matmul_rate(device: torch.device, precision: str) -> float:
    """FLOP/s of the best of some matrix products in this precision; a multiply-add counts as two."""
    dtype = {"bf16": torch.bfloat16, "float64": torch.float64}.get(precision, torch.float32)
    side = _SIDE.get(device.type, 2048)
    a = torch.randn(side, side, device=device).to(dtype)
    return 2 * side**3 / min(seconds_of(lambda: a @ a, device) for _ in range(_TRIES))


def copy_rate(device: torch.device) -> float:
    """Bytes/s, those read and those written, of the best of some copies."""
    count = _BYTES.get(device.type, 256 << 20)
    a = torch.ones(count // 4, device=device)
    b = torch.empty_like(a)
    return 2 * count / min(seconds_of(lambda: b.copy_(a), device) for _ in range(_TRIES))


# The peak of memory of a training step: on CUDA by the allocator, elsewhere that of a process that does nothing else.


def peak_of_step(preset: Preset, batch: int, device: torch.device, precision: str, plain: bool) -> float:
    """Bytes. The plain one runs with the system's allocator as it is. Raises RunError where there is not as much."""
    try:
        if device.type == "cuda":
            return _on_cuda(preset, batch, device, precision, plain)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            return pool.submit(_of_this_process, preset, batch, precision, plain).result()
    except (BrokenProcessPool, RuntimeError) as error:
        if not isinstance(error, BrokenProcessPool) and "memory" not in str(error):
            raise
        raise RunError(
            f"A training step of {batch} clips{' of the plain path' if plain else ''} needs more memory than there is.",
            f"Take fewer: --batch-size {max(1, batch // 2)}",
        ) from error


def _on_cuda(preset: Preset, batch: int, device: torch.device, precision: str, plain: bool) -> float:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    _two_steps(train_step(preset, device, precision, plain), preset, batch, device)
    return torch.cuda.max_memory_allocated(device)


def _of_this_process(preset: Preset, batch: int, precision: str, plain: bool) -> float:
    device = torch.device("cpu")
    _two_steps(train_step(preset, device, precision, plain, keep=not plain), preset, batch, device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)


def _two_steps(step: Step, preset: Preset, batch: int, device: torch.device) -> None:
    x, labels = batch_of(preset, batch, device)
    for _ in range(2):
        step(x, labels)


# Times of pieces of work, taken in turn, so that a machine that slows down slows down all of them.

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


# The pieces of work that are timed: the steps that `train` and `eval` take, and the same in the plain order.
#
# Shapes: N clips, C channels, T frames, V joints, M persons.

PLAIN = "float32"  # the precision of the plain path


def prepare(precision: str, keep: bool = True) -> None:
    """The process-wide switches of training and evaluation; they stay until the next call."""
    if keep:
        tune_allocator()
    set_up(precision, deterministic=False)


def train_step(preset: Preset, device: torch.device, precision: str, plain: bool = False, keep: bool = True) -> Step:
    """x (N, C, T, V, M), labels (N,) -> loss and logits, the weights changed; `plain`: in the published order."""
    prepare(precision, keep)
    preset = with_counts(preset)
    model = _model(preset, device, precision).train()
    state = State(model, train.build_optimizer(preset, model))
    net = as_published(model) if plain else model
    step = step_function(TrainPlan(preset, (), Path(), precision=precision), World(0, 1, device), state, net)

    def prepared(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        set_up(precision, deterministic=False)
        return step(x, labels)

    return prepared


def eval_step(
    preset: Preset, device: torch.device, precision: str, plain: bool = False
) -> Callable[[Tensor, Tensor], Tensor]:
    """x (N, C, T, V, M) -> logits on the CPU, as evaluation computes them; labels are not looked at."""
    prepare(precision)
    model = _model(preset, device, precision).eval()
    net = as_published(model) if plain else model

    @torch.inference_mode()
    def step(x: Tensor, labels: Tensor) -> Tensor:
        set_up(precision, deterministic=False)
        with computing(precision, device):
            return net(x).cpu()

    return step


def parts_of_a_step(
    preset: Preset, device: torch.device, precision: str, batch: Callable[[], Tensor], labels: Tensor
) -> dict[str, Callable[[], object]]:
    """What a training step consists of, to be called in this order: gather, forward, backward, update."""
    prepare(precision)
    preset = with_counts(preset)
    model = _model(preset, device, precision).train()
    optimizer, loss_of = train.build_optimizer(preset, model), build_loss_of(preset)
    held: dict[str, Tensor] = {}

    def forward() -> None:
        with computing(precision, device):
            logits = model(held["x"])
        held["loss"] = loss_of(logits, labels)

    def backward() -> None:
        optimizer.zero_grad(set_to_none=True)
        held["loss"].backward()

    return {
        "gather": lambda: held.update(x=batch()), "forward": forward, "backward": backward, "update": optimizer.step,
    }  # fmt: skip


def with_counts(preset: Preset) -> Preset:
    """The preset with as many clips of each class as of any other, where it asks for those of the data."""
    if isinstance(preset.loss.class_counts, str):
        return replace(preset, loss=replace(preset.loss, class_counts=(100,) * preset.model.num_classes))
    return preset


def _model(preset: Preset, device: torch.device, precision: str) -> nn.Module:
    torch.manual_seed(0)
    return build_model(preset).to(device, dtype_of(precision))


_SINGLES = 20  # clips whose latency is measured, at least
ON_CPU = 4  # clips of a batch, unless asked for


@dataclass(frozen=True)
class BenchOptions:
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

    asked: BenchOptions
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


def measure(asked: BenchOptions, reporter: Reporter) -> Measured:
    """All of it; a minute or two on a processor."""
    preset, device = asked.preset, asked.device
    total = 2 * (asked.rounds + 1) * 2 + 2 * (_singles(asked) + 1)
    with reporter.progress("measure files", None):
        times = measure_files(preset)
        if asked.pickle:
            from stgcn_cli.io.files import cache_folder

            times = FileTimes(times.prepare_s, times.texts, times.build_s, times.bytes,
                              open_seconds(asked.pickle, cache_folder()))  # fmt: skip
    with reporter.progress("measure memory", None):
        peak = {who: peak_of_step(preset, asked.batch, device, *how) for who, how in _ways(asked).items()}
    fetch, labels = _batches(asked)
    x = fetch()
    with reporter.progress("race", total) as advance:
        tick: Callable[[], Any] = lambda: advance(1)  # noqa: E731
        train = in_turn(_train(asked, x, labels), asked.rounds, device, tick)
        evaluate = in_turn(_evaluate(asked, x, labels), asked.rounds, device, tick)
        latency = in_turn(_evaluate(asked, x[-1:], labels[-1:]), _singles(asked), device, tick)
    with reporter.progress("measure parts and floors", None):
        parts = _parts(asked, fetch, labels)
        rates = matmul_rate(device, asked.precision), copy_rate(device)
    return Measured(asked, times, train, evaluate, latency, parts, _bodies(x), peak, *rates)


def frames_of(preset: Preset) -> int:
    """Frames of a clip as the network sees it."""
    return preset.data.clip_len or STORED


def _singles(asked: BenchOptions) -> int:
    return max(_SINGLES, asked.rounds)


def _ways(asked: BenchOptions) -> dict[str, tuple[str, bool]]:
    return {"plain": (PLAIN, True), "ours": (asked.precision, False)}


def _batches(asked: BenchOptions) -> tuple[Callable[[], Tensor], Tensor]:
    """What gathers the batch of the measurement, and its labels."""
    split = asked.split or split_of(asked.preset, asked.batch)
    clips = Clips.of(split, asked.preset.data, asked.device)
    index = torch.arange(asked.batch) % len(clips)
    return lambda: clips.batch(index)[0], labels_of(asked.preset, asked.batch, asked.device)


def _train(asked: BenchOptions, x: Tensor, labels: Tensor) -> dict[str, Callable[[], object]]:
    steps = {who: train_step(asked.preset, asked.device, *how) for who, how in _ways(asked).items()}
    return {who: partial(step, x, labels) for who, step in steps.items()}


def _evaluate(asked: BenchOptions, x: Tensor, labels: Tensor) -> dict[str, Callable[[], object]]:
    """Evaluation is float32 unless another precision was asked for, as in `stgcn eval`; here it is the one asked for."""
    steps = {who: eval_step(asked.preset, asked.device, *how) for who, how in _ways(asked).items()}
    return {who: partial(step, x, labels) for who, step in steps.items()}


def _parts(asked: BenchOptions, fetch: Callable[[], Tensor], labels: Tensor) -> dict[str, float]:
    """Median seconds of each part of a step."""
    parts = parts_of_a_step(asked.preset, asked.device, asked.precision, fetch, labels)
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


# What was measured, in words and for scripts.


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
