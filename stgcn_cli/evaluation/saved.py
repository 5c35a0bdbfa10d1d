"""Saved scores of this and other programs: result files (.pkl, .npz, .json, .csv) and run folders.

Shapes: N clips, K classes.
"""

import csv
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config import class_names, presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data.archives import check_packed
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io import safe_pickle
from stgcn_cli.io.text import csv_text, nearest_file, one_line, printable

SUFFIXES = (".pkl", ".npz", ".json", ".csv")
_IN_A_RUN = ("best.result.npz", "last.result.npz")
_NOT_SCORES = {"label", "label_name", "predicted", "predicted_name"}  # columns of a CSV
_HIDDEN = -1


@dataclass(frozen=True, kw_only=True)
class SavedScores:
    """Scores float64 (N, K) and what the file says beside them; `labels` (N,) are -1 where hidden."""

    path: Path
    scores: np.ndarray
    names: tuple[str, ...] | None = None
    labels: np.ndarray | None = None
    classes: tuple[str, ...] | None = None
    preset: Preset | None = None
    split: str = ""
    source: Path | None = None  # the annotations that were evaluated


def is_result(path: Path) -> bool:
    """Whether the file has the name of a result and is not a checkpoint, which is a zip archive and never an .npz."""
    return path.suffix in SUFFIXES and path.is_file() and (path.suffix == ".npz" or not zipfile.is_zipfile(path))


