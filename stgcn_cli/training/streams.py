"""Train each stream of a preset and fuse the results."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stgcn_cli.evaluation.fuse import FuseOptions, fuse
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.runs.folder import free_folder
from stgcn_cli.training.options import RunOptions
from stgcn_cli.training.run import run

_WEIGHTS = {"joint": 2.0, "bone": 2.0, "joint-motion": 1.0, "bone-motion": 1.0}  # of the published fusions of four


@dataclass(frozen=True)
class StreamRuns:
    """Run folders by stream, all in `base`, and rows {"streams", "weights", metrics} of results and their fusions."""

    base: Path
    folders: dict[str, Path]
    rows: list[dict[str, Any]]


def train_streams(options: RunOptions, streams: tuple[str, ...], reporter: Reporter) -> StreamRuns | None:
    """Train a run for each stream in runs/PRESET-streams, numbered; None on ranks other than the first."""
    base = options.work_dir or free_folder(f"{options.preset.name}-streams")
    folders = {}
    for stream in streams:
        preset = replace(options.preset, data=replace(options.preset.data, stream=stream))  # type: ignore[arg-type]
        if result := run(replace(options, preset=preset, work_dir=base / stream), reporter):
            folders[stream] = result.folder
    if not folders:
        return None
    results = {name: folder / "best.result.npz" for name, folder in folders.items()}
    return StreamRuns(
        base, folders, fusions({name: path for name, path in results.items() if path.is_file()}, reporter)
    )


def fusions(results: dict[str, Path], reporter: Reporter) -> list[dict[str, Any]]:
    """Metrics of each stream, of joints with bones, and of all; probabilities are added up."""
    names = tuple(results)
    groups = [group for group in {("joint", "bone"), names} if len(group) > 1 and set(group) <= set(names)]
    rows: list[dict[str, Any]] = []
    for group in sorted(groups, key=len):
        weights = tuple(_WEIGHTS[name] for name in group)
        weights = weights if len(set(weights)) > 1 else (1.0,) * len(group)
        fusion = fuse(
            FuseOptions(inputs=tuple(results[name] for name in group), weights=weights, softmax=True), reporter
        )
        known = {row["streams"] for row in rows}
        singles = zip(group, fusion.singles, strict=True)
        rows += [{"streams": name, "weights": "", **single.metrics} for name, single in singles if name not in known]
        words = ":".join(f"{weight:g}" for weight in weights)
        rows.append({"streams": " + ".join(group), "weights": words, **fusion.result.metrics})
    return sorted(rows, key=lambda row: row["streams"].count("+"))
