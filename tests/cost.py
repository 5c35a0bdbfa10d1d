"""`python -m tests.cost DATA A B [--a KEY=VALUE …] [--b KEY=VALUE …] [--steps 8]`: what recipe B costs beside recipe A.

A and B are presets with settings of their own. Both train on the same clips in one process, a step of A, a step of B, a step of A, …,
after one of each that does not count. Time is that of the processor on one thread, so that other work on the machine matters little.
Printed as JSON: seconds of a step, the share of it that reading and augmenting the batch takes, and B over A for an epoch and for
all of them.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from stgcn_cli.config import presets
from stgcn_cli.data.loader import Clips
from stgcn_cli.data.splits import find_split, open_stores
from stgcn_cli.runtime.distributed import World
from stgcn_cli.training import options, start, step


class Recipe:
    """A preset in training on a pickle: `take` does one step; `total` and `data` hold the seconds of each."""

    def __init__(self, data: Path, name: str, settings: list[str], precision: str) -> None:
        self.preset = presets.load(name, settings)
        run, world = options.RunOptions(preset=self.preset, precision=precision), World(0, 1, torch.device("cpu"))
        clips = Clips.of(find_split(open_stores([data]), self.preset.data.train), self.preset, world.device)
        job = options.Job(run, (data,), Path(tempfile.gettempdir()) / "none")
        learner = options.learner_of(job.options, world, start.start(job, world))
        step.set_training(learner.net, None)
        self.steps = step.EagerSteps(run, learner, clips)
        self.batches = step.batches_of_epoch(run, len(clips), 0, 0, 1)
        self.data: list[float] = []
        self.total: list[float] = []

    def take(self, number: int) -> None:
        """Step `number` of the first epoch."""
        began, items = time.process_time(), self.batches[number % len(self.batches)]
        self.steps.prepare(items, items, 0)
        self.data.append(time.process_time() - began)
        self.steps.take(self.preset.optim.lr)
        self.total.append(time.process_time() - began)

    def costs(self) -> dict[str, float]:
        """Seconds of a step, an epoch and the whole training, and the share of the data."""
        seconds = statistics.median(self.total)
        epoch = seconds * len(self.batches)
        share = statistics.median(data / total for data, total in zip(self.data, self.total, strict=True))
        return {
            "step_s": seconds,
            "data_share": share,
            "epoch_s": epoch,
            "training_s": epoch * self.preset.train.epochs,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs=2, metavar=("A", "B"))
    parser.add_argument("--a", nargs="*", default=[], help="settings of A")
    parser.add_argument("--b", nargs="*", default=[], help="settings of B")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--precision", default="float32")
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = (given.a, given.b)
    both = [Recipe(given.data, name, own, given.precision) for name, own in zip(given.names, settings, strict=True)]
    for number in range(given.steps + 1):
        for recipe in both:
            recipe.take(number)
            if number == 0:
                recipe.data.clear()
                recipe.total.clear()
    costs = [recipe.costs() for recipe in both]
    ratios = {name: costs[1][f"{name}_s"] / costs[0][f"{name}_s"] for name in ("epoch", "training")}
    print(json.dumps({"A": costs[0], "B": costs[1], "B/A": ratios}, indent=2))


if __name__ == "__main__":
    main()