def read_saved(path: Path) -> SavedScores:
    """Return the scores in a result file, or those of the best (else last) checkpoint in a run folder.

    Raises DataError for a missing, damaged or unsuitable file, UsageError for an unknown suffix.
    """
    if path.is_dir():
        found = next((path / name for name in _IN_A_RUN if (path / name).is_file()), None)
        if found is None:
            hint = f"Write them there: stgcn eval {path}/best.pth --out {path}/best.result.npz"
            raise DataError(f"{path} contains no scores ({' or '.join(_IN_A_RUN)}).", hint)
        path = found
    if not path.exists():
        raise DataError(f"{path} not found.{nearest_file(path)}", "Make a result: stgcn eval CHECKPOINT --out FILE")
    if not path.is_file():  # opening a pipe would block
        raise DataError(f"{path} is not a regular file.")
    if path.suffix not in _READERS:
        raise UsageError(f"{path}: expected a result ({', '.join(SUFFIXES)}) or a run folder.")
    try:
        found_values = _READERS[path.suffix](path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.{nearest_file(path)}") from error
    except Exception as error:  # a damaged file can raise anything
        cause = safe_pickle.cause(error) if path.suffix == ".pkl" else printable(error)[:200]
        raise DataError(
            f"{path} contains no scores: {cause}.", "Make a result: stgcn eval CHECKPOINT --out FILE"
        ) from error
    return _checked(SavedScores(path=path, **found_values))


def _checked(saved: SavedScores) -> SavedScores:
    clips, classes = saved.scores.shape
    names, labels = saved.names, saved.labels
    if not clips or not np.isfinite(saved.scores).all():
        raise DataError(f"{saved.path} contains {'scores that are NaN or infinite' if clips else 'no clips'}.")
    for values, what in ((names, "names"), (labels, "labels")):
        if values is not None and len(values) != clips:
            raise DataError(f"{saved.path} has {len(values):,} {what} for {clips:,} scores.")
    if labels is not None and not _HIDDEN <= labels.min() <= labels.max() < classes:
        raise DataError(f"{saved.path}: labels are {labels.min()} to {labels.max()} of {classes} classes.")
    for known, what in ((saved.classes, "class names"), (saved.preset, "classes in its preset")):
        count = known.model.num_classes if isinstance(known, Preset) else None if known is None else len(known)
        if count not in (None, classes):
            raise DataError(f"{saved.path} has {count} {what} for {classes} scores a clip.")
    return saved


def _matrix(rows: Any) -> np.ndarray:
    """Scores (N, K) of rows of one length; each may be (name, …, scores), as 2s-AGCN and BABEL write them."""
    if isinstance(rows, Mapping):
        rows = list(rows.values())
    if isinstance(rows, Sequence) and rows and isinstance(rows[0], tuple):
        rows = [row[-1] for row in rows]
    scores = np.asarray(rows)
    if scores.ndim == 3 and scores.shape[1] == 1:
        scores = scores[:, 0]
    if scores.ndim != 2 or scores.dtype.kind not in "fiu" or not scores.shape[1]:
        raise ValueError(f"expected a list of scores for each clip, found an array of shape {scores.shape}")
    return scores.astype(np.float64)


def _read_pickle(path: Path) -> dict[str, Any]:
    """A list of scores in data-set order; with names only where they are the keys of a dict or the first of a pair."""
    with open(path, "rb") as stream:
        value = safe_pickle.load(stream, path.stat().st_size)
    if (isinstance(value, Mapping) and "annotations" in value) or (
        isinstance(value, list) and value and isinstance(value[0], Mapping) and "keypoint" in value[0]
    ):
        raise ValueError(f"it is an annotation pickle; to evaluate a model on it: stgcn eval CHECKPOINT --data {path}")
    names = None
    if isinstance(value, Mapping):
        names = tuple(map(str, value))
    elif isinstance(value, Sequence) and value and all(isinstance(row, tuple) and len(row) == 2 for row in value):
        names = tuple(str(row[0]) for row in value)
    return {"scores": _matrix(value), "names": names}


def _read_npz(path: Path) -> dict[str, Any]:
    check_packed(path)
    with np.load(path, allow_pickle=False) as arrays:
        found = {key: arrays[key] for key in arrays.files}
    tables = [array for array in found.values() if array.ndim == 2 and array.dtype.kind == "f"]
    if "scores" not in found and len(tables) != 1:
        raise ValueError(f"expected an array 'scores', found {', '.join(map(one_line, found)) or 'nothing'}")
    text = {key: str(found[key][()]) for key in ("preset", "split", "source") if key in found}
    return {
        "scores": _matrix(found.get("scores", tables[0] if tables else None)),
        "names": tuple(found["names"].tolist()) if "names" in found else None,
        "labels": found["labels"].astype(np.int64) if "labels" in found else None,
        "classes": tuple(found["classes"].tolist()) if "classes" in found else None,
        "preset": presets.from_text(text["preset"].encode(), str(path), "result") if text.get("preset") else None,
        "split": text.get("split", ""),
        "source": Path(text["source"]) if text.get("source") else None,
    }


def _read_json(path: Path) -> dict[str, Any]:
    """What `stgcn eval --out X.json` writes, or a bare list of lists."""
    value = json.loads(path.read_bytes())
    if not isinstance(value, dict):
        return {"scores": _matrix(value)}
    clips, classes = value["clips"], value.get("classes")
    return {
        "scores": _matrix([clip["scores"] for clip in clips]),
        "names": tuple(str(clip["name"]) for clip in clips),
        "labels": np.array([int(clip["label"]) for clip in clips]) if all("label" in clip for clip in clips) else None,
        "classes": tuple(map(str, classes)) if classes else None,
        "split": str(value.get("split", "")),
    }


def _read_csv(path: Path) -> dict[str, Any]:
    """A column of scores for each class; columns `name` and `label`, where there are any."""
    with open(path, encoding="utf-8", newline="") as stream:
        header, *rows = [row for row in csv.reader(stream) if row]
    known = [index for index, column in enumerate(header[:5]) if column in _NOT_SCORES | {"name"}]
    columns = [index for index in range(len(header)) if index not in known]
    place = {header[index]: index for index in known}
    return {
        "scores": _matrix([[float(row[index]) for index in columns] for row in rows]),
        "names": tuple(csv_text(row[place["name"]]) for row in rows) if "name" in place else None,
        "labels": np.array([int(row[place["label"]]) for row in rows]) if "label" in place else None,
        "classes": tuple(csv_text(header[index]) for index in columns),
    }


_READERS = {".pkl": _read_pickle, ".npz": _read_npz, ".json": _read_json, ".csv": _read_csv}


def preset_for(saved: SavedScores, name: str | None, settings: Sequence[str] = ()) -> Preset:
    """Return the preset named, else that in the file, else one that states only the classes. Raises UsageError."""
    classes = saved.scores.shape[1]
    if name:
        preset = presets.load(name, settings)
        if preset.model.num_classes != classes:
            raise UsageError(f"{saved.path} has {classes} scores a clip, the preset {name} {preset.model.num_classes}.")
        return preset
    if saved.preset is not None:
        return saved.preset
    known = saved.classes or tuple(f"class {index}" for index in range(classes))
    text = (
        f'name = "result"\n[data]\ndataset = "result"\ntrain = "train"\nval = {json.dumps(saved.split or "val")}\n'
        f'layout = "ntu"\nchannels = "xyz"\nnum_person = 1\nclasses = {json.dumps(known, ensure_ascii=False)}\n'
        f"[model]\nnum_classes = {classes}\n[train]\nbatch_size = 1\nepochs = 1\n"
        '[eval]\nmetrics = ["top_k_accuracy", "mean_class_accuracy"]\n'
    )
    return presets.from_text(text.encode(), str(saved.path), "result", settings)


def classes_of(saved: SavedScores) -> tuple[str, ...] | None:
    """The class names that the file states, itself or by its preset; None when it states none."""
    if saved.classes is not None or saved.preset is None:
        return saved.classes
    return tuple(class_names.class_names(saved.preset))
