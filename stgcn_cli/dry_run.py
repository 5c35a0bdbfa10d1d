"""`train --dry-run`: the plan of a run, its parameters and operations, and from a few real steps its memory and time.

No run folder is made. All that may be new on the disk is the working copy of the annotations, which training makes first, too.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stgcn_cli import history, presets, runlog, trial
from stgcn_cli.config import Preset
from stgcn_cli.data.splits import Split, find_split, open_stores
from stgcn_cli.distributed import Place
from stgcn_cli.epoch import is_due
from stgcn_cli.health.places import free_disk
from stgcn_cli.models import build_model
from stgcn_cli.models.cost import Cost, cost_of_clip
from stgcn_cli.precision import dtype_of
from stgcn_cli.run import Wishes, check
from stgcn_cli.schedules import learning_rate
from stgcn_cli.screen import SILENT, Screen
from stgcn_cli.train_plan import TrainPlan


@dataclass(frozen=True)
class Plan:
    """What `train` would do with these words. Bytes, seconds, operations."""

    preset: Preset
    place: Place
    pickles: tuple[Path, ...]
    folder: Path
    precision: str
    clips: dict[str, int]  # by split
    frames: int  # of a clip
    done: int  # epochs that a resumed run has already
    parameters: int
    weights: int  # bytes of a checkpoint without momenta
    momenta: int
    cost: Cost  # of a clip
    measured: trial.Measured

    @property
    def epochs(self) -> range:
        """The epochs to come, counted from 1."""
        return range(self.done + 1, self.preset.train.epochs + 1)

    @property
    def steps(self) -> int:
        """Steps of an epoch, on each process."""
        each = -(-self.clips[self.preset.data.train] * self.preset.data.passes // self.place.world)
        return -(-each // (self.preset.train.batch_size // self.place.world))

    @property
    def validations(self) -> int:
        """Times the validation split is measured; 0 with --no-validate."""
        every, last = self.preset.train.validate_every, self.preset.train.epochs
        return sum(is_due(epoch, every, last) for epoch in self.epochs) if len(self.clips) > 1 else 0

    @property
    def checkpoints(self) -> int:
        """Files epoch_N.pth."""
        every, last = self.preset.train.checkpoint_every, self.preset.train.epochs
        return sum(is_due(epoch, every, last) for epoch in self.epochs)

    @property
    def disk(self) -> int:
        """Bytes that the run folder takes at its end."""
        whole = (self.checkpoints + len(history.KEPT)) * (self.weights + self.momenta)
        return whole + (self.weights if self.validations else 0)

    @property
    def seconds(self) -> float:
        """Of the whole training with its validations."""
        validation = self.clips.get(self.preset.data.val, 0) * self.measured.forward_s / self.place.world
        return len(self.epochs) * self.steps * self.measured.step_s + self.validations * validation

    @property
    def rates(self) -> list[tuple[int, float]]:
        """(epoch counted from 1, learning rate) from which on it holds."""
        rates = [(epoch, learning_rate(self.preset.optim, epoch - 1)) for epoch in self.epochs]
        return [pair for index, pair in enumerate(rates) if not index or pair[1] != rates[index - 1][1]]


def plan_run(preset: Preset, place: Place, wishes: Wishes, screen: Screen) -> Plan | None:
    """The plan, after all of training's own checks. None on ranks that do not speak. Raises StgcnError as `run` does."""
    screen = screen if place.is_first else SILENT
    preset, pickles = check(preset, place, wishes, screen)
    if not place.is_first:
        return None
    folder = _folder(preset, wishes)
    stores = open_stores(pickles)
    split = find_split(stores, preset.data.train)
    clips = {split.name: len(split.indices)}
    if wishes.validate:
        clips[preset.data.val] = len(find_split(stores, preset.data.val).indices)
    with screen.progress("measure a few steps", None):
        measured = _measure(preset, place, wishes, split)
    read = history.newest(folder) if wishes.resume and folder.is_dir() else None
    model = build_model(preset).to(dtype_of(wishes.precision))
    return Plan(
        preset, place, pickles, folder, wishes.precision, clips, _frames(preset, split),
        done=history.progress_of(read)[0] if read else 0,
        parameters=sum(p.numel() for p in model.parameters()), weights=_bytes(model.state_dict()),
        momenta=_bytes(dict(model.named_parameters())) if preset.optim.momentum else 0,
        cost=_cost(preset, split, wishes), measured=measured,
    )  # fmt: skip


def _folder(preset: Preset, wishes: Wishes) -> Path:
    """The run folder that training would use."""
    if wishes.work_dir:
        if not wishes.resume:
            runlog.refuse_taken(wishes.work_dir)
        return wishes.work_dir
    if wishes.resume and (newest := runlog.newest_folder(preset.name)):
        return newest
    names = (preset.name if count == 1 else f"{preset.name}-{count}" for count in itertools.count(1))
    return next(folder for name in names if not (folder := Path("runs") / name).exists())


def _measure(preset: Preset, place: Place, wishes: Wishes, split: Split) -> trial.Measured:
    plan = TrainPlan(
        preset, (), Path(), seed=wishes.seed, precision=wishes.precision, deterministic=wishes.deterministic,
        freeze=wishes.freeze, skip_nonfinite=wishes.skip_nonfinite,
    )  # fmt: skip
    return trial.measure(plan, split, torch.device(place.device), place.world)


def _frames(preset: Preset, split: Split) -> int:
    return preset.data.clip_len or int(split.store.lengths[split.indices[0]])


def _cost(preset: Preset, split: Split, wishes: Wishes) -> Cost:
    data, layout = preset.data, presets.layout_of(preset)
    return cost_of_clip(
        layout, preset.model.num_classes, len(data.channels), preset.model.partition, _frames(preset, split),
        data.num_person, frozen=wishes.freeze == "backbone",
    )  # fmt: skip


def _bytes(tensors: dict[str, Any]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def as_dict(plan: Plan) -> dict[str, Any]:
    """The plan for scripts; sizes in bytes, times in seconds, operations in floating-point operations."""
    train, world = plan.preset.train, plan.place.world
    return {
        "preset": plan.preset.name, "data": [str(path) for path in plan.pickles], "folder": str(plan.folder),
        "clips": plan.clips, "frames": plan.frames, "persons": plan.preset.data.num_person,
        "device": plan.place.device, "precision": plan.precision, "processes": world,
        "batch_size": train.batch_size, "batch_size_of_a_process": train.batch_size // world,
        "epochs": train.epochs, "epochs_done": plan.done, "steps_per_epoch": plan.steps,
        "learning_rates": [{"from_epoch": epoch, "lr": rate} for epoch, rate in plan.rates],
        "validations": plan.validations, "checkpoints": plan.checkpoints, "disk": plan.disk,
        "disk_free": free_disk(plan.folder), "parameters": plan.parameters, "flop_forward_per_clip": plan.cost.forward,
        "flop_per_step": plan.cost.step * train.batch_size, "memory_of_a_process": round(plan.measured.memory),
        "seconds_per_step": plan.measured.step_s, "seconds": plan.seconds,
        "measured": {"clips": plan.measured.clips, "seconds": round(plan.measured.spent_s, 2)},
    }  # fmt: skip
