"""Curves of a run for TensorBoard (RUN/tensorboard) and Weights & Biases; optional extras."""

import importlib.util
import os
import threading
from pathlib import Path
from typing import Any

from stgcn_cli.errors import RunError, UsageError
from stgcn_cli.io.files import atomic_write, disk_error, make_dirs, sync_folder, writing
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
_OFFLINE = "To log in: wandb login. To log on this machine only: set WANDB_MODE=offline"


def check_installed(tensorboard: bool, wandb: bool) -> None:
    """Raise UsageError where an extra that is asked for is missing, or Weights & Biases has no account."""
    for name, is_wanted in (("tensorboard", tensorboard), ("wandb", wandb)):
        if is_wanted and importlib.util.find_spec(name) is None:
            raise UsageError(f"--{name} needs the package {name}.", f"Type: pip install 'stgcn[{name}]'")
    if wandb and os.environ.get("WANDB_MODE", "online") == "online":
        import wandb as library

        if not library.login(prompt=False, verify=False):
            raise UsageError("--wandb: not logged in to Weights & Biases.", _OFFLINE)


class Tracker(NullLog):
    """Passes every record on to `log` and its numbers to `draw`; a step is an iteration of the whole training."""

    def __init__(self, log: NullLog, folder: Path, steps_of_epoch: int) -> None:
        self.log, self.folder, self.steps_of_epoch = log, folder, steps_of_epoch

    def write(self, record: dict[str, Any]) -> None:
        """Pass the record on, and draw it. Raises RunError when it cannot be written."""
        self.log.write(record)
        step = (record["epoch"] - 1) * self.steps_of_epoch + record.get("iter", self.steps_of_epoch)
        if numbers := _numbers(record):
            with writing(self.folder):
                self.draw(numbers, step)

    def draw(self, numbers: dict[str, float], step: int) -> None:
        """Draw numbers by their names."""
        raise NotImplementedError

    def results(self) -> None:
        """As `log` does."""
        self.log.results()

    def close(self) -> None:
        """As `log` does."""
        self.log.close()


class TensorBoardLog(Tracker):
    """Events that TensorBoard draws.

    `done` is the number of finished steps: events that an interrupted run wrote after them are hidden.
    """

    def __init__(self, log: NullLog, folder: Path, steps_of_epoch: int, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        super().__init__(log, folder / FOLDER, steps_of_epoch)
        threading.excepthook = _reported_elsewhere
        with writing(self.folder):
            self.writer = SummaryWriter(str(make_dirs(self.folder)), purge_step=done + 1)
            sync_folder(self.folder)

    def draw(self, numbers: dict[str, float], step: int) -> None:
        """Write the events and sync them: a resumed run does not write them again."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()
        written = self.folder.glob("events*")
        newest = max(written, key=lambda path: path.stat().st_mtime_ns, default=self.folder / "events")  # gone: OSError
        with open(newest, "rb") as stream:
            os.fsync(stream.fileno())


class WandbLog(Tracker):
    """A run of Weights & Biases: project stgcn (or $WANDB_PROJECT), named like the run folder; RUN/wandb holds its files.

    A resumed run keeps its identifier and logs again the steps after the checkpoint.
    """

    def __init__(self, log: NullLog, folder: Path, steps_of_epoch: int, settings: dict[str, Any]) -> None:
        import wandb

        super().__init__(log, folder / "wandb", steps_of_epoch)
        quiet = wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True)
        try:
            self.run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "stgcn"), dir=str(folder), name=folder.resolve().name,
                id=_identifier(make_dirs(self.folder) / "id.txt"), resume="allow", config=settings, settings=quiet,
            )  # fmt: skip
        except OSError as error:
            raise disk_error(error, self.folder) from error
        except wandb.errors.Error as error:
            raise RunError(f"Weights & Biases: {str(error).splitlines()[0]}.", _OFFLINE) from error
        self.run.define_metric("*", step_metric="step")

    def draw(self, numbers: dict[str, float], step: int) -> None:
        """Hand the numbers to the process that sends them."""
        self.run.log(numbers | {"step": step})

    def close(self) -> None:
        """Wait until everything is sent, or, offline, in a file."""
        super().close()
        self.run.finish()


def _identifier(path: Path) -> str:
    """The identifier of a run, kept in its folder."""
    if not path.exists():
        with atomic_write(path, "w") as stream:
            stream.write(os.urandom(6).hex())
    return path.read_text("utf-8").strip()


def _reported_elsewhere(met: threading.ExceptHookArgs) -> None:
    """Silence the writer thread's own report of a disk error, which is raised in the main thread as well."""
    if not isinstance(met.exc_value, OSError):
        threading.__excepthook__(met)


def _numbers(record: dict[str, Any]) -> dict[str, float]:
    """The numbers of a record to log, by their names in the tracker."""
    if record["mode"] == "train":
        return {f"train/{name}": record[key] for key, name in _TRAIN.items() if key in record}
    if record["mode"] == "val":
        return {f"val/{key}": value for key, value in record.items() if key not in _OF_RECORD}
    return {}
