"""Result files: the reference's bare list of scores, and self-describing ones; per-class table and picture beside them."""

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stgcn_cli.config import class_names, presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data.archives import check_packed
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.evaluation import metrics, score
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.io import foreign
from stgcn_cli.io.files import atomic_write
from stgcn_cli.io.outputs import MARKS, suffix_of
from stgcn_cli.io.text import csv_cell, json_text, nearest, nearest_file, printable, to_json


def write(result: EvalResult, path: Path) -> None:
    """Write `result` in the format the suffix names: .pkl, .json, .csv or .npz. Raises UsageError for another."""
    writer = writer_for(path)
    with atomic_write(path) as stream:
        stream.write(writer(result))


def read(path: Path) -> EvalResult:
    """The result in a `.npz` of ours. Raises DataError for another file, or one that is damaged."""
    how = "Make one: stgcn eval CHECKPOINT --out result.npz"
    try:
        kind = foreign.kind_of(foreign.head_of(path))
        if kind is not None and kind.key == "pickle":
            raise DataError(
                f"{path} is a pickle (scores alone, or annotations); expected a result with names and labels (.npz).",
                how,
            )
        foreign.refuse(path, foreign.head_of(path), "a result (.npz)", ("result", "npz", "zip", "empty"))
        check_packed(path)
        with np.load(path, allow_pickle=False) as arrays:
            scores, labels, names = arrays["scores"], arrays["labels"], arrays["names"]
            preset, split, source = (str(arrays[key][()]) for key in ("preset", "split", "source"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.{nearest_file(path)}", how) from error
    except DataError:
        raise
    except Exception as error:  # a damaged archive can make numpy raise anything
        raise DataError(f"{path} is not a readable result: {printable(error)[:200]}.", how) from error
    recipe = presets.from_text(preset.encode(), str(path), "result")
    fits = scores.ndim == 2 and scores.shape == (len(names), recipe.model.num_classes) and scores.dtype.kind == "f"
    if not (fits and labels.shape == names.shape and (labels.dtype.kind, names.dtype.kind) == ("i", "U")):
        raise DataError(f"{path}: its scores, labels and names do not belong together.", how)
    if len(labels) and not -1 <= labels.min() <= labels.max() < recipe.model.num_classes:
        raise DataError(
            f"{path}: labels are {labels.min()} to {labels.max()} of {recipe.model.num_classes} classes.", how
        )
    result = EvalResult(recipe, split, scores, labels, names.tolist(), {}, Path(source) if source else None)
    return score.measured(result)


def writer_for(path: Path) -> Callable[[EvalResult], bytes]:
    """The function that makes the bytes of such a file. Raises UsageError for an unknown suffix."""
    suffix = suffix_of(path, (".json",))
    if suffix not in _WRITERS:
        raise UsageError(
            f"--out {path}: results are written as {', '.join(_WRITERS)}.{nearest(path.suffix, list(_WRITERS))}",
            f"For example: --out {path.with_suffix('.pkl')}",
        )
    return _WRITERS[suffix]


def _pickle(result: EvalResult) -> bytes:
    """The reference's: a list over clips of float32 logits (classes,), protocol 2; readers ignore what follows it."""
    return pickle.dumps(list(result.scores.astype(np.float32)), protocol=2) + MARKS["eval"][".pkl"]


def _json(result: EvalResult) -> bytes:
    value = {
        "made_by": "stgcn eval",
        "preset": result.preset.name,
        "split": result.split,
        "metrics": result.metrics,
        "classes": class_names.class_names(result.preset),
        "clips": [
            {"name": name, "label": label, "predicted": predicted, "scores": scores}
            for name, label, predicted, scores in zip(
                result.names,
                result.labels.tolist(),
                result.scores.argmax(axis=1).tolist(),
                result.scores.astype(np.float64).round(6).tolist(),
                strict=True,
            )
        ],
    }
    return to_json(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _csv(result: EvalResult) -> bytes:
    import pandas

    classes, best = _cells(class_names.class_names(result.preset)), result.scores.argmax(axis=1)
    frame = pandas.DataFrame({"name": _cells(result.names), "label": result.labels, "predicted": best})
    frame.insert(2, "label_name", np.where(result.labels >= 0, classes[result.labels], ""))
    frame["predicted_name"] = classes[best]
    scores = pandas.DataFrame(result.scores, columns=classes)
    text = pandas.concat([frame, scores], axis=1).to_csv(index=False, lineterminator="\n")
    return text.encode("utf-8", "backslashreplace")


def _cells(texts: Sequence[str]) -> np.ndarray:
    """Texts as cells of a table that nothing is computed from."""
    return np.array([csv_cell(text) for text in texts], dtype=object)


def _npz(result: EvalResult) -> bytes:
    """Everything: `read` makes the result out of it again."""
    stream = io.BytesIO()
    np.savez_compressed(
        stream, scores=result.scores, labels=result.labels, names=np.array(result.names),
        classes=np.array(class_names.class_names(result.preset)), preset=np.array(presets.to_toml(result.preset)),
        split=np.array(result.split), source=np.array(str(result.source or "")),
    )  # fmt: skip
    return stream.getvalue()


_WRITERS: dict[str, Callable[[EvalResult], bytes]] = {".pkl": _pickle, ".json": _json, ".csv": _csv, ".npz": _npz}
SUFFIXES = tuple(_WRITERS)


def classes_without_clips(result: EvalResult) -> list[str]:
    """The names of the classes that no clip is labelled with."""
    clips = result.confusion.sum(axis=1)
    return [name for name, count in zip(class_names.class_names(result.preset), clips, strict=True) if not count]


def per_class(result: EvalResult) -> list[dict[str, Any]]:
    """One row a class that has clips: its name, clips, accuracy (fraction), and what it is most often taken for."""
    names, matrix = class_names.class_names(result.preset), result.confusion
    accuracy = metrics.class_accuracy(matrix)
    rows = []
    for index in np.flatnonzero(matrix.sum(axis=1)):
        wrong = matrix[index].copy()
        wrong[index] = 0
        taken_for = names[int(wrong.argmax())] if wrong.any() else ""
        rows.append(
            {"class": int(index), "name": names[index], "clips": int(matrix[index].sum()),
             "accuracy": round(float(accuracy[index]), 6), "most_often_taken_for": taken_for, "times": int(wrong.max())}
        )  # fmt: skip
    return rows


# What a model said of clips, as values, JSON and CSV. Shapes: N clips.

if TYPE_CHECKING:
    from stgcn_cli.evaluation.input_checks import Facts  # and with it torch, which the name of a file does not need


@dataclass(frozen=True)
class Predictions:
    """What was said of N clips: logits (N, classes), facts and sources, and what was odd."""

    preset: Preset
    classes: list[str]
    scores: np.ndarray
    facts: "list[Facts]"
    sources: list[Path]
    warnings: list[str]
    axes: list[str] = field(default_factory=list)  # how those of arrays were understood
    features: np.ndarray | None = None  # (N, 256)

    def top(self, k: int) -> list[list[tuple[int, float]]]:
        """The k likeliest classes of each clip with their probabilities, likeliest first."""
        return top(self.scores, k)


def top(scores: np.ndarray, k: int) -> list[list[tuple[int, float]]]:
    """Of logits (N, classes): the k likeliest classes of each clip with their probabilities (softmax), likeliest first."""
    probabilities = metrics.probabilities(scores)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return [[(int(index), float(row[index])) for index in best] for row, best in zip(probabilities, order, strict=True)]


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
    return {
        "made_by": "stgcn predict",
        "preset": said.preset.name,
        "axes": said.axes,
        "clips": clips,
        "warnings": said.warnings,
    }


def as_csv(said: Predictions, topk: int) -> str:
    """One line a clip: clip, source, frames, persons, then class, name and probability of each place."""
    rows = []
    for clip in as_dict(said, topk)["clips"]:
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


def _as_json(said: Predictions, topk: int) -> str:
    return json_text(as_dict(said, topk)) + "\n"


_PREDICTION_WRITERS: dict[str, Callable[[Predictions, int], str]] = {".json": _as_json, ".csv": as_csv}


def check_name(path: Path, suffixes: Sequence[str] = tuple(_PREDICTION_WRITERS)) -> None:
    """Raises UsageError for a file whose suffix names no format."""
    if suffix_of(path, suffixes) not in suffixes:
        close = nearest(path.suffix, suffixes)
        raise UsageError(
            f"--out {path}: predictions are written as {' or '.join(suffixes)}.{close}",
            f"For example: --out {path.with_suffix('.csv')}",
        )


def write_predictions(said: Predictions, topk: int, path: Path) -> None:
    """Write the file in the format its suffix names."""
    with atomic_write(path, "w") as stream:
        stream.write(_PREDICTION_WRITERS[suffix_of(path, _PREDICTION_WRITERS)](said, topk))


def check_features_name(path: Path) -> None:
    """Raises UsageError for a file that is no .npz."""
    if path.suffix != ".npz":
        raise UsageError(
            f"--features {path}: features are written as .npz.", f"For example: --features {path.with_suffix('.npz')}"
        )


def write_features(said: Predictions, path: Path) -> None:
    """A .npz of features (N, 256), logits (N, classes), names (N,), sources (N,) and classes."""
    assert said.features is not None
    with atomic_write(path) as stream:
        np.savez_compressed(
            stream, features=said.features, logits=said.scores, names=np.array([each.name for each in said.facts]),
            sources=np.array(list(map(str, said.sources))), classes=np.array(said.classes),
        )  # fmt: skip
