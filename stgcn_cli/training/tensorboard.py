"""The run's log once more, as events that TensorBoard draws: RUN/tensorboard. An optional extra."""

import importlib.util
import os
import threading
from pathlib import Path
from typing import Any

from stgcn_cli.errors import UsageError
from stgcn_cli.io.files import disk_error, make_dirs, sync_folder
from stgcn_cli.runs.log import NullLog

FOLDER = "tensorboard"
_TRAIN = {
    "loss": "loss",
    "top1_acc": "top1",
    "top5_acc": "top5",
    "lr": "lr",
    "time": "seconds_per_step",
    "memory": "memory_mb",
}
_OF_RECORD = ("mode", "epoch", "iter", "time")  # what is no metric of a validation


def check_installed() -> None:
    """Raises UsageError where the extra is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError("--tensorboard needs the package tensorboard.", "Type: pip install 'stgcn[tensorboard]'")


class TensorBoardLog(NullLog):
    """Passes every record on to `log`, and its numbers to TensorBoard, one step an iteration of the whole training.

    `done` counts the steps that are behind: what an earlier, broken part of the run wrote after them is not shown.
    """

    def __init__(self, log: NullLog, folder: Path, steps_of_epoch: int, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.log, self.folder, self.steps_of_epoch = log, folder / FOLDER, steps_of_epoch
        threading.excepthook = _told_elsewhere
        try:
            self.writer = SummaryWriter(str(make_dirs(self.folder)), purge_step=done + 1)
            sync_folder(self.folder)
        except OSError as error:
            raise disk_error(error, self.folder) from error

    def write(self, record: dict[str, Any]) -> None:
        """Pass the record on, and draw it. Raises RunError when it cannot be written."""
        self.log.write(record)
        step = (record["epoch"] - 1) * self.steps_of_epoch + record.get("iter", self.steps_of_epoch)
        try:
            for name, value in _numbers(record).items():
                self.writer.add_scalar(name, value, step)
            self.writer.flush()
            self._sync()
        except OSError as error:
            raise disk_error(error, self.folder) from error

    def _sync(self) -> None:
        """Bring what was drawn to the disk: the log's records were, and a run that goes on after them draws no more of them."""
        written = self.folder.glob("events*")
        newest = max(written, key=lambda path: path.stat().st_mtime_ns, default=self.folder / "events")  # gone: told
        with open(newest, "rb") as stream:
            os.fsync(stream.fileno())

    def results(self) -> None:
        """As `log` does."""
        self.log.results()


def _told_elsewhere(met: threading.ExceptHookArgs) -> None:
    """The writer has a thread, which hands its error on to us and prints it, too: once is enough."""
    if not isinstance(met.exc_value, OSError):
        threading.__excepthook__(met)


def _numbers(record: dict[str, Any]) -> dict[str, float]:
    """What is drawn of a record, by its name there."""
    if record["mode"] == "train":
        return {f"train/{name}": record[key] for key, name in _TRAIN.items() if key in record}
    if record["mode"] == "val":
        return {f"val/{key}": value for key, value in record.items() if key not in _OF_RECORD}
    return {}
