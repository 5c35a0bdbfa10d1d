"""Processor time of evaluating many tiny clips, phase by phase, without the network's arithmetic.

python -m tests.reliability.many_clips --clips 100000
"""

import argparse
import contextlib
import multiprocessing
import os
import pickle
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from stgcn_cli.config import presets
from stgcn_cli.data.loader import Clips
from stgcn_cli.data.splits import find_split, open_stores
from stgcn_cli.evaluation import results, score
from stgcn_cli.io.reporter import SILENT
from stgcn_cli.runtime.distributed import World
from stgcn_cli.viz import figures, report
from tests.factories.checkpoints import SMALL


class NoNetwork(torch.nn.Module):
    """In place of a network: the first three values of a clip are its scores."""

    def forward(self, clips: torch.Tensor, *rest: object) -> torch.Tensor:
        """(N ...) to (N, 3)."""
        return clips.flatten(1)[:, :3].float()


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the processor time of the block (user and system), and the peak of memory so far."""
    began = time.process_time()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{what}: {time.process_time() - began:.1f} s of processor time, peak {peak} MB", flush=True)


def write(path: Path, count: int) -> None:
    """Write `count` clips of 8 frames."""
    rng = np.random.default_rng(0)
    records = [
        {
            "frame_dir": f"clip{i:06d}",
            "label": i % 3,
            "total_frames": 8,
            "keypoint": rng.random((1, 8, 25, 3), "f4"),
        }
        for i in range(count)
    ]
    names = [record["frame_dir"] for record in records]
    path.write_bytes(pickle.dumps({"split": {"xsub_train": names[:1], "xsub_val": names}, "annotations": records}))


def main() -> None:
    """Write the clips, read, score and write results; print what each phase takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000)
    count = parser.parse_args().clips
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STGCN_CACHE"] = folder
        path, device = Path(folder) / "many.pkl", torch.device("cpu")
        writer = multiprocessing.Process(target=write, args=(path, count))  # its memory is not counted
        writer.start()
        writer.join()
        preset = presets.load("ntu60-xsub-3d", SMALL)
        with timed("reading the pickle and building the store"):
            stores = open_stores([path])
        with timed("opening the store and its split"):
            split = find_split(open_stores([path]), "xsub_val", whole_lists=True)
        with timed("batches without the network"):
            clips = Clips.of(split, preset, device, torch.float32)
            size = score.default_batch_size(clips)
            scored = score.score_clips(
                NoNetwork(), clips, world=World(0, 1, device), precision="float32", batch_size=size,
                advance=lambda n: None,
            )  # fmt: skip
        with timed("metrics, .pkl, .json, .csv, .npz, tables, picture and page"):
            result = score.result_of(preset, split, scored)
            for suffix in (".pkl", ".json", ".csv", ".npz"):
                results.write(result, Path(folder) / f"r{suffix}")
            figures.write_class_files(result, Path(folder) / "r")
            report.write_beside(result, Path(folder) / "r", "x", SILENT)
        del stores


if __name__ == "__main__":
    main()
