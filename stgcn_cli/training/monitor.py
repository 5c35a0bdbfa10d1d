"""Eyes on the loss: summed on the device, read at log points only, so that no step waits.

Shapes: N clips of a batch.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed

from stgcn_cli.errors import RunError
from stgcn_cli.io.text import duration, printable
from stgcn_cli.runtime.distributed import World
from stgcn_cli.runtime.memory import peak_bytes
from stgcn_cli.training.options import State, TrainPlan

_STUCK_SHARE = 0.02  # a mean loss this near to ln(classes) after this many steps has learned nothing
_STUCK_STEPS = 100
_PEEK_SECONDS = 2.0
_NEVER = 1 << 40  # a step that does not come


class Monitor:
    """Sums of an epoch: loss, top-1, top-5, clips, and the first step whose loss was not finite."""

    def __init__(
        self,
        plan: TrainPlan,
        world: World,
        epoch: int,
        lr: float,
        names_of: Callable[[int, int], list[str]],
        state: State,
    ) -> None:
        self.plan, self.world, self.epoch, self.lr = plan, world, epoch, lr
        self.names_of = names_of  # (step, rank) -> the clips of that step
        self.sums = torch.zeros(4, dtype=torch.float64, device=world.device)  # loss, top1, top5 (times clips), clips
        self.whole = torch.zeros_like(self.sums)
        if state.step:  # the epoch was begun before an interruption
            self.whole += torch.tensor(state.sums, dtype=torch.float64, device=world.device)
        self.bad_step = torch.full((), _NEVER, dtype=torch.int64, device=world.device)
        self.fetching, self.steps, self.all_steps, self.first_step = 0.0, 0, state.step, state.step
        self.began = self.epoch_began = self.peeked = time.perf_counter()
        self.words: dict[str, str] = {}

    def add(self, step: int, loss: Tensor, logits: Tensor, labels: Tensor, fetched: float) -> None:
        """Take in one step: loss (), logits (N, classes), labels (N,), seconds spent on fetching the batch."""
        rank_of_label = (logits > logits.gather(1, labels[:, None])).sum(1)
        top1, top5 = (rank_of_label < 1).sum(), (rank_of_label < 5).sum()
        self.sums += torch.stack([loss.double() * len(labels), top1, top5, torch.full_like(top1, len(labels))])
        step_if_bad = torch.where(torch.isfinite(loss), _NEVER, step)
        self.bad_step = torch.minimum(self.bad_step, step_if_bad)
        self.fetching += fetched
        self.steps += 1
        if self.world.is_first and time.perf_counter() - self.peeked > _PEEK_SECONDS:
            self._peek()

    def leave_out(self, step: int, state: State) -> dict[str, Any]:
        """Count a step that was left out; the record of it. Raises RunError when there have been too many."""
        names = [name for rank in range(self.world.size) for name in self.names_of(step, rank)]
        state.skipped += 1
        self.steps += 1
        if state.skipped > self.plan.skip_nonfinite:
            raise self._not_finite(
                step, names, f" It is number {state.skipped}; --skip-nonfinite {self.plan.skip_nonfinite} are left out."
            )
        if self.world.is_first:
            self.plan.reporter.warn(
                f"Epoch {self.epoch + 1}, iteration {step + 1} is left out: its loss is not a finite number "
                f"({state.skipped} of at most {self.plan.skip_nonfinite}). Clips: {_some(names)}."
            )
        return {"mode": "skipped", "epoch": self.epoch + 1, "iter": step + 1, "skipped": state.skipped, "clips": names}

    def _peek(self) -> None:
        """Words for the progress display between log points, of this rank alone; waits for the device, so rarely."""
        loss, top1, _, clips = self.sums.tolist()
        self.peeked = time.perf_counter()
        self._say(loss, top1, clips, clips * self.world.size / (self.peeked - self.began))

    def _say(self, loss: float, top1: float, clips: float, speed: float) -> None:
        clips = max(clips, 1)  # all may have been left out
        self.words = {"clips/s": f"{speed:.1f}", "loss": f"{loss / clips:.3f}", "top1": f"{100 * top1 / clips:.1f} %"}

    def read_out(self, step: int) -> dict[str, Any]:
        """The record of the interval that ends with `step`, over all ranks. Raises RunError at a loss not finite."""
        first_bad = self._gather_bad()
        if first_bad[0] < _NEVER:
            raise self._not_finite(first_bad[0], self.names_of(*first_bad))
        if self.world.size > 1:
            distributed.all_reduce(self.sums)
        loss, top1, top5, clips = self.sums.tolist()
        seconds = time.perf_counter() - self.began
        self._say(loss, top1, clips, clips / seconds)
        some = max(clips, 1)
        record = {
            "mode": "train", "epoch": self.epoch + 1, "iter": step + 1, "lr": self.lr,
            "loss": loss / some, "top1_acc": top1 / some, "top5_acc": top5 / some,
            "time": round(seconds / self.steps, 5), "data_time": round(self.fetching / self.steps, 6),
            "memory": int(peak_bytes(self.world.device)) >> 20,
        }  # fmt: skip
        self.whole += self.sums
        self.sums.zero_()
        self.all_steps += self.steps
        self.fetching, self.steps, self.began = 0.0, 0, time.perf_counter()
        return record

    def epoch_record(self) -> dict[str, Any]:
        """The record of the whole epoch."""
        loss, top1, top5, clips = self.whole.tolist()
        clips = max(clips, 1)
        return {
            "mode": "epoch", "epoch": self.epoch + 1, "iter": self.all_steps, "lr": self.lr, "loss": loss / clips,
            "top1_acc": top1 / clips, "top5_acc": top5 / clips, "time": round(time.perf_counter() - self.epoch_began, 3),
        }  # fmt: skip

    def tell_epoch(self) -> None:
        """One line for people; the time left is that of as many epochs like this one, validation apart."""
        record, epochs = self.epoch_record(), self.plan.preset.train.epochs
        a_step = record["time"] / max(1, self.all_steps - self.first_step)
        left = (epochs - self.epoch - 1) * self.all_steps * a_step
        if self.world.is_first:
            self.plan.reporter.note(
                f"Epoch {self.epoch + 1}/{epochs}: loss {record['loss']:.4f}, training top1_acc "
                f"{100 * record['top1_acc']:.2f} %; {duration(record['time'])}"
                + (f", about {duration(left)} left" if left else "")
            )

    def warn_if_stuck(self) -> None:
        """Warn when the mean loss of the epoch is that of guessing."""
        classes, config = self.plan.preset.model.num_classes, self.plan.preset.loss
        chance = math.log(classes)
        loss = self.epoch_record()["loss"]
        steps = (self.epoch + 1) * self.all_steps
        stuck = steps >= _STUCK_STEPS and abs(loss - chance) < _STUCK_SHARE * chance
        if config.name == "cross-entropy" and classes > 1 and stuck and self.world.is_first:
            self.plan.reporter.warn(
                f"After {steps} iterations the loss is {loss:.3f}, that of guessing among {classes} classes (ln {classes} = "
                f"{chance:.3f}). Is the learning rate too high ({self.lr:g})? Are labels shuffled, or coordinates all zero?"
            )

    def _gather_bad(self) -> tuple[int, int]:
        """The first step with a loss not finite on any rank, and that rank."""
        if self.world.size == 1:
            return int(self.bad_step), 0
        steps = [torch.zeros_like(self.bad_step) for _ in range(self.world.size)]
        distributed.all_gather(steps, self.bad_step)
        return min((int(step), rank) for rank, step in enumerate(steps))

    def _not_finite(self, step: int, names: list[str], more: str = "") -> RunError:
        return RunError(
            f"The loss is not a finite number at epoch {self.epoch + 1}, iteration {step + 1}. "
            f"Clips of that step: {_some(names)}.{more}",
            f"The last good checkpoint is kept in {self.plan.folder}. Try a smaller rate, for instance "
            f"--set optim.lr={self.plan.preset.optim.lr / 10:g}, or look at these clips.",
        )


def _some(names: list[str]) -> str:
    return printable(", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else ""))
