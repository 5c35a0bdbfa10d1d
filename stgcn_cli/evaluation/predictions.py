"""Predictions of a model for clips, as values, JSON, CSV and arrays.

Shapes: N clips.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stgcn_cli.config.schema import Preset
from stgcn_cli.evaluation import metrics
from stgcn_cli.io.files import atomic_write
from stgcn_cli.io.text import csv_cell, json_text

if TYPE_CHECKING:
    from stgcn_cli.evaluation.input_checks import Facts  # and with it torch, which the name of a file does not need


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Predictions for N clips: logits (N, classes), features (N, 256), facts and sources, and what was odd."""

    preset: Preset
    classes: list[str]
    scores: np.ndarray
    features: np.ndarray
    facts: "list[Facts]"
    sources: list[Path]
    warnings: list[str]
    axes: list[str]  # how those of arrays were understood


def top(scores: np.ndarray, k: int) -> list[list[tuple[int, float]]]:
    """Of logits (N, classes): the k most likely classes of each clip with their probabilities (softmax), the likeliest first."""
    probabilities = metrics.probabilities(scores)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return [[(int(index), float(row[index])) for index in best] for row, best in zip(probabilities, order, strict=True)]


def as_dict(found: Predictions, topk: int) -> dict[str, Any]:
    """Everything for scripts: per clip its name, file, frames, persons and most likely classes."""
    clips = [
        {
            "clip": facts.name, "source": str(source), "frames": facts.frames, "persons": facts.persons,
            "top": [
                {"class": index, "name": found.classes[index], "probability": round(share, 6)} for index, share in best
            ],
        }
        for facts, source, best in zip(found.facts, found.sources, top(found.scores, topk), strict=True)
    ]  # fmt: skip
    return {
        "made_by": "stgcn predict",
        "preset": found.preset.name,
        "axes": found.axes,
        "clips": clips,
        "warnings": found.warnings,
    }


def as_csv(found: Predictions, topk: int) -> str:
    """One line a clip: clip, source, frames, persons, then class, name and probability of each place."""
    rows = []
    for clip in as_dict(found, topk)["clips"]:
        row = {key: value for key, value in clip.items() if key != "top"}
        for place, best in enumerate(clip["top"], 1):
            row |= {f"{key}_{place}": value for key, value in best.items()}
        rows.append(row)
    return table_text(rows)


def table_text(rows: Sequence[Mapping[str, object]], columns: list[str] | None = None) -> str:
    """Rows as CSV under a header, texts as cells that nothing is computed from; `columns` are needed where there may be no row."""
    import pandas

    cells = [{key: csv_cell(value) if isinstance(value, str) else value for key, value in row.items()} for row in rows]
    return pandas.DataFrame(cells, columns=columns).to_csv(index=False, lineterminator="\n")


WRITERS: dict[str, Callable[[Predictions, int], str]] = {
    ".json": lambda found, topk: json_text(as_dict(found, topk)) + "\n", ".csv": as_csv,
}  # fmt: skip


def write_features(found: Predictions, path: Path) -> None:
    """A .npz of features (N, 256), logits (N, classes), names (N,), sources (N,) and classes."""
    with atomic_write(path) as stream:
        np.savez_compressed(
            stream, features=found.features, logits=found.scores, names=np.array([each.name for each in found.facts]),
            sources=np.array(list(map(str, found.sources))), classes=np.array(found.classes),
        )  # fmt: skip
