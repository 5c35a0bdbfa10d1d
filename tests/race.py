"""`python -m tests.race [YARDSTICK] [--rounds 5] [--rows train,eval,…] [--json FILE]`: the network against a plain one.

YARDSTICK is a script that trains or evaluates a plain eager float32 ST-GCN and prints a line of JSON with `clips_per_s` and
`peak_mb` (`--mode train|eval --batch N --persons M --iters I`). Each round starts it twice, with the system's allocator as it
is and told to keep its memory, and then this program's own step, each in a new process: plain, plain with memory, ours, plain, …
The figures are medians of the rounds' ratios, and their spread; an absolute time means nothing on a shared machine.

The plain network computes both persons of a clip, as the published one does, whether the second is there or not. This program
does not compute a person who is not there. The rows that end in "-body" leave that out of the race: one person on either side.
The rows that begin with "agcn-" need no YARDSTICK: they race against `AGCN.plain`, the published order of eager operations. They also give the
ratio in processor time ("speed_cpu_kept"), which other programs disturb less; of meaning with one thread (OMP_NUM_THREADS=1).
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

KEPT = {"MALLOC_TOP_PAD_": "67108864", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}


@dataclass(frozen=True)
class Row:
    """One line of the table: what is computed, and how often in a process after a first time that does not count."""

    mode: str
    batch: int
    persons: int = 2  # that a clip has room for
    iters: int = 4  # the yardstick's default
    two: float = 1.0  # the share of the clips that have two persons; of no meaning where there is room for one
    precision: str = "float32"
    preset: str = "ntu60-xsub-3d"


AGCN = "ntu60-xsub-3d-agcn"
NTU = 0.2  # of the clips have two persons
ROWS = {
    "train": Row("train", 16),
    "train-ntu": Row("train", 16, two=NTU),
    "train-ntu-bf16": Row("train", 16, two=NTU, precision="bf16"),
    "eval": Row("eval", 8, two=0),
    "eval-bf16": Row("eval", 8, two=0, precision="bf16"),
    "latency": Row("eval", 1, iters=20, two=0),
    "eval-body": Row("eval", 8, persons=1),
    "eval-bf16-body": Row("eval", 8, persons=1, precision="bf16"),
    "latency-body": Row("eval", 1, persons=1, iters=20),
    "agcn-train": Row("train", 12, iters=2, preset=AGCN),  # the preset's batch
    "agcn-train-ntu": Row("train", 12, iters=2, two=NTU, preset=AGCN),
    "agcn-train-one": Row("train", 12, iters=2, two=0, preset=AGCN),
    "agcn-eval": Row("eval", 8, two=0, preset=AGCN),
    "agcn-latency": Row("eval", 1, iters=20, two=0, preset=AGCN),
}


def ours(row: Row) -> dict[str, float]:
    """Seconds of a step, clips/s, and the peak of memory in MiB, by the functions that `stgcn train` and `eval` use."""
    import torch

    from stgcn_cli.diagnostics import bench

    make = bench.train_step if row.mode == "train" else bench.eval_step
    return timed(row, make(preset_of(row), torch.device("cpu"), row.precision))


def plain(row: Row) -> dict[str, float]:
    """The same of the published order of operations, eager and in float32, without anything that makes it quick."""
    import torch
    from torch.nn import functional as F

    from stgcn_cli.models import build_model

    model = build_model(preset_of(row)).train(row.mode == "train")
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=1e-4, nesterov=True)

    def train(x, labels):
        optimizer.zero_grad()
        F.cross_entropy(model.plain(x), labels).backward()
        optimizer.step()

    def evaluate(x, labels):
        with torch.no_grad():
            model.plain(x)

    return timed(row, train if row.mode == "train" else evaluate)


def preset_of(row: Row):
    from stgcn_cli.config import presets

    return presets.load(row.preset, [f"train.batch_size={row.batch}", f"data.num_person={row.persons}"])


def timed(row: Row, work) -> dict[str, float]:
    import torch

    from stgcn_cli.diagnostics import bench

    batch = bench.batch_of(preset_of(row), row.batch, torch.device("cpu"), two_persons=row.two)
    work(*batch)
    seconds, began_cpu = [], time.process_time()
    for _ in range(row.iters):
        began = time.perf_counter()
        work(*batch)
        seconds.append(time.perf_counter() - began)
    cpu = (time.process_time() - began_cpu) / row.iters
    median = sorted(seconds)[len(seconds) // 2]  # as the yardstick takes it
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {
        "s_per_step": median,
        "clips_per_s": row.batch / median,
        "clips_per_cpu_s": row.batch / cpu,
        "peak_mb": peak,
    }


def said(command: list[str], env: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | env)
    return json.loads(done.stdout.splitlines()[-1])


def race(names: list[str], yardstick: Path | None, rounds: int) -> dict[str, dict]:
    """The rounds of rows that the yardstick cannot tell apart: it runs once a round for all of them."""
    row = ROWS[names[0]]
    words = ["--mode", row.mode, "--batch", row.batch, "--persons", row.persons, "--iters", row.iters]
    plain = [sys.executable, str(yardstick), *map(str, words)]
    if row.preset == AGCN:
        plain = [sys.executable, "-m", "tests.race", "--plain", names[0]]
    runs: dict[str, list] = {name: [] for name in names}
    for index in range(rounds):
        against = {"plain": said(plain, {}), "kept": said(plain, KEPT)}
        for name in names:
            runs[name].append(against | {"ours": said([sys.executable, "-m", "tests.race", "--ours", name], {})})
            print(f"{name} {index + 1}/{rounds}: {line(summary(runs[name]))}", file=sys.stderr, flush=True)
    return {name: summary(each) for name, each in runs.items()}


def together(names: list[str]) -> list[list[str]]:
    """Rows grouped by what the yardstick does for them."""
    groups: dict[tuple, list[str]] = {}
    for name in names:
        row = ROWS[name]
        groups.setdefault((row.mode, row.batch, row.persons, row.iters, row.preset), []).append(name)
    return list(groups.values())


def summary(runs: list[dict]) -> dict:
    """Median, least and greatest of the ratios."""

    def spread(key: str, against: str) -> list[float]:
        ratios = sorted(run["ours"][key] / run[against][key] for run in runs if key in run[against])
        return [round(x, 3) for x in (statistics.median(ratios), ratios[0], ratios[-1])]

    return {
        "rounds": len(runs),
        "speed": spread("clips_per_s", "plain"), "speed_kept": spread("clips_per_s", "kept"),
        **({"speed_cpu_kept": spread("clips_per_cpu_s", "kept")} if "clips_per_cpu_s" in runs[0]["kept"] else {}),
        "memory": spread("peak_mb", "plain"), "memory_kept": spread("peak_mb", "kept"),
        "clips_per_s": {who: round(statistics.median(run[who]["clips_per_s"] for run in runs), 3) for who in runs[0]},
        "peak_mb": {who: round(statistics.median(run[who]["peak_mb"] for run in runs)) for who in runs[0]},
    }  # fmt: skip


def line(found: dict) -> str:
    spreads = (name for name in found if name.startswith(("speed", "memory")))
    return "  ".join("{} {:.2f}x ({:.2f}-{:.2f})".format(name, *found[name]) for name in spreads)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.race", description="Race the network against a plain one.")
    parser.add_argument("yardstick", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default="train,train-ntu,eval,latency", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--ours", choices=ROWS, help=argparse.SUPPRESS)
    parser.add_argument("--plain", choices=ROWS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ours or asked.plain:
        print(json.dumps(ours(ROWS[asked.ours]) if asked.ours else plain(ROWS[asked.plain])))
        return
    if asked.yardstick is None and not all(name.startswith("agcn-") for name in asked.rows.split(",")):
        parser.error("name the yardstick's script")
    found: dict[str, dict] = {}
    for names in together(asked.rows.split(",")):
        found |= race(names, asked.yardstick, asked.rounds)
    for name, each in found.items():
        print(f"{name}: {line(each)}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
