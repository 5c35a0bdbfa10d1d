"""Running metrics of an epoch: summed on the device and read at log points only, so that no step waits.

Shapes: N clips of a batch.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from stgcn_cli.config import class_names
from stgcn_cli.data.loader import sent
from stgcn_cli.errors import RunError
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.io.text import duration, some
from stgcn_cli.runtime.memory import peak_bytes
from stgcn_cli.training.options import TrainContext

_STUCK_SHARE = 0.02  # relative distance of the mean loss to ln(classes) below which nothing was learned,
_STUCK_STEPS = 100  # after at least so many steps
_STATUS_SECONDS = 2.0
_NEVER = 1 << 40  # a step that does not exist
_COLLAPSED_SHARE, _COLLAPSED_TIMES = 0.95, 3  # of the predictions; validations in a row


class Monitor:
    """Sums of an epoch and of the interval since the last log point; `status` is for the progress display.

    `clip_names` returns the names of the clips of (step, rank).
    """

    def __init__(self, context: TrainContext, epoch: int, clip_names: Callable[[int, int], list[str]]) -> None:
        self.job, self.world, self.state = context.job, context.learner.world, context.learner.state
        self.epoch, self.clip_names = epoch, clip_names
        self.lr = self.job.preset.optim.lr  # of the last step
        device, state = self.world.device, self.state
        self.losses: list[Tensor] = []  # of the interval, on the device
        self.ranks: list[Tensor] = []  # of each step, see `add`
        self.numbers: list[int] = []  # of the steps
        self.epoch_sums = torch.zeros(4, dtype=torch.float64, device=device)  # loss, top1, top5 (times clips), clips
        if state.step:  # the epoch began before an interruption
            self.epoch_sums += torch.tensor(state.sums, dtype=torch.float64, device=device)
        self.fetch_s, self.steps = 0.0, 0  # of the interval
        self.first_step = self.epoch_steps = state.step
        self.began = self.epoch_began = self.status_at = time.perf_counter()
        self.status: dict[str, str] = {}

    def add(self, step: int, loss: Tensor, ranks: Tensor, fetch_s: float) -> None:
        """Count a step: loss (), how many classes score higher than each label (N,), seconds spent on fetching the batch."""
        self.losses.append(loss)
        self.ranks.append(ranks)
        self.numbers.append(step)
        self.fetch_s += fetch_s
        self.steps += 1
        waits = self.world.device.type != "cpu"  # for the device, which goes on meanwhile: only at log points
        if self.world.is_first and not waits and time.perf_counter() - self.status_at > _STATUS_SECONDS:
            self._update_status()

    def skip_step(self, step: int) -> dict[str, Any]:
        """Count a skipped step and return its log record. Raises RunError when too many steps were skipped."""
        names = [name for rank in range(self.world.size) for name in self.clip_names(step, rank)]
        allowed = self.job.options.skip_nonfinite
        self.state.skipped += 1
        self.steps += 1
        if self.state.skipped > allowed:
            raise self._not_finite(step, names, f" All {allowed} steps of --skip-nonfinite {allowed} are used up.")
        if self.world.is_first:
            self.job.reporter.warn(
                f"Skipped epoch {self.epoch + 1}, iteration {step + 1}: its loss is not a finite number "
                f"({self.state.skipped} of at most {allowed} skips). Clips: {some(names, 8)}."
            )
        skipped = {"skipped": self.state.skipped, "clips": names}
        return {"mode": "skipped", "epoch": self.epoch + 1, "iter": step + 1, **skipped}

    def flush(self, step: int) -> dict[str, Any]:
        """Return the log record of the interval that ends with `step`, over all ranks, and start the next interval.

        Raises RunError when a loss was not finite.
        """
        bad_step, bad_rank = self._first_bad_step()
        if bad_step < _NEVER:
            raise self._not_finite(bad_step, self.clip_names(bad_step, bad_rank))
        sums = self._sums()
        if self.world.size > 1:
            distributed.all_reduce(sums)
        means, clips = _means(sums)
        seconds = time.perf_counter() - self.began
        self._set_status(means, clips / seconds)
        record = {
            "mode": "train", "epoch": self.epoch + 1, "iter": step + 1, "lr": self.lr, **means,
            "time": round(seconds / self.steps, 5), "data_time": round(self.fetch_s / self.steps, 6),
            "memory": int(peak_bytes(self.world.device)) >> 20,
        }  # fmt: skip
        self.epoch_sums += sums
        self.losses, self.ranks, self.numbers = [], [], []
        self.epoch_steps += self.steps
        self.fetch_s, self.steps, self.began = 0.0, 0, time.perf_counter()
        return record

    def epoch_record(self) -> dict[str, Any]:
        """Return the log record of the whole epoch."""
        seconds, means = time.perf_counter() - self.epoch_began, _means(self.epoch_sums)[0]
        head = {"mode": "epoch", "epoch": self.epoch + 1, "iter": self.epoch_steps, "lr": self.lr}
        return head | means | {"time": round(seconds, 3)}

    def report_epoch(self, record: dict[str, Any]) -> None:
        """Note the epoch with the time left (without validation); warn when the loss is that of guessing."""
        if not self.world.is_first:
            return
        epochs, seconds = self.job.preset.train.epochs, record["time"]
        step_s = seconds / max(1, self.epoch_steps - self.first_step)
        left = (epochs - self.epoch - 1) * self.epoch_steps * step_s
        self.job.reporter.note(
            f"Epoch {self.epoch + 1}/{epochs}: loss {record['loss']:.4f}, training top1_acc "
            f"{100 * record['top1_acc']:.2f} %; {duration(seconds)}"
            + (f", about {duration(left)} left" if left else "")
        )
        self._warn_if_stuck(record["loss"])

    def _warn_if_stuck(self, loss: float) -> None:
        classes, steps = self.job.preset.model.num_classes, (self.epoch + 1) * self.epoch_steps
        chance = math.log(classes)
        stuck = steps >= _STUCK_STEPS and abs(loss - chance) < _STUCK_SHARE * chance
        if stuck and classes > 1 and self.job.preset.loss.name == "cross-entropy":
            self.job.reporter.warn(
                f"After {steps} iterations the loss is {loss:.3f}, that of guessing among {classes} classes (ln {classes} = "
                f"{chance:.3f}). Is the learning rate too high ({self.lr:g})? Are labels shuffled, or coordinates all zero?"
            )

    def _update_status(self) -> None:
        """Update the status between log points from this rank's sums."""
        means, clips = _means(self._sums())
        self.status_at = time.perf_counter()
        self._set_status(means, clips * self.world.size / (self.status_at - self.began))

    def _set_status(self, means: dict[str, float], speed: float) -> None:
        loss, top1 = means["loss"], 100 * means["top1_acc"]
        self.status = {"clips/s": f"{speed:.1f}", "loss": f"{loss:.3f}", "top1": f"{top1:.1f} %"}

    def _sums(self) -> Tensor:
        """Sums (4,) of the interval: loss, top-1 and top-5 hits times clips, clips; on the device, float64."""
        if not self.losses:
            return torch.zeros_like(self.epoch_sums)
        clips = torch.tensor([len(each) for each in self.ranks], dtype=torch.float64)
        losses = torch.stack(self.losses).double() @ sent(clips, self.world.device)
        ranks = torch.cat(self.ranks)
        return torch.stack([losses, (ranks < 1).sum(), (ranks < 5).sum(), torch.full_like(losses, len(ranks))])

    def _first_bad_step(self) -> tuple[int, int]:
        """Return the first step with a non-finite loss on any rank, and that rank; waits for the device."""
        losses = torch.stack(self.losses).tolist() if self.losses else []
        bad = next((n for n, loss in zip(self.numbers, losses, strict=True) if not math.isfinite(loss)), _NEVER)
        if self.world.size == 1:
            return bad, 0
        mine = torch.tensor(bad, device=self.world.device)
        steps = [torch.zeros_like(mine) for _ in range(self.world.size)]
        distributed.all_gather(steps, mine)
        return min((int(step), rank) for rank, step in enumerate(steps))

    def _not_finite(self, step: int, names: list[str], more: str = "") -> RunError:
        return RunError(
            f"The loss is not a finite number at epoch {self.epoch + 1}, iteration {step + 1}. "
            f"Clips of that step: {some(names, 8)}.{more}",
            f"The last good checkpoint is in {self.job.folder}. Try a smaller learning rate, for instance "
            f"--set optim.lr={self.job.preset.optim.lr / 10:g}, or check these clips.",
        )


