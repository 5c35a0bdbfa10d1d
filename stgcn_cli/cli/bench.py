"""`stgcn bench`: speed and memory of a preset on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from stgcn_cli.cli import console, options
from stgcn_cli.errors import UsageError
from stgcn_cli.io.text import duration, size

if TYPE_CHECKING:
    from stgcn_cli.config.schema import Preset
    from stgcn_cli.data.splits import Split


def bench(
    preset: Annotated[
        str,
        Option("--preset", "-p", help="Preset whose shapes and recipe are measured.", autocompletion=options.presets),
    ] = "ntu60-xsub-3d",
    data: Annotated[
        list[Path] | None, Option("--data", help="Use clips of this pickle or folder instead of random ones.")
    ] = None,
    settings: options.Settings = None,
    batch_size: Annotated[
        int | None, Option(help="Clips per batch. Default: the preset's on CUDA, 4 on a CPU.", min=1)
    ] = None,
    rounds: Annotated[int, Option(help="Number of measurements.", min=1)] = 5,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    export: Annotated[
        bool, Option("--export", help="Measure torch, torch in bf16, ONNX and int8 side by side instead, on the CPU.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure speed and memory with a preset.

    Example: stgcn bench --preset ntu60-xsub-3d
    """
    if export and (data or device == "cuda" or precision != "auto"):
        raise UsageError("--export measures random clips on the CPU, in precisions of its own.")
    from stgcn_cli.config import presets

    recipe = presets.load(preset, settings or [])  # before torch is imported, which takes seconds
    if export:
        _bench_export(recipe, batch_size, rounds, as_json)
        return
    import torch

    from stgcn_cli.diagnostics.bench import ON_CPU, BenchOptions, measure
    from stgcn_cli.runtime.devices import resolve_device
    from stgcn_cli.runtime.precision import resolve_precision
    from stgcn_cli.runtime.rendezvous import joined_world

    if joined_world():
        raise UsageError("bench measures a single process; it does not run under torchrun or SLURM's srun.")
    where, usual = resolve_device(device, 1, console.warn), recipe.train.batch_size
    measuring = BenchOptions(
        preset=recipe, device=torch.device(where), precision=resolve_precision(precision, where, training=True),
        batch=batch_size or (usual if where == "cuda" else min(usual, ON_CPU)), rounds=rounds,
        split=_training_split(recipe, data) if data else None,
    )  # fmt: skip
    measured = measure(measuring, console.reporter()).as_dict()
    if as_json:
        console.print_json(measured)
    else:
        _render(measured)


def _training_split(preset: "Preset", data: list[Path]) -> "Split":
    from stgcn_cli.data import preflight
    from stgcn_cli.data.locations import find_pickles
    from stgcn_cli.data.splits import find_split, open_stores

    split = find_split(open_stores(find_pickles(preset.data.dataset, (preset.data.train,), data)), preset.data.train)
    for warning in preflight.check(preset, split, training=False):
        console.warn(warning)
    return split


def _bench_export(preset: "Preset", batch: int | None, rounds: int, as_json: bool) -> None:
    import torch

    from stgcn_cli.diagnostics.bench import ON_CPU
    from stgcn_cli.diagnostics.bench_export import WINDOW, measure

    frames, threads = preset.data.clip_len or WINDOW, torch.get_num_threads()
    found = [row.as_dict() for row in measure(preset, frames, batch or ON_CPU, rounds, console.reporter())]
    if as_json:
        console.print_json({"preset": preset.name, "frames": frames, "threads": threads, "rows": found})
        return
    console.table(
        f"{preset.name}: windows of {frames} frames on {threads} threads, batches of {batch or ON_CPU}, {rounds} rounds",
        ["", "clips/s", "one window", "95th percentile", "file"],
        [
            [row["name"], f"{row['clips_per_s']:.3g}", f"{_ms(row['latency']['p50'])} ms", f"{_ms(row['latency']['p95'])} ms",
             size(row["size"])]
            for row in found
        ],
    )  # fmt: skip


def _render(measured: dict[str, Any]) -> None:
    console.table(
        f"{measured['preset']} on {measured['device']} ({measured['device_name']}), {measured['precision']}, "
        f"{measured['batch_size']} {measured['clips']} clips, rounds: {measured['rounds']}",
        ["", "clips/s", "from", "to"],
        [
            [name, *(f"{measured['clips_per_s'][key][which]:.3g}" for which in ("median", "least", "greatest"))]
            for name, key in (("training", "train"), ("evaluation", "evaluate"))
        ],
    )
    console.gap()
    whole, latency = sum(measured["phases"].values()), measured["latency"]
    rows = [[name, f"{_ms(spent)} ms ({100 * spent / whole:.1f} %)"] for name, spent in measured["phases"].items()]
    rows += [
        ["latency of a clip", f"{_ms(latency['p50'])} ms (median), {_ms(latency['p95'])} ms (95th percentile)"],
        ["peak memory of a step", size(measured["peak_memory"])],
    ]
    if measured["training_clips"]:
        about = f"about {duration(measured['training_seconds'])} for {measured['training_clips']:,} clips"
        rows.append(["the whole training", about])
    console.table("A training step", ["", ""], rows)


def _ms(seconds: float) -> str:
    """Milliseconds with three digits: 0.43, 65.8, 1,401."""
    return f"{1000 * seconds:,.0f}" if seconds >= 0.1 else f"{1000 * seconds:.3g}"
