"""`stgcn train`: train a preset, in one process or many."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from stgcn_cli.cli import console, options
from stgcn_cli.errors import UsageError, refuse_first

if TYPE_CHECKING:
    from stgcn_cli.config.schema import Preset
    from stgcn_cli.training.options import RunOptions


def train(
    name: Annotated[
        str | None,
        Argument(
            metavar="PRESET",
            help="Preset (see `stgcn presets`), published name, or TOML file.",
            autocompletion=options.presets,
        ),
    ] = None,
    preset: Annotated[
        str | None, Option("--preset", "-p", help="PRESET, as an option.", autocompletion=options.presets)
    ] = None,
    data: options.Data = None,
    work_dir: Annotated[
        Path | None, Option("--work-dir", help="Run folder. Default: ./runs/<preset>, numbered.")
    ] = None,
    settings: options.Settings = None,
    epochs: Annotated[int | None, Option(help="Short for --set train.epochs=N", min=1)] = None,
    lr: Annotated[float | None, Option("--lr", help="Short for --set optim.lr=X")] = None,
    batch_size: Annotated[
        int | None, Option(help="Short for --set train.batch_size=N: clips per step, over all processes.", min=1)
    ] = None,
    stream: options.Stream = None,
    streams: Annotated[
        str | None,
        Option(metavar="A,B,C", help="Train one run per stream and fuse them: joint,bone,joint-motion,bone-motion"),
    ] = None,
    patience: Annotated[
        int | None, Option(help="Short for --set train.patience=N: stop after N epochs without improvement.", min=1)
    ] = None,
    validate: Annotated[
        bool | None, Option(help="Evaluate the validation split during training.", show_default="validate")
    ] = None,
    seed: Annotated[
        int | None, Option(help="Seed of the initial weights and the order of clips.", min=0, show_default="0")
    ] = None,
    diff_seed: Annotated[
        bool | None, Option("--diff-seed", help="Different randomness (dropout) in each process.")
    ] = None,
    deterministic: Annotated[
        bool | None, Option("--deterministic", help="Bit-identical results in every run; slower on CUDA.")
    ] = None,
    resume: Annotated[
        str | None,
        Option(
            "--resume",
            metavar="[RUN]",
            help="Resume a run with its preset, data and settings: RUN, else --work-dir, else the newest run.",
        ),
    ] = None,
    resume_or_start: Annotated[
        bool,
        Option("--resume-or-start", help="Resume, or start when there is no run yet; for schedulers that requeue."),
    ] = False,
    force: Annotated[bool, Option("--force", help="Resume although other settings are given.")] = False,
    resume_from: Annotated[Path | None, Option(help="Resume from this checkpoint in a new run folder.")] = None,
    load_from: Annotated[
        Path | None, Option(help="Fine-tune these weights; a head for other classes is re-initialised.")
    ] = None,
    freeze: Annotated[
        Literal["backbone"] | None, Option(help="Part of the network to freeze: backbone trains the head alone.")
    ] = None,
    skip_nonfinite: Annotated[
        int | None,
        Option(help="Skip up to N steps with a NaN or infinite loss; each step then waits for the device.", min=0),
    ] = None,
    checkpoint_minutes: Annotated[
        float, Option(help="Minutes between writes of last.pth within an epoch.", min=0)
    ] = 10.0,
    test_best: Annotated[bool, Option("--test-best", help="Evaluate the best checkpoint at the end.")] = False,
    test_last: Annotated[bool, Option("--test-last", help="Evaluate the last checkpoint at the end.")] = False,
    gpus: Annotated[int | None, Option(help="Processes on this machine, one per GPU.", show_default="1")] = None,
    device: options.Devices = "auto",
    precision: Annotated[
        options.PrecisionName | None, Option(help="Arithmetic; auto: bf16 on a GPU that has it.", show_default="auto")
    ] = None,
    nnodes: Annotated[int, Option(help="Number of machines; run the same command on each.", min=1)] = 1,
    node_rank: Annotated[int, Option(help="Index of this machine, from 0.", min=0)] = 0,
    rdzv_endpoint: Annotated[str, Option(metavar="HOST:PORT", help="Address of machine 0.")] = "",
    max_restarts: Annotated[int, Option(help="Restarts after a worker died, from last.pth.", min=0)] = 0,
    cuda_graph: Annotated[bool, Option("--cuda-graph", help="Replay steps as CUDA graphs (experimental).")] = False,
    compile_blocks: Annotated[
        bool, Option("--compile", help="Compile blocks with torch.compile (experimental).")
    ] = False,
    report: Annotated[bool, Option(help="Write report.html into the run folder at the end.")] = True,
    tensorboard: Annotated[
        bool, Option("--tensorboard", help="Also log for TensorBoard; needs the extra stgcn[tensorboard].")
    ] = False,
    wandb: Annotated[
        bool, Option("--wandb", help="Also log to Weights & Biases; needs the extra stgcn[wandb].")
    ] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Check everything, print the plan with memory and time, and stop.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    launcher: Annotated[str | None, Option(hidden=True)] = None,
    gpu_ids: Annotated[str | None, Option(hidden=True)] = None,
) -> None:
    """Train a preset in a run folder.

    Example: stgcn train ntu60-xsub-3d --gpus 1
    """
    options.note_unused({"--launcher": launcher, "--gpu-ids": gpu_ids})

    resumes = resume is not None or resume_or_start
    begun = {"--resume": resumes, "--resume-from": resume_from, "--load-from": load_from}
    refuse_first(
        (sum(map(bool, begun.values())) > 1, f"{' and '.join(name for name, given in begun.items() if given)} exclude each other.",
         "--resume continues a run; --load-from starts a new one."),
        (name and preset and name != preset, f"Two presets: {name} and --preset {preset}.", "Give one of them."),
        (nnodes > 1 and not rdzv_endpoint, "--nnodes needs --rdzv-endpoint HOST:PORT, the address of machine 0.",
         "For example: --rdzv-endpoint node0:29500"),
        (test_best and validate is False, "--test-best needs a best checkpoint, which --no-validate never writes.",
         "Use --test-last."),
        (work_dir and work_dir.is_file(), f"{work_dir} is a file; --work-dir names a folder.", "For example: --work-dir runs/mine"),
    )  # fmt: skip
    preset = name or preset
    from stgcn_cli.config import presets
    from stgcn_cli.runs import settings as run_settings

    short = {"train.epochs": epochs, "optim.lr": lr, "train.batch_size": batch_size, "train.patience": patience}
    changes = [*(settings or []), *(f"{key}={value}" for key, value in short.items() if value is not None)]
    given = {
        "data": tuple(data or ()), "seed": seed, "diff_seed": diff_seed, "deterministic": deterministic,
        "precision": precision, "freeze": freeze, "validate": validate, "skip_nonfinite": skip_nonfinite, "gpus": gpus,
    }  # fmt: skip
    folder = _run_to_resume(resume, resume_or_start, work_dir, preset)
    chosen: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if folder:
        chosen = run_settings.resumed(folder, chosen, force)
    if preset is None and folder is None:
        raise UsageError("Missing preset.", "For example: stgcn train ntu60-xsub-3d. All presets: stgcn presets")
    wanted = options.stream_names(streams) if streams else ()
    if wanted and (stream or folder or dry_run):
        raise UsageError("--streams begins new runs: --stream, --resume and --dry-run are for one of them.")
    _, changes = options.with_stream("", changes, stream)
    recipe = presets.load(preset or str(folder / "preset.toml"), changes)  # type: ignore[operator]
    chosen["data"] = chosen["data"] or _beside(preset)
    _refuse_missing_data(recipe, chosen["data"])
    from stgcn_cli.runtime.devices import processes, resolve_device
    from stgcn_cli.runtime.distributed import LaunchConfig
    from stgcn_cli.runtime.precision import resolve_precision
    from stgcn_cli.training.options import RunOptions

    count = processes(device, chosen.pop("gpus", None))
    kind = resolve_device(device, count, console.warn)
    chosen["precision"] = resolve_precision(chosen.get("precision", "auto"), kind, training=True)
    run_options = RunOptions(
        preset=recipe, launch=LaunchConfig(kind, count, nnodes, node_rank, rdzv_endpoint, max_restarts),
        work_dir=folder or work_dir, resume=resumes, force=force, resume_from=resume_from, load_from=load_from,
        test=tuple(name for name, is_wanted in (("best", test_best), ("last", test_last)) if is_wanted),
        save_minutes=checkpoint_minutes, report=report, tensorboard=tensorboard, wandb=wandb,
        cuda_graph=cuda_graph, compile=compile_blocks, **chosen,
    )  # fmt: skip
    _start(run_options, wanted, dry_run, as_json)


def _run_to_resume(word: str | None, or_start: bool, work_dir: Path | None, preset: str | None) -> Path | None:
    """Return the folder of the run to resume, None to start one. Raises UsageError when --resume finds none."""
    from stgcn_cli.config import presets
    from stgcn_cli.runs import folder

    if word is None and not or_start:
        return None
    is_other_rank = any(os.environ.get(name, "0") != "0" for name in ("RANK", "SLURM_PROCID"))
    try:
        return folder.find_run(word or "", work_dir, presets.load(preset).name if preset else None)
    except UsageError:
        if or_start or (is_other_rank and preset and work_dir):  # the run may be on another machine
            return None
        raise


def _beside(preset: str | None) -> tuple[Path, ...]:
    """Return the annotations beside a preset file of the same name, as `data convert` writes them."""
    path = Path(preset or "").with_suffix(".pkl") if preset and preset.endswith(".toml") else None
    if path is None or not path.is_file():
        return ()
    console.note(f"Data: {path}, beside the preset.")
    return (path,)


def _refuse_missing_data(recipe: "Preset", data: tuple[Path, ...]) -> None:
    """Raise DataError for missing files before torch is imported; under a launcher all ranks find out together."""
    from stgcn_cli.data.locations import find_pickles

    if any(not path.exists() for path in data) and not {"RANK", "SLURM_PROCID"} & set(os.environ):
        find_pickles(recipe.data.dataset, (recipe.data.train,), data)


def _start(options: "RunOptions", streams: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Plan, train, or train a run for each stream, and print what came out; other ranks than the first print nothing."""
    from stgcn_cli.cli import train_output

    if streams:
        from stgcn_cli.training.streams import train_streams

        if done := train_streams(options, streams, console.reporter()):
            train_output.show_streams(done, options.preset.name, as_json)
    elif dry_run:
        from stgcn_cli.training.dry_run import plan_run

        if plan := plan_run(options, console.reporter()):
            train_output.show_plan(plan, as_json)
    else:
        from stgcn_cli.training.run import run

        if result := run(options, console.reporter()):
            train_output.show_result(result, as_json)
