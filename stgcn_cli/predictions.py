"""What a model said of clips, as values, JSON and CSV. Shapes: N clips."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stgcn_cli.config import Preset
from stgcn_cli.errors import UsageError
from stgcn_cli.files import written_whole
from stgcn_cli.wording import nearest

if TYPE_CHECKING:
    from stgcn_cli.oddities import Facts  # and with it torch, which the name of a file does not need


@dataclass(frozen=True)
class Predictions:
    """What was said of N clips: logits (N, classes), facts and sources, and what was odd."""

    preset: Preset
    classes: list[str]
    scores: np.ndarray
    facts: "list[Facts]"
    sources: list[Path]
    warnings: list[str]

    def top(self, k: int) -> list[list[tuple[int, float]]]:
        """The k likeliest classes of each clip with their probabilities (softmax of the logits), likeliest first."""
        exp = np.exp(self.scores.astype(np.float64) - self.scores.max(axis=1, keepdims=True))
        probabilities = exp / exp.sum(axis=1, keepdims=True)
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        return [
            [(int(index), float(row[index])) for index in best] for row, best in zip(probabilities, order, strict=True)
        ]


def as_dict(said: Predictions, topk: int) -> dict[str, Any]:
    """Everything for scripts: per clip its name, file, frames, persons and likeliest classes."""
    clips = [
        {
            "clip": facts.name, "source": str(source), "frames": facts.frames, "persons": facts.persons,
            "top": [
                {"class": index, "name": said.classes[index], "probability": round(share, 6)} for index, share in best
            ],
        }
        for facts, source, best in zip(said.facts, said.sources, said.top(topk), strict=True)
    ]  # fmt: skip
    return {"preset": said.preset.name, "clips": clips, "warnings": said.warnings}


def as_csv(said: Predictions, topk: int) -> str:
    """One line a clip: clip, source, frames, persons, then class, name and probability of each place."""
    import pandas

    rows = []
    for clip in as_dict(said, topk)["clips"]:
        row = {key: value for key, value in clip.items() if key != "top"}
        for place, best in enumerate(clip["top"], 1):
            row |= {f"{key}_{place}": value for key, value in best.items()}
        rows.append(row)
    return pandas.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def _as_json(said: Predictions, topk: int) -> str:
    return json.dumps(as_dict(said, topk), indent=2, ensure_ascii=False) + "\n"


_WRITERS: dict[str, Callable[[Predictions, int], str]] = {".json": _as_json, ".csv": as_csv}


def check_name(path: Path) -> None:
    """Raises UsageError for a file whose suffix names no format."""
    if path.suffix not in _WRITERS:
        close = nearest(path.suffix, list(_WRITERS))
        raise UsageError(
            f"--out {path}: predictions are written as {' or '.join(_WRITERS)}.{close}",
            f"For example: --out {path.with_suffix('.csv')}",
        )


def write(said: Predictions, topk: int, path: Path) -> None:
    """Write the file in the format its suffix names."""
    with written_whole(path, "w") as stream:
        stream.write(_WRITERS[path.suffix](said, topk))
