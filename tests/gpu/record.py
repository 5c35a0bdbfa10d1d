"""Record a training step and an evaluated batch on a CUDA device that computes nothing: kernels, bytes, waits.

    python -m tests.gpu.record [--preset ntu60-xsub-3d | all] [--set KEY=VALUE] [--work train eval static host frozen save] [--batch 32] [--parts]

The process restarts itself with the stub preloaded, since torch looks for its hooks when it is imported.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stgcn_cli.config import presets
from tests.gpu import fake

WORKS = ("train", "static", "host", "frozen", "eval", "save")
PARTS = {
    "BatchNorm": ("batch_norm",),
    "convolutions over frames": ("convolution",),
    "ReLU, residuals and sums of gradients": ("relu", "threshold_backward", "add"),
}  # names of ops


def record(name: str, batch: int, precision: str, settings: list[str], wanted: list[str]) -> dict[str, fake.Recording]:
    """Recordings of "train" (a whole step, with gather and sums), of it with tensors that stay where they are ("static"), of it with
    frames on the host ("host"), of it with a frozen backbone ("frozen"), of "eval" (the second batch; of `batch` samples, where a
    clip has several), and of "save" (a checkpoint, which must hold tensors of the host only).
    """
    import torch
    from torch.utils._pytree import tree_leaves

    from stgcn_cli.data.loader import Clips
    from stgcn_cli.diagnostics.bench import split_of, with_counts
    from stgcn_cli.evaluation import score
    from stgcn_cli.models import build_model
    from stgcn_cli.runs import checkpoint
    from stgcn_cli.runtime.distributed import World
    from stgcn_cli.training import optim, options, static_step, step
    from stgcn_cli.training.monitor import Monitor
    from stgcn_cli.training.start import freeze as freeze_parts

    def computing(precision: str, device: Any) -> Any:
        return fake.autocast_bf16() if precision == "bf16" else contextlib.nullcontext()

    step.computing = score.computing = computing
    static_step.GraphRecorder = _NoGraph
    preset, device = with_counts(presets.load(name, settings)), torch.device("cuda")  # as the program names it
    split = split_of(preset, batch)
    world = World(0, 1, device)
    index = torch.arange(batch)  # a real one: the host looks into it
    score._batches = lambda *_, **__: [index[: max(1, batch // preset.eval.clips)]]
    on_host = Clips.of(split, preset, torch.device("cpu"))
    shown = Clips.of(split, preset, torch.device("cpu"), samples=preset.eval.clips)
    network = build_model(preset)
    with fake.fake_cuda() as mode:
        clips, evaluated = (_on_fake(each, mode, device) for each in (on_host, shown))
        model = fake.to_fake(network, device)
        computed: list[int] = []
        model.backbone.blocks = _counting(model.backbone.blocks, computed)
        average = optim.WeightAverage(model, preset.optim.ema_decay) if preset.optim.ema_decay else None
        state = options.State(model, optim.build_optimizer(preset, model), average=average)
        learner = options.Learner(
            state=state, net=model, loss=optim.build_loss(preset.loss), world=world, precision=precision,
            clip_norm=preset.optim.clip_norm,
        )  # fmt: skip
        run_options = options.RunOptions(preset=preset)
        job, data = options.Job(run_options, (), Path()), options.Dataset(split, clips)
        monitor = Monitor(options.TrainContext(job=job, learner=learner, data=data, log=None), 0, lambda *_: [])

        def training(kind: type, clips: Any) -> Any:
            steps = kind(run_options, learner, clips)

            def train() -> None:
                steps.prepare(index, clips.placed(index), 0)
                monitor.add(0, *steps.take(0.1), steps.fetch_s)
                if state.average:
                    state.average.update(model, 0)

            return train

        def evaluate() -> None:
            score.score_clips(
                model, evaluated, world=world, precision=precision, batch_size=batch, advance=lambda n: None
            )

        def set_up(freeze: str | None) -> None:
            model.requires_grad_(True)
            freeze_parts(model, freeze)
            step.set_training(model, freeze)

        def save() -> None:
            saved = checkpoint.contents(model, {}, state.optimizer)
            assert all(each.device.type == "cpu" for each in tree_leaves(saved) if isinstance(each, torch.Tensor))

        host_frames = replace(on_host, device=device, sides=clips.sides, parents=clips.parents)
        works = {
            "train": (training(step.EagerSteps, clips), lambda: set_up(None)),
            "static": (training(static_step.StaticSteps, clips), lambda: set_up(None)),
            "host": (training(step.EagerSteps, host_frames), lambda: set_up(None)),
            "frozen": (training(step.EagerSteps, clips), lambda: set_up("backbone")),
            "eval": (evaluate, model.eval),
            "save": (save, model.train),
        }
        recordings = {}
        for title in wanted:
            work, before = works[title]
            before()
            with fake.Recorder() as warm:
                work()  # makes momenta, and places what is placed once
            del warm
            with fake.Recorder() as recorder:
                work()
            recordings[title] = replace(recorder.recording, bodies=computed[-1] if computed else 0)
    return recordings


def _counting(blocks: Any, computed: list[int]) -> Any:
    """`blocks` of a backbone, with the number of bodies that are computed added to `computed`."""

    def counted(x: Any, copies: int) -> Any:
        computed.append(len(x))
        return blocks(x, copies)

    return counted


class _NoGraph:
    """Instead of `GraphRecorder`: the kernels that it would record."""

    def optimizer_settings(self, lr: Any) -> dict[str, Any]:
        return {"lr": lr, "capturable": True}

    def run(self, work: Any) -> Any:
        return [each.clone() for each in work()]

    def record(self, body: Any) -> Any:
        return body


def _on_fake(clips: Any, mode: Any, device: Any) -> Any:
    """The clips with all tensors on the fake device, as after `moved`."""
    import dataclasses

    from torch import Tensor

    def moved(value: Any) -> Any:
        if isinstance(value, Tensor):
            return mode.from_tensor(value).to(device)
        if dataclasses.is_dataclass(value) and any(isinstance(v, Tensor) for v in vars(value).values()):
            return replace(value, **{k: moved(v) for k, v in vars(value).items() if isinstance(v, Tensor)})
        return value

    fields = {each.name: moved(getattr(clips, each.name)) for each in dataclasses.fields(clips)}
    return replace(clips, **fields | {"device": device})


def in_process(*arguments: str) -> dict[str, Any]:
    """Run this module with the stub and return its figures."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu.record", "--json", *arguments],
        env=_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(done.stderr[-3000:])
    return json.loads(done.stdout)


