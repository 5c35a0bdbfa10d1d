"""Training logs: log.jsonl and results.csv of a run, and the published logs of MMAction2 0.x."""

import contextlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from stgcn_cli.io.files import atomic_write, sync_folder, writing
from stgcn_cli.io.own_files import open_regular, own_opener
from stgcn_cli.io.text import to_json

_EPOCH_COLUMNS = ("epoch", "lr", "loss", "top1_acc", "top5_acc")
_NEEDED = {"epoch": (*_EPOCH_COLUMNS, "time"), "train": ("iter",), "skipped": ("iter",)}
_MOST_NUMBER = 1e30
_LINE, _MOST_LINES = 1 << 16, 2_000_000  # characters; a year of training

# in published logs
_MOST_BYTES, _MOST_EPOCHS = 64 << 20, 100_000
_TRAIN = re.compile(r"Epoch \[(\d+)\]\[\d+/\d+\]\s+(.*)")
_VAL = re.compile(r"Epoch ?\(val\) \[(\d+)\](?:\[\d+\])?\s+(.*)")
_PAIR = re.compile(r"([A-Za-z]\w*): (-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")
_MEANS = ("lr", "loss", "top1_acc", "top5_acc")


class NullLog:
    """The log of ranks other than the first: it discards everything."""

    def write(self, record: dict[str, Any]) -> None:
        """Discard the record."""

    def results(self) -> None:
        """Write nothing."""

    def close(self) -> None:
        """Close nothing."""


class RunLog(NullLog):
    """The log of a run folder: log.jsonl, and results.csv computed from it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "log.jsonl"

    def write(self, record: dict[str, Any]) -> None:
        """Append one record and flush it to disk, so that no checkpoint is newer than the log that leads to it.

        Raises RunError when it cannot be written.
        """
        with writing(self.path):
            is_new = not self.path.exists()
            with open(self.path, "a", encoding="utf-8", opener=own_opener) as stream:
                stream.write(to_json(record) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            if is_new:
                sync_folder(self.folder)

    def results(self) -> None:
        """Write results.csv with one line per epoch."""
        import pandas

        rows: dict[int, dict[str, Any]] = {}
        for record in read_log(self.path):
            row = rows.setdefault(record["epoch"], {})
            if record["mode"] == "epoch":
                row |= {key: record[key] for key in (*_EPOCH_COLUMNS, "time")}
            elif record["mode"] == "val":
                row |= {
                    f"val_{key}": value for key, value in record.items() if key not in ("mode", "epoch", "iter", "lr")
                }
        frame = pandas.DataFrame([row for row in rows.values() if "loss" in row])
        with atomic_write(self.folder / "results.csv", "w") as stream:
            frame.to_csv(stream, index=False, lineterminator="\n")

    def cut_back(self, epochs: int, step: int = 0) -> None:
        """Drop the records after `epochs` epochs and `step` steps of the next: a resumed run writes them again."""
        kept = [record for record in read_log(self.path) if _is_before(record, epochs, step)]
        if self.path.exists():
            with atomic_write(self.path, "w") as stream:
                stream.writelines(to_json(record) + "\n" for record in kept)


def _is_before(record: dict[str, Any], epochs: int, step: int) -> bool:
    inside = record["epoch"] == epochs + 1 and record["mode"] in ("train", "skipped") and record["iter"] <= step
    return inside or record["epoch"] <= epochs or record["mode"] == "resumed"


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the records of a log.jsonl, without damaged lines such as the last one before a crash."""
    if not path.is_file():
        return []
    records = []
    with open(path, encoding="utf-8", errors="replace", opener=open_regular) as stream:
        for _ in range(_MOST_LINES):
            if not (line := stream.readline(_LINE)):
                break
            with contextlib.suppress(ValueError, RecursionError):
                record = json.loads(line)
                if _is_record(record):
                    records.append(record)
    return records


def _is_record(record: Any) -> bool:
    """Whether it has an epoch, a mode, and the numbers that records of this mode have."""
    if not isinstance(record, dict) or not isinstance(record.get("mode"), str):
        return False
    needed = ("epoch", *_NEEDED.get(record["mode"], ()))
    return type(record.get("epoch")) is int and all(is_number(record.get(key)) for key in needed)


def is_number(value: Any) -> bool:
    """Whether a value out of a file is a number to compute with: no bool, NaN or infinity."""
    return type(value) in (int, float) and abs(value) < _MOST_NUMBER


def numbers_of(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records with their numbers and short texts only: a log from elsewhere may hold anything besides."""
    return [
        {
            key: value
            for key, value in record.items()
            if is_number(value) or (isinstance(value, str) and len(value) < 100)
        }
        for record in records
    ]


def read_published(path: Path) -> list[dict[str, Any]]:
    """Return the records of a published log (JSON lines or text) in our form: "epoch" records with means, "val" records.

    Empty when the file contains no such records or cannot be read.
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
        record: dict[str, Any] = {}
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line) if line.startswith("{") else _parse_text(line)
        mode, epoch = record.get("mode"), record.get("epoch")
        if mode in ("train", "val") and type(epoch) is int and 0 < epoch <= _MOST_EPOCHS:
            yield mode, epoch, {key: float(value) for key, value in record.items() if is_number(value)}


def _parse_text(line: str) -> dict[str, Any]:
    for mode, pattern in (("train", _TRAIN), ("val", _VAL)):
        if found := pattern.search(line[:2000]):
            values = {key: float(value) for key, value in _PAIR.findall(found[2])}
            return values | {"mode": mode, "epoch": int(found[1][:9])}
    return {}
