"""Result files: the reference's bare list of scores, and self-describing ones; per-class table and picture beside them."""

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli import charts, evaluation, metrics, presets
from stgcn_cli.data.packed import check_packed
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.evaluation import EvalResult
from stgcn_cli.files import written_whole
from stgcn_cli.wording import nearest, nearest_file, printable


def write(result: EvalResult, path: Path) -> None:
    """Write `result` in the format the suffix names: .pkl, .json, .csv or .npz. Raises UsageError for another."""
    writer = writer_for(path)
    with written_whole(path) as stream:
        stream.write(writer(result))


def read(path: Path) -> EvalResult:
    """The result in a `.npz` of ours. Raises DataError for another file, or one that is damaged."""
    how = "Make one: stgcn eval CHECKPOINT --out result.npz"
    try:
        check_packed(path)
        with np.load(path, allow_pickle=False) as arrays:
            scores, labels, names = arrays["scores"], arrays["labels"], arrays["names"]
            preset, split, source = (str(arrays[key][()]) for key in ("preset", "split", "source"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.{nearest_file(path)}", how) from error
    except Exception as error:  # a damaged archive can make numpy raise anything
        raise DataError(f"{path} is no result that describes itself: {printable(error)[:200]}.", how) from error
    recipe = presets.from_text(preset.encode(), str(path), "result")
    fits = scores.ndim == 2 and scores.shape == (len(names), recipe.model.num_classes) and scores.dtype.kind == "f"
    if not (fits and labels.shape == names.shape and (labels.dtype.kind, names.dtype.kind) == ("i", "U")):
        raise DataError(f"{path}: its scores, labels and names do not belong together.", how)
    if len(labels) and not -1 <= labels.min() <= labels.max() < recipe.model.num_classes:
        raise DataError(
            f"{path}: labels are {labels.min()} to {labels.max()} of {recipe.model.num_classes} classes.", how
        )
    result = EvalResult(recipe, split, scores, labels, names.tolist(), {}, Path(source) if source else None)
    return evaluation.measured(result)


def writer_for(path: Path) -> Callable[[EvalResult], bytes]:
    """The function that makes the bytes of such a file. Raises UsageError for an unknown suffix."""
    if path.suffix not in _WRITERS:
        raise UsageError(
            f"--out {path}: results are written as {', '.join(_WRITERS)}.{nearest(path.suffix, list(_WRITERS))}",
            f"For example: --out {path.with_suffix('.pkl')}",
        )
    return _WRITERS[path.suffix]


def _pickle(result: EvalResult) -> bytes:
    """The reference's: a list over clips of float32 logits (classes,), protocol 2."""
    return pickle.dumps(list(result.scores.astype(np.float32)), protocol=2)


def _json(result: EvalResult) -> bytes:
    value = {
        "preset": result.preset.name,
        "split": result.split,
        "metrics": result.metrics,
        "classes": presets.class_names(result.preset),
        "clips": [
            {
                "name": name,
                "label": int(label),
                "predicted": int(scores.argmax()),
                "scores": [round(float(s), 6) for s in scores],
            }
            for name, label, scores in zip(result.names, result.labels, result.scores, strict=True)
        ],
    }
    return json.dumps(value, ensure_ascii=False).encode()


def _csv(result: EvalResult) -> bytes:
    import pandas

    classes, best = presets.class_names(result.preset), result.scores.argmax(axis=1)
    frame = pandas.DataFrame({"name": result.names, "label": result.labels, "predicted": best})
    frame.insert(2, "label_name", [classes[label] if label >= 0 else "" for label in result.labels])
    frame["predicted_name"] = [classes[index] for index in best]
    scores = pandas.DataFrame(result.scores, columns=classes)
    return pandas.concat([frame, scores], axis=1).to_csv(index=False, lineterminator="\n").encode()


def _npz(result: EvalResult) -> bytes:
    """Everything: `read` makes the result out of it again."""
    stream = io.BytesIO()
    np.savez_compressed(
        stream, scores=result.scores, labels=result.labels, names=np.array(result.names),
        classes=np.array(presets.class_names(result.preset)), preset=np.array(presets.to_toml(result.preset)),
        split=np.array(result.split), source=np.array(str(result.source or "")),
    )  # fmt: skip
    return stream.getvalue()


_WRITERS: dict[str, Callable[[EvalResult], bytes]] = {".pkl": _pickle, ".json": _json, ".csv": _csv, ".npz": _npz}


def per_class(result: EvalResult) -> list[dict[str, Any]]:
    """One row a class that has clips: its name, clips, accuracy (fraction), and what it is most often taken for."""
    names, matrix = presets.class_names(result.preset), result.confusion
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


def write_beside(result: EvalResult, stem: Path) -> list[Path]:
    """Write <stem>.per_class.csv and <stem>.confusion.png; nothing when no clip has a label."""
    if not len(result.labelled.labels):
        return []
    import pandas

    table, picture = stem.with_name(stem.name + ".per_class.csv"), stem.with_name(stem.name + ".confusion.png")
    with written_whole(table, "w") as stream:
        pandas.DataFrame(per_class(result)).to_csv(stream, index=False, lineterminator="\n")
    title = (
        f"{result.preset.name}, {result.split}: top-1 {100 * result.metrics['top1_acc']:.2f} %"
        if "top1_acc" in result.metrics
        else result.preset.name
    )
    charts.confusion_matrix(result.confusion, presets.class_names(result.preset), picture, title)
    return [table, picture]
