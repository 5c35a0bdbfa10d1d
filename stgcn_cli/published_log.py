"""The training logs of MMAction2 0.x, in both forms: JSON lines, and lines for people."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MOST_BYTES, _MOST_EPOCHS = 64 << 20, 100_000
_TRAIN = re.compile(r"Epoch \[(\d+)\]\[\d+/\d+\]\s+(.*)")
_VAL = re.compile(r"Epoch ?\(val\) \[(\d+)\](?:\[\d+\])?\s+(.*)")
_PAIR = re.compile(r"([A-Za-z]\w*): (-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")
_MEANS = ("lr", "loss", "top1_acc", "top5_acc")


def read_published(path: Path) -> list[dict[str, Any]]:
    """The records of a published log in our own form: one "epoch" record an epoch (means), and its "val" records.

    Empty when there is nothing of the kind in the file, or it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            text = stream.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    epochs: dict[int, list[dict[str, float]]] = defaultdict(list)
    checks: dict[int, dict[str, Any]] = {}
    for mode, epoch, values in _records(text):
        if mode == "train":
            epochs[epoch].append(values)
        else:
            checks[epoch] = {"mode": "val", "epoch": epoch, **values}
    means = [{"mode": "epoch", "epoch": epoch, **_means(rows)} for epoch, rows in sorted(epochs.items())]
    return means + [checks[epoch] for epoch in sorted(checks)]


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    known = {key: [row[key] for row in rows if key in row] for key in _MEANS}
    return {key: sum(values) / len(values) for key, values in known.items() if values}


def _records(text: str) -> Iterator[tuple[str, int, dict[str, float]]]:
    for line in text.splitlines():
        mode, epoch, values = _of_json(line) if line.startswith("{") else _of_words(line)
        if mode in ("train", "val") and 0 < epoch <= _MOST_EPOCHS:
            yield mode, epoch, {key: value for key, value in values.items() if math.isfinite(value)}


def _of_json(line: str) -> tuple[str, int, dict[str, float]]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return "", 0, {}
    mode, epoch = record.get("mode"), record.get("epoch")
    if not isinstance(mode, str) or type(epoch) is not int:
        return "", 0, {}
    return mode, epoch, {k: float(v) for k, v in record.items() if type(v) in (int, float) and abs(v) < 1e30}


def _of_words(line: str) -> tuple[str, int, dict[str, float]]:
    for mode, pattern in (("train", _TRAIN), ("val", _VAL)):
        if found := pattern.search(line[:2000]):
            return mode, int(found[1][:9]), {key: float(value) for key, value in _PAIR.findall(found[2])}
    return "", 0, {}