def _means(sums: Tensor) -> tuple[dict[str, float], float]:
    """Return mean loss, top-1 and top-5 accuracy, and the number of clips; zeros when all steps were skipped."""
    loss, top1, top5, clips = sums.tolist()
    counted = max(clips, 1)
    return {"loss": loss / counted, "top1_acc": top1 / counted, "top5_acc": top5 / counted}, clips


class CollapseWarning:
    """Warn once when several consecutive validations predict a single class, though the clips have more."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.warn, self.answer, self.count = warn, -1, 0

    def look_at(self, result: EvalResult) -> None:
        """Count a validation."""
        known = result.labelled
        if not len(known.labels):
            return
        answer, share = _commonest(known.scores.argmax(1))
        if share < _COLLAPSED_SHARE or _commonest(known.labels)[1] >= _COLLAPSED_SHARE:
            self.count = 0
            return
        self.count = self.count + 1 if answer == self.answer else 1
        self.answer = answer
        if self.count == _COLLAPSED_TIMES:
            name = class_names.class_names(result.preset)[answer]
            self.warn(
                f"{100 * share:.0f} % of the validation clips have been classified as {name!r} in {self.count} validations: the "
                "training may have collapsed. A lower rate often helps: --lr, or optim.warmup_epochs."
            )


def _commonest(classes: np.ndarray) -> tuple[int, float]:
    """The most frequent class, and its share."""
    counts = np.bincount(classes)
    return int(counts.argmax()), float(counts.max() / len(classes))
