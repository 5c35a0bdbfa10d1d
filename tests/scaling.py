"""`python -m tests.scaling [--rounds 3] [--frames 100] [--clips 8]`: what a second process brings, on the processor with gloo.

Each process has one thread, so two of them need two cores. Strong: the same batch shared by two; weak: as many clips for each
as one alone has. A run is `stgcn train` on drawn clips, and the figures are the step times in its log, the first two left out.
"""

import argparse
import json
import pickle
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cli.runner import environment
from tests.conftest import make_records

STEPS = 8


def step_seconds(folder: Path, data: Path, name: str, gpus: int, batch: int, frames: int) -> float:
    """Median seconds of a step of one short run."""
    words = ["train", "--preset", "ntu60-xsub-3d", "--data", data, "--device", "cpu", "--gpus", gpus, "--work-dir", name,
             "--no-validate", "--no-report", "--quiet", "--epochs", 1, "--set", f"data.clip_len={frames}", "data.num_person=1",
             f"train.batch_size={batch}", "model.num_classes=3", "train.log_every=1", f"data.passes={-(-STEPS * batch // 48)}"]  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "stgcn_cli", *map(str, words)], check=True, cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL
    )  # fmt: skip
    records = [json.loads(line) for line in (folder / name / "log.jsonl").read_text().splitlines()]
    return statistics.median([record["time"] for record in records if record["mode"] == "train"][2:])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--clips", type=int, default=8, help="of one process alone")
    asked = parser.parse_args()
    ways = {"alone": (1, asked.clips), "strong": (2, asked.clips), "weak": (2, 2 * asked.clips)}
    speedups: dict[str, list[float]] = {"strong": [], "weak": []}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        data = folder / "ntu60.pkl"
        records = make_records(48)
        names = [record["frame_dir"] for record in records]
        data.write_bytes(pickle.dumps({"split": {"xsub_train": names, "xsub_val": names[:1]}, "annotations": records}))
        for index in range(asked.rounds):
            speed = {
                way: batch / step_seconds(folder, data, f"{way}{index}", gpus, batch, asked.frames)
                for way, (gpus, batch) in ways.items()
            }
            for way, each in speedups.items():
                each.append(speed[way] / speed["alone"])
            print({way: round(value, 2) for way, value in speed.items()}, "clips/s", file=sys.stderr, flush=True)
    for way, each in speedups.items():
        print(
            f"{way}: {statistics.median(each):.2f} times as fast with two processes ({min(each):.2f} to {max(each):.2f})"
        )


if __name__ == "__main__":
    main()
