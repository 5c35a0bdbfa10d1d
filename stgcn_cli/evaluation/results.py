"""Result files: the reference's bare list of scores, and self-describing ones; per-class table and picture beside them."""

import io
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config import class_names, presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.evaluation import metrics, score
from stgcn_cli.evaluation.saved import SavedScores, read_saved
from stgcn_cli.evaluation.score import EvalResult
from stgcn_cli.io.files import atomic_write
from stgcn_cli.io.outputs import MARKS, expect_suffix
from stgcn_cli.io.text import csv_cell, to_json


def write(result: EvalResult, path: Path) -> None:
    """Write `result` in the format the suffix names: .pkl, .json, .csv or .npz. Raises UsageError for another."""
    writer = writer_for(path)
    with atomic_write(path) as stream:
        stream.write(writer(result))


def read(path: Path) -> EvalResult:
    """Return the result in a `.npz` of ours. Raises UsageError for another kind of file, DataError for a damaged one."""
    how = "Make one: stgcn eval CHECKPOINT --out result.npz"
    if path.is_file() and path.suffix != ".npz":
        raise UsageError(
            f"{path}: expected a result of stgcn eval with names, labels and preset (.npz) or a run folder.", how
        )
    saved = read_saved(path)
    if saved.names is None or saved.labels is None or saved.preset is None:
        raise DataError(f"{path} holds scores alone; expected a result with names, labels and preset (.npz).", how)
    return of_saved(saved, saved.preset)


def of_saved(saved: SavedScores, preset: Preset, scores: np.ndarray | None = None) -> EvalResult:
    """The result that `preset` makes of saved scores, or of other ones of the same clips, whose labels are known."""
    assert saved.labels is not None
    scores = saved.scores if scores is None else scores
    names = list(saved.names or map(str, range(len(scores))))
    result = EvalResult(
        preset, saved.split or preset.data.val, scores.astype(np.float32), saved.labels, names, {}, saved.source
    )
    return score.measured(result)


def writer_for(path: Path) -> Callable[[EvalResult], bytes]:
    """The function that makes the bytes of such a file. Raises UsageError for an unknown suffix."""
    return _WRITERS[expect_suffix(path, tuple(_WRITERS), streams=(".json",))]


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
