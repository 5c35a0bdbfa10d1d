"""Output of `train`: the plan of --dry-run, and the results."""

import shlex
from typing import TYPE_CHECKING

from stgcn_cli.cli import console
from stgcn_cli.io.text import duration, size

if TYPE_CHECKING:
    from stgcn_cli.training.dry_run import RunPlan
    from stgcn_cli.training.run import RunResult
    from stgcn_cli.training.streams import StreamRuns


def show_plan(plan: "RunPlan", as_json: bool) -> None:
    """Print the plan on stdout; warn about what will not fit."""
    from stgcn_cli.training import dry_run

    if as_json:
        console.print_json(dry_run.as_dict(plan))
    else:
        console.table(f"Plan of {plan.preset.name}: nothing is trained", ["", ""], [*_run(plan), *_costs(plan)])
        console.note(_how(plan))
    free = dry_run.free_disk(plan.folder)
    if plan.disk > free:
        console.warn(f"The checkpoints need {size(plan.disk)}, but {size(free)} are free on the disk.")
    _warn_of_memory(plan)


def _run(plan: "RunPlan") -> list[list[str]]:
    """Rows: what would be done."""
    data, train, world = plan.preset.data, plan.preset.train, plan.launch.world
    shares = f", {world} processes x {train.batch_size // world}" if world > 1 else ""
    clips = ", ".join(f"{name} {count:,}" for name, count in plan.clips.items())
    person = "person" if data.num_person == 1 else "persons"
    done = f", {plan.done} of them done" if plan.done else ""
    rates = "; ".join(
        f"{rate:.3g}" + (f" from epoch {epoch}" if index else "") for index, (epoch, rate) in enumerate(plan.rates)
    )
    if plan.preset.optim.schedule == "cosine":
        rates = f"{plan.preset.optim.lr:.3g} to {plan.preset.optim.min_lr:.3g}, half a cosine over the iterations"
    if plan.preset.optim.warmup_epochs:
        rates += f"; rising over the first {plan.preset.optim.warmup_epochs:g} epochs"
    validation = f"{plan.validations} times" if plan.validations else "none"
    return [
        ["data", ", ".join(map(str, plan.pickles))],
        ["clips", clips + (f", each {data.passes} times an epoch" if data.passes > 1 else "")],
        ["clip", f"{plan.frames} frames, {data.num_person} {person}, {data.layout} skeleton, {data.channels}"],
        ["batch", f"{train.batch_size} clips{shares}, on {plan.launch.device} in {plan.options.precision}"],
        ["epochs", f"{train.epochs}{done}, {plan.steps:,} {'step' if plan.steps == 1 else 'steps'} each"],
        ["learning rate", rates],
        ["validation", validation],
        ["run folder", str(plan.folder)],
        ["checkpoints", f"{plan.checkpoints} epoch_N.pth, last.pth and the one before, best.pth: {size(plan.disk)}"],
    ]  # fmt: skip


def _costs(plan: "RunPlan") -> list[list[str]]:
    """Rows: what it would take."""
    from stgcn_cli.training.dry_run import free_disk

    each = " a process" if plan.launch.world > 1 else ""
    free = _free(plan)
    available = f"{size(free)} free" if free else "free memory unknown"
    batch = plan.cost.step * plan.preset.train.batch_size
    return [
        ["disk free", size(free_disk(plan.folder))],
        ["parameters", f"{plan.parameters:,}"],
        ["operations", f"{plan.cost.forward / 1e9:,.2f} GFLOP a clip forward, {batch / 1e9:,.0f} GFLOP a step"],
        ["memory", f"about {size(plan.measured.memory)}{each} ({available})"],
        ["time", f"about {duration(plan.seconds)}, {plan.measured.step_s:.3g} s a step"],
    ]


def _how(plan: "RunPlan") -> str:
    found, device = plan.measured, "the GPU" if plan.launch.device == "cuda" else "this processor"
    whole = "the real batch" if found.is_whole else f"{found.clips} clips, scaled to {found.batch}"
    several = "; waiting of processes for each other is not included" if plan.launch.world > 1 else ""
    return (
        f"Memory and time are measured: two real steps of {whole}, in one process on {device} under its present load{several}. "
        "Operations: matrix products, a multiply-add counted as two, every person computed."
    )


def _free(plan: "RunPlan") -> float | None:
    if plan.launch.device != "cuda":
        from stgcn_cli.runtime.memory import machine_memory

        return machine_memory()[1]
    import torch

    return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()  # of which the measurement holds some


def _warn_of_memory(plan: "RunPlan") -> None:
    free, sharing = _free(plan), plan.launch.gpus if plan.launch.device == "cpu" else 1
    if free and plan.measured.memory * sharing > free:
        console.warn(
            f"A step needs about {size(plan.measured.memory * sharing)} of memory, but {size(free)} are free. A smaller "
            f"batch is another recipe: --set train.batch_size={max(1, plan.preset.train.batch_size // 2)}; more GPUs share it."
        )


def show_result(result: "RunResult", as_json: bool) -> None:
    """Print the result of a run on stdout, and the next command."""
    if as_json:
        tests = {name: test.metrics for name, test in result.tests.items()}
        console.print_json(
            {"folder": result.folder, "seconds": round(result.seconds, 1), "finished_before": result.was_finished}
            | result.summary | {"tests": tests}
        )  # fmt: skip
        return
    if result.was_finished:
        console.note(f"The run in {result.folder} has all its {result.summary['epochs']} epochs: nothing to do.")
    console.table(f"Trained {result.preset.name}", ["", ""], _results(result))
    if result.tests and (clips := result.preset.eval.clips) > 1:
        console.note(
            f"{', '.join(result.tests)}.pth: averaged over {clips} samples of each clip; validation during training takes one."
        )
    weights = "best" if result.summary["best"] else "last"
    console.note(f"Next: stgcn eval {shlex.quote(f'{result.folder / weights}.pth')} --out result.pkl")


def _results(result: "RunResult") -> list[list[object]]:
    from stgcn_cli.evaluation.metrics import informative

    classes, best = result.preset.model.num_classes, result.summary["best"]
    rows = [["run folder", result.folder], ["epochs", result.summary["epochs"]], ["time", duration(result.seconds)]]
    rows += [
        [f"last {key}", f"{100 * value:.2f} %"] for key, value in informative(result.summary["last"], classes).items()
    ]
    if best:
        rows.append([f"best top1_acc (epoch {best['epoch']})", f"{100 * best['top1_acc']:.2f} %"])
    for name, test in result.tests.items():
        rows += [
            [f"{name}.pth {key}", f"{100 * value:.2f} %"] for key, value in informative(test.metrics, classes).items()
        ]
    return rows


def show_streams(done: "StreamRuns", preset: str, as_json: bool) -> None:
    """Print the accuracies of the streams and of their fusions."""
    if as_json:
        console.print_json({"folders": done.folders, "results": done.rows})
        return
    shown = [[r["streams"], r["weights"], f"{100 * r['top1_acc']:.2f} %"] for r in done.rows if "top1_acc" in r]
    console.table(f"Streams of {preset}", ["streams", "weights", "top1_acc"], shown)
    console.note(f"The runs are in {done.base}. Fuse their best.result.npz with other weights: stgcn fuse")
