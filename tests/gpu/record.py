"""Record a training step and an evaluated batch on a CUDA device that computes nothing: kernels, bytes, waits.

    python -m tests.gpu.record [--preset ntu60-xsub-3d] [--loss cb-focal] [--work train static host eval] [--batch 32] [--precision bf16] [--parts]

The process restarts itself with the stub preloaded, since torch looks for its hooks when it is imported.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.gpu import fake

WORKS = ("train", "static", "host", "eval")


def record(name: str, batch: int, precision: str, settings: list[str], wanted: list[str]) -> dict[str, fake.Recording]:
    """Recordings of "train" (a whole step, with gather and sums), of it with tensors that stay where they are ("static"), of it with
    frames on the host ("host"), and of "eval" (the second batch).
    """
    import torch

    from stgcn_cli.config import presets
    from stgcn_cli.data.loader import Clips
    from stgcn_cli.diagnostics.bench import split_of, with_counts
    from stgcn_cli.evaluation import score
    from stgcn_cli.models import build_model
    from stgcn_cli.runtime.distributed import World
    from stgcn_cli.training import optim, options, static_step, step
    from stgcn_cli.training.monitor import Monitor

    def computing(precision: str, device: Any) -> Any:
        return fake.autocast_bf16() if precision == "bf16" else contextlib.nullcontext()

    step.computing = score.computing = computing
    static_step.GraphRecorder = _NoGraph
    preset, device = with_counts(presets.load(name, settings)), torch.device("cuda")  # as the program names it
    split = split_of(preset, batch)
    world = World(0, 1, device)
    index = torch.arange(batch)  # a real one: the host looks into it
    score._batches = lambda *_, **__: [index]
    with fake.fake_cuda() as mode:
        on_host = Clips.of(split, preset, torch.device("cpu"))
        clips = _on_fake(on_host, mode, device)
        model = fake.to_fake(build_model(preset), device)
        state = options.State(model, optim.build_optimizer(preset, model))
        learner = options.Learner(
            state=state, net=model, loss=optim.build_loss(preset.loss), world=world, precision=precision
        )
        run_options = options.RunOptions(preset=preset)
        job, data = options.Job(run_options, (), Path()), options.Dataset(split, clips)
        monitor = Monitor(options.TrainContext(job=job, learner=learner, data=data, log=None), 0, lambda *_: [])

        def training(kind: type, clips: Any) -> Any:
            steps = kind(run_options, learner, clips)

            def train() -> None:
                steps.prepare(index, clips.placed(index), 0)
                monitor.add(0, *steps.take(0.1), steps.fetch_s)

            return train

        def evaluate() -> None:
            score.score_clips(model, clips, world=world, precision=precision, batch_size=batch, advance=lambda n: None)

        host_frames = replace(on_host, device=device, sides=clips.sides, parents=clips.parents)
        works = {
            "train": (training(step.EagerSteps, clips), model.train),
            "static": (training(static_step.StaticSteps, clips), model.train),
            "host": (training(step.EagerSteps, host_frames), model.train),
            "eval": (evaluate, model.eval),
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
            recordings[title] = recorder.recording
    return recordings


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


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", nargs="*", default=["ntu60-xsub-3d"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--work", nargs="*", choices=WORKS, default=("train", "eval"))
    parser.add_argument("--loss", choices=("cross-entropy", "cb-focal"), help="instead of the preset's")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--parts", action="store_true", help="the ops that move most")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "STGCN_FAKE_CUDA" not in os.environ:
        if fake.library() is None:
            sys.exit("The stub cannot be built: it needs g++ and a CPU build of torch on Linux.")
        os.execve(sys.executable, [sys.executable, "-m", "tests.gpu.record", *sys.argv[1:]], _environment())
    figures: dict[str, Any] = {}
    settings = [f"loss.name={options.loss}", "loss.class_counts=data"] if options.loss == "cb-focal" else []
    settings += ["loss.name=cross-entropy"] if options.loss == "cross-entropy" else []
    for name in options.preset:
        for title, found in record(name, options.batch, options.precision, settings, options.work).items():
            figures[f"{name} {title}"] = {
                "kernels": len(found.ops), "gigabytes": round(found.gigabytes, 2), "waits": found.waits,
            }  # fmt: skip
            if not options.json:
                print(
                    f"{name} {title}: {len(found.ops)} kernels, {found.gigabytes:.1f} GB, waits: {found.waits or 'none'}"
                )
            if options.parts:
                count, size = Counter(), Counter()
                for op in found.ops:
                    count[op.name, op.where] += 1
                    size[op.name, op.where] += op.bytes
                for key, moved in size.most_common(40):
                    print(f"  {moved / 1e9:8.3f} GB {count[key]:4}  {key[0]:40} {key[1]}")
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
