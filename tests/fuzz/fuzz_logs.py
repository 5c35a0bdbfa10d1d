"""Logs: ours, and the published ones in both forms; BABEL's label pickles."""

import json
import pickle
import random
from pathlib import Path

import numpy as np

from stgcn_cli.data.prepare.babel import _read_labels
from stgcn_cli.errors import StgcnError
from stgcn_cli.runs import log
from stgcn_cli.runs.log import read_published
from tests.fuzz.mutate import some_bytes, some_steps, some_words
from tests.fuzz.target import Target, refused

_STEPS = [
    b"N",
    b"K\x01",
    b"]",
    b")",
    b"\x85",
    b"\x86",
    b"cos\nsystem\n",
    b"R",
    b"t",
    b"(",
    b"e",
    b"h\x01",
    b"0",
    b"J\xff\xff\xff\xff",
]


def _seeds() -> list[bytes]:
    rows = [{"mode": "train", "epoch": 1, "iter": 20, "lr": 0.1, "loss": 4.0}, {"mode": "epoch", "epoch": 1, "lr": 0.1, "loss": 4.0,
             "top1_acc": 0.1, "top5_acc": 0.3, "time": 1.0}, {"mode": "val", "epoch": 1, "iter": 9, "lr": 0.1, "top1_acc": 0.2}]  # fmt: skip
    ours = "\n".join(json.dumps(row).replace(":", " : ").replace(",", " , ").replace("}", " }") for row in rows * 2)
    words = "2021-10-01 - mmaction - INFO - Epoch [1][20/2500]\tlr: 1.000e-01, loss: 4.1, top1_acc: 0.01\n2021 - Epoch(val) [1][100]\ttop1_acc: 0.2\n"
    labels = (["a", "b"], ([0, 1], [np.int64(3), 4], np.array([0, 1]), ["who", "she"]))
    return [ours.encode(), words.encode(), *(pickle.dumps(labels, protocol=p) for p in (2, 3, 4, 5))]


def _mutate(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    if data[:1] == b"\x80":
        return some_steps(rng, data, seeds[2:], _STEPS) if rng.random() < 0.7 else some_bytes(rng, data, seeds)
    return some_words(rng, data, seeds[:2], head=0) if rng.random() < 0.8 else some_bytes(rng, data, seeds)


def _attempt(data: bytes, folder: Path) -> str:
    path = folder / "log.jsonl"
    path.write_bytes(data)
    if data[:1] == b"\x80":
        try:
            names, values = _read_labels(path)
        except StgcnError as error:
            return refused(error, path)
        assert all(isinstance(name, str) and len(name) < 100_000 for name in names) and len(values) == len(names)
        return "labels"
    for record in read_published(path):
        assert record["mode"] in ("epoch", "val") and record["epoch"] > 0
    try:
        records = log.read_log(path)
        log.RunLog(folder).results()
        log.RunLog(folder).cut_back(1)
    except StgcnError as error:
        return refused(error)
    return f"{min(len(records), 9)} records"


TARGET = Target("logs", _seeds, _mutate, _attempt, ("log.py", "babel.py"), memory_mb=500)
