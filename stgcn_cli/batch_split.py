"""The global batch belongs to the recipe: how it is split over the processes, and what BatchNorm then sees."""

from stgcn_cli import catalog, presets
from stgcn_cli.config import Preset
from stgcn_cli.distributed import Place
from stgcn_cli.errors import UsageError
from stgcn_cli.screen import Screen


def check_batch(preset: Preset, place: Place, screen: Screen) -> None:
    """Refuse a global batch that the processes do not divide; say how it is split, where that is not as published."""
    batch, world = preset.train.batch_size, place.world
    if batch % world:
        _refuse(batch, world, place)
    published = clips_a_gpu(preset.name)
    if place.is_first and (world > 1 or published not in (None, batch)):
        words = f"{world} {_unit(place)}{'' if world == 1 else _plural(place)}"
        screen.note(
            f"Global batch {batch} = {words} x {batch // world} clips; the learning rate stays {preset.optim.lr:g}; "
            f"BatchNorm sees {batch // world} clips at a time{f' (published: {published})' if published else ''}."
        )


def clips_a_gpu(name: str) -> int | None:
    """Clips that BatchNorm saw at a time in the published run of this preset; None where nothing is published."""
    entry = catalog.find(name)
    return presets.load(entry.preset).train.batch_size // entry.gpus if entry else None


def _refuse(batch: int, world: int, place: Place) -> None:
    fitting = max(n for n in range(1, world + 1) if batch % n == 0)
    per_gpu = -(-batch // world)
    alone = world == place.gpus  # several machines, torchrun and SLURM count their processes elsewhere
    raise UsageError(
        f"The global batch of {batch} clips cannot be split evenly over {world} {_unit(place)}{_plural(place)}.",
        f"{'Or' if alone else f'Use {fitting} processes in all, or'} change the recipe: "
        f"--set train.batch_size={per_gpu * world}",
        instead={"--gpus": str(fitting)} if alone else None,
    )


def _unit(place: Place) -> str:
    return "GPU" if place.device == "cuda" else "process"


def _plural(place: Place) -> str:
    return "s" if place.device == "cuda" else "es"
