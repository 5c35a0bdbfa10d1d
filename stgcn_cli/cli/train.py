"""`stgcn train`: a preset on data, in one process or many."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from stgcn_cli.cli import console, options
from stgcn_cli.errors import UsageError

if TYPE_CHECKING:
    from stgcn_cli.config.schema import Preset
    from stgcn_cli.runtime.distributed import LaunchConfig
    from stgcn_cli.training.options import RunOptions
    from stgcn_cli.training.run import Outcome

_PLACE, _REFERENCE = "Place and speed", "Run"


def train(
    preset: Annotated[
        str,
        Option(
            "--preset",
            "-p",
            help="A preset (see `stgcn presets`), published name, or TOML file.",
            autocompletion=options.presets,
        ),
    ],
    data: Annotated[
        list[Path] | None,
        Option(
            "--data", metavar="PATH", help="Data folder or annotation pickle; repeatable. Default: $STGCN_DATA, ./data"
        ),
    ] = None,
    work_dir: Annotated[
        Path | None, Option("--work-dir", help="Run folder. Default: ./runs/<preset>, counted up.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        Option(
            "--set", "--cfg-options", metavar="KEY=VALUE", help="Change the recipe: --set optim.lr=0.05 (repeatable)"
        ),
    ] = None,
    epochs: Annotated[int | None, Option(help="Short for --set train.epochs=N", min=1)] = None,
    validate: Annotated[bool, Option(help="Measure the validation split while training.")] = True,
    seed: Annotated[int, Option(help="Of the initial weights and the order of clips.", min=0)] = 0,
    diff_seed: Annotated[bool, Option("--diff-seed", help="Other randomness (dropout) in every process.")] = False,
    deterministic: Annotated[
        bool, Option("--deterministic", help="The same bits in every run; slower on CUDA.")
    ] = False,
    resume: Annotated[
        bool, Option("--resume", help="Go on with the run in --work-dir, else the preset's newest.")
    ] = False,
    resume_from: Annotated[Path | None, Option(help="Go on from this checkpoint, in a new run folder.")] = None,
    load_from: Annotated[
        Path | None, Option(help="Start from these weights; a head of other classes is made anew (fine-tuning).")
    ] = None,
    freeze: Annotated[
        str | None, Option(help='"backbone": train the head alone.', autocompletion=options.one_of("backbone"))
    ] = None,
    skip_nonfinite: Annotated[
        int, Option(help="Leave out up to N steps whose loss is NaN or infinite; costs a wait at every step.", min=0)
    ] = 0,
    checkpoint_minutes: Annotated[
        float, Option(help="Within an epoch, write last.pth when so many minutes have passed.", min=0)
    ] = 10.0,
    test_best: Annotated[bool, Option("--test-best", help="At the end, evaluate the best checkpoint.")] = False,
    test_last: Annotated[bool, Option("--test-last", help="At the end, evaluate the last checkpoint.")] = False,
    gpus: Annotated[int, Option(help="Processes on this machine, one a GPU.", rich_help_panel=_PLACE)] = 1,
    device: Annotated[
        str, Option(help="auto, cpu or cuda.", autocompletion=options.devices, rich_help_panel=_PLACE)
    ] = "auto",
    precision: Annotated[
        str,
        Option(help="auto, float32, tf32, bf16 or float64.", autocompletion=options.precisions, rich_help_panel=_PLACE),
    ] = "auto",
    nnodes: Annotated[int, Option(help="Machines; run the same command on each.", min=1, rich_help_panel=_PLACE)] = 1,
    node_rank: Annotated[int, Option(help="Which of the machines this is, from 0.", min=0, rich_help_panel=_PLACE)] = 0,
    rdzv_endpoint: Annotated[str, Option(help="host:port of machine 0.", rich_help_panel=_PLACE)] = "",
    max_restarts: Annotated[
        int, Option(help="Times that dead workers are started again, from last.pth.", min=0, rich_help_panel=_PLACE)
    ] = 0,
    report: Annotated[bool, Option(help="Write report.html into the run folder at the end.")] = True,
    tensorboard: Annotated[
        bool, Option("--tensorboard", help="Also log for TensorBoard; needs the extra stgcn[tensorboard].")
    ] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Check everything, show the plan with its memory and time, and stop.")
    ] = False,
    as_json: Annotated[bool, Option("--json", help="The summary for scripts.")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only warnings and results.")] = False,
    launcher: Annotated[str | None, Option(hidden=True)] = None,
    gpu_ids: Annotated[str | None, Option(hidden=True)] = None,
) -> None:
    """Train a preset.

    Example: stgcn train --preset ntu60-xsub-3d --gpus 1
    """
    console.set_quiet(quiet)
    console.note_unused({"--launcher": launcher, "--gpu-ids": gpu_ids})

    _check_together(resume, resume_from, load_from, nnodes, rdzv_endpoint)
    _check_possible(freeze, test_best, validate)
    from stgcn_cli.config import presets
    from stgcn_cli.data.locations import find_pickles

    recipe = presets.load(preset, [*(settings or []), *([f"train.epochs={epochs}"] if epochs else [])])
    if any(not path.exists() for path in data or ()) and "RANK" not in os.environ and "SLURM_PROCID" not in os.environ:
        find_pickles(recipe.data.dataset, (recipe.data.train,), data or ())  # refused before torch is imported
    from stgcn_cli.runtime.distributed import LaunchConfig, resolve_device
    from stgcn_cli.runtime.precision import resolve_precision
    from stgcn_cli.training.options import RunOptions
    from stgcn_cli.training.run import run

    where = resolve_device(device, gpus)
    place = LaunchConfig(where, gpus, nnodes, node_rank, rdzv_endpoint, max_restarts)
    wishes = RunOptions(
        data=tuple(data or ()), work_dir=work_dir, resume=resume, resume_from=resume_from, load_from=load_from, validate=validate, seed=seed, diff_seed=diff_seed, deterministic=deterministic,
        precision=resolve_precision(precision, where, training=True),
        test=tuple(name for name, wanted in (("best", test_best), ("last", test_last)) if wanted),
        freeze=freeze, skip_nonfinite=skip_nonfinite, save_minutes=checkpoint_minutes, report=report, tensorboard=tensorboard,
    )  # fmt: skip
    if dry_run:
        _show_plan(recipe, place, wishes, as_json)
        return
    outcome = run(recipe, place, wishes, console.reporter())
    if outcome:
        _render(outcome, wishes, as_json)


def _show_plan(recipe: "Preset", place: "LaunchConfig", wishes: "RunOptions", as_json: bool) -> None:
    from stgcn_cli.cli import dry_run as showing
    from stgcn_cli.training.dry_run import plan_run

    plan = plan_run(recipe, place, wishes, console.reporter())
    if plan:
        showing.show(plan, as_json)


def _check_together(resume: bool, resume_from: Path | None, load_from: Path | None, nnodes: int, endpoint: str) -> None:
    given = [n for n, v in (("--resume", resume), ("--resume-from", resume_from), ("--load-from", load_from)) if v]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other.", "--resume goes on; --load-from starts anew.")
    if nnodes > 1 and not endpoint:
        raise UsageError("--nnodes needs --rdzv-endpoint HOST:PORT, the address of machine 0.")


def _check_possible(freeze: str | None, test_best: bool, validate: bool) -> None:
    if freeze not in (None, "backbone"):
        raise UsageError(f"--freeze {freeze}: only the backbone can be frozen.", "Use --freeze backbone")
    if test_best and not validate:
        raise UsageError("--test-best needs a best checkpoint, which --no-validate never makes.", "Use --test-last.")


def _render(outcome: "Outcome", wishes: "RunOptions", as_json: bool) -> None:
    if as_json:
        tests = {name: result.metrics for name, result in outcome.tests.items()}
        console.print_json(
            {"folder": outcome.folder, "seconds": round(outcome.seconds, 1), "finished_before": outcome.was_finished}
            | outcome.summary | {"tests": tests}
        )  # fmt: skip
        return
    if outcome.was_finished:
        console.note(f"The run in {outcome.folder} has all its {outcome.summary['epochs']} epochs: nothing to do.")
    console.table(f"Trained {outcome.preset.name}", ["", ""], _rows(outcome))
    weights = "best" if outcome.summary["best"] else "last"
    data = "".join(f" --data {shlex.quote(str(path))}" for path in wishes.data)
    console.note(f"Next: stgcn eval {shlex.quote(f'{outcome.folder / weights}.pth')}{data} --out result.pkl")


def _rows(outcome: "Outcome") -> list[list[object]]:
    from stgcn_cli.evaluation.metrics import informative

    classes, best = outcome.preset.model.num_classes, outcome.summary["best"]
    last = informative(outcome.summary["last"], classes)
    tests = {name: informative(result.metrics, classes) for name, result in outcome.tests.items()}
    rows = [["run folder", outcome.folder], ["epochs", outcome.summary["epochs"]], ["time", f"{outcome.seconds:.0f} s"]]
    rows += [[f"last {name}", f"{100 * value:.2f} %"] for name, value in last.items()]
    if best:
        rows.append([f"best top1_acc (epoch {best['epoch']})", f"{100 * best['top1_acc']:.2f} %"])
    for name, measured in tests.items():
        rows += [[f"{name}.pth {metric}", f"{100 * value:.2f} %"] for metric, value in measured.items()]
    return rows