def _environment() -> dict[str, str]:
    import torch

    libraries = f"{Path(torch.__file__).parent / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    return os.environ | {"LD_PRELOAD": str(fake.library()), "LD_LIBRARY_PATH": libraries, "STGCN_FAKE_CUDA": "1"}


def part_of(op: fake.Op) -> str:
    """The part of a step that an op belongs to."""
    if op.where.startswith("models/graph_conv"):
        return "graph convolutions"
    return next((part for part, names in PARTS.items() if any(name in op.name for name in names)), "the rest")


def grouped(ops: list[fake.Op], key_of: Callable[[fake.Op], str]) -> list[tuple[str, list[fake.Op]]]:
    """Ops by a key; what moves most comes first."""
    groups: dict[str, list[fake.Op]] = {}
    for op in ops:
        groups.setdefault(key_of(op), []).append(op)
    return sorted(groups.items(), key=lambda pair: -sum(op.bytes for op in pair[1]))


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", nargs="*", default=["ntu60-xsub-3d"], help="names, or all")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in train")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--work", nargs="*", choices=WORKS, default=("train", "eval"))
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--parts", action="store_true", help="by part of a step, and by operation")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "STGCN_FAKE_CUDA" not in os.environ:
        if fake.library() is None:
            sys.exit("The stub cannot be built: it needs g++ and a CPU build of torch on Linux.")
        os.execve(sys.executable, [sys.executable, "-m", "tests.gpu.record", *sys.argv[1:]], _environment())
    figures: dict[str, Any] = {}
    for name in presets.names() if options.preset == ["all"] else options.preset:
        for title, found in record(name, options.batch, options.precision, options.set, options.work).items():
            figures[f"{name} {title}"] = {
                "kernels": len(found.ops), "gigabytes": round(found.gigabytes, 2), "bodies": found.bodies, "waits": found.waits,
            }  # fmt: skip
            if not options.json:
                figure = f"{found.bodies} bodies, {len(found.ops)} kernels, {found.gigabytes:.1f} GB"
                print(f"{name} {title}: {figure}, waits: {found.waits or 'none'}")
            if options.parts:
                for title, key_of in (("part", part_of), ("operation", lambda op: f"{op.name:40} {op.where}")):
                    print(f"  by {title}")
                    for key, ops in grouped(found.ops, key_of)[:40]:
                        print(f"  {sum(op.bytes for op in ops) / 1e9:8.3f} GB {len(ops):4}  {key}")
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
