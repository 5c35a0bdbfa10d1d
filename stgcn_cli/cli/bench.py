"""`stgcn bench`: how fast this machine is with a preset, and how near to what it could do."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from stgcn_cli.cli import console, options
from stgcn_cli.errors import UsageError
from stgcn_cli.io.text import duration, size

if TYPE_CHECKING:
    from stgcn_cli.diagnostics.bench import BenchOptions, Measured


def bench(
    preset: Annotated[
        str, Option("--preset", "-p", help="Its shapes and its recipe are measured.", autocompletion=options.presets)
    ] = "ntu60-xsub-3d",
    data: Annotated[
        list[Path] | None, Option("--data", help="Take real clips from this pickle or folder, not drawn ones.")
    ] = None,
    settings: Annotated[
        list[str] | None, Option("--set", "--cfg-options", help="Change the recipe: --set data.clip_len=100")
    ] = None,
    batch_size: Annotated[
        int | None, Option(help="Clips of a batch. Default: the preset's on CUDA, 4 on a processor.", min=1)
    ] = None,
    rounds: Annotated[int, Option(help="Times that each piece of work is measured.", min=1)] = 5,
    device: Annotated[str, Option(help="auto, cpu or cuda.", autocompletion=options.devices)] = "auto",
    precision: Annotated[
        str, Option(help="Of our path: auto, float32, tf32, bf16 or float64.", autocompletion=options.precisions)
    ] = "auto",
    as_json: Annotated[bool, Option("--json", help="For scripts: all times, in seconds.")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only warnings and results.")] = False,
) -> None:
    """Measure this machine with a preset, in a minute or two.

    Training and evaluation are raced against the same network written plainly (float32, one operation after the other) in
    the same process.

    Example: stgcn bench --preset ntu60-xsub-3d
    """
    console.set_quiet(quiet)
    from stgcn_cli.diagnostics import bench as measure

    asked = _asked(preset, tuple(data or ()), settings or [], batch_size, rounds, device, precision)
    measured = measure.measure(asked, console.reporter())
    if as_json:
        console.print_json(measure.as_dict(measured))
        return
    _show(measured)


def _asked(
    name: str, data: tuple[Path, ...], settings: list[str], batch: int | None, rounds: int, device: str, precision: str
) -> "BenchOptions":
    import torch

    from stgcn_cli.config import presets
    from stgcn_cli.data import preflight
    from stgcn_cli.data.locations import find_pickles
    from stgcn_cli.data.splits import find_split, open_stores
    from stgcn_cli.diagnostics.bench import ON_CPU, BenchOptions
    from stgcn_cli.runtime.distributed import resolve_device
    from stgcn_cli.runtime.precision import resolve_precision
    from stgcn_cli.runtime.rendezvous import joined_world

    if joined_world():
        raise UsageError("bench measures one process; it does not run under torchrun or SLURM's srun.")
    recipe = presets.load(name, settings)
    where = resolve_device(device, 1)
    split = pickle = None
    if data:
        pickles = tuple(find_pickles(recipe.data.dataset, (recipe.data.train,), data))
        split = find_split(open_stores(pickles), recipe.data.train)
        for warning in preflight.check(recipe, split, training=False):
            console.warn(warning)
        pickle = split.store.source
    most = recipe.train.batch_size if where == "cuda" else min(recipe.train.batch_size, ON_CPU)
    how = resolve_precision(precision, where, training=True)
    return BenchOptions(recipe, torch.device(where), how, batch or most, rounds, split, pickle)


def _show(m: "Measured") -> None:
    from stgcn_cli.diagnostics import bench as measure

    told = measure.as_dict(m)
    console.table(
        f"{told['preset']} on {told['device']} ({told['device_name']}), {told['precision']}, {told['batch_size']} "
        f"{told['clips']} clips, rounds: {told['rounds']}",
        ["work", "plain clips/s", "ours clips/s", "times as fast", "from", "to"],
        _race(told),
    )
    console.gap()
    console.table("A training step of ours", ["part", "ms", "share"], _parts(m.parts))
    console.gap()
    console.table("This machine and this preset", ["", ""], _facts(told))
    console.note(
        "plain: the same network in the order of the paper, float32, in this process, whose allocator keeps its memory; "
        "a script that leaves the allocator as it is, is slower. Its peak of memory is that of such a script."
    )


def _race(told: dict) -> list[list[str]]:
    speeds = told["clips_per_s"] | {"latency": {who: 1 / told["latency"][who]["p50"] for who in ("plain", "ours")}}
    names = {"train": "training", "evaluate": "evaluation", "latency": "one clip at a time"}
    return [
        [names[work], f"{speeds[work]['plain']:.3g}", f"{speeds[work]['ours']:.3g}",
         *(f"{told['ratios'][work][key]:.2f}" for key in ("median", "least", "greatest"))]
        for work in names
    ]  # fmt: skip


def _parts(parts: dict[str, float]) -> list[list[str]]:
    whole = sum(parts.values())
    return [[name, _ms(spent), f"{100 * spent / whole:.1f} %"] for name, spent in parts.items()]


def _ms(seconds: float) -> str:
    """Milliseconds of three digits, without an exponent: 0.43, 65.8, 1,401."""
    ms = 1000 * seconds
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.3g}"


def _facts(told: dict) -> list[list[str]]:
    latency, peak, files, store = told["latency"]["ours"], told["peak_memory"], told["prepare"], told["store"]
    floor = told["floor"]
    rows = [
        ["latency of a clip", f"{_ms(latency['p50'])} ms (half of them), {_ms(latency['p95'])} ms (95 %)"],
        ["peak memory of a step", f"{size(peak['ours'])}, plain {size(peak['plain'])}"],
        ["matrix products", f"{told['matmul_flop_per_s'] / 1e9:,.0f} GFLOP/s measured; a step needs {told['step_flop'] / 1e9:,.0f} GFLOP"],
        ["memory", f"{size(told['copy_bytes_per_s'])}/s copied; a step moves {size(told['step_bytes'])} at least"],
        ["floor of a step", f"{_ms(floor['arithmetic'])} ms by arithmetic, {_ms(floor['memory'])} ms by memory"],
        ["reached of the floor", f"{100 * told['floor_reached']:.0f} %"],
    ]  # fmt: skip
    if told["training_clips"]:
        rows.append(
            ["the whole training", f"about {duration(told['training_seconds'])} for {told['training_clips']:,} clips"]
        )
    if files["texts"]:
        rows.append(["prepare", f"{files['texts'] / files['seconds']:.0f} made texts/s, start included"])
    build = store["bytes"] / store["build_seconds"]
    rows.append(["store", f"{size(build)}/s built, opened in {1000 * store['open_seconds']:.0f} ms"])
    return rows
