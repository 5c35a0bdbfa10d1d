"""`python -m tests.fuzz.collect TARGET FOLDER [--inputs N]`: the smallest input of each outcome, to choose a corpus from."""

import argparse
import random
import re
import tempfile
from pathlib import Path

from tests.fuzz.target import kind_of
from tests.fuzz.targets import NAMES, find

_MOST = 4000  # bytes of an input


def main() -> None:
    """Try inputs without any watch, in this process."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.collect")
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inputs", type=int, default=3000)
    chosen = parser.parse_args()
    target, smallest = find(chosen.target), dict[str, bytes]()
    seeds = target.seeds()
    with tempfile.TemporaryDirectory() as work:
        for index in range(chosen.inputs):
            rng = random.Random(index)
            data = target.mutate(rng, rng.choice(seeds), seeds)
            kind = kind_of(target.attempt(data, Path(work)))
            if len(data) < len(smallest.get(kind, b"x" * _MOST)):
                smallest[kind] = data
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for kind, data in smallest.items():
        words = re.sub(r"[^a-z]+", "-", kind.lower()).strip("-")[:60]
        (chosen.folder / (words or "other")).write_bytes(data)


if __name__ == "__main__":
    main()
