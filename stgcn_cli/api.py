"""The Python API: `import stgcn_cli as stgcn`. What the commands do, with values instead of text; nothing is printed.

Shapes: N clips, M persons, T frames, V joints, C values of a joint. Errors are those of `stgcn_cli.errors`.
"""

import dataclasses
import os
import pickle
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.config.skeletons import Layout
from stgcn_cli.data.clips import Clip
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.errors import UsageError
from stgcn_cli.io.reporter import SILENT, Reporter

if TYPE_CHECKING:
    from torch import nn

    from stgcn_cli.evaluation.predict import Predictor
    from stgcn_cli.evaluation.score import EvalResult
    from stgcn_cli.training.run import RunResult

_SAVED = {3: "TVC", 4: "MTVC"}  # axes of an array, by their number
_SHORT = {"epochs": "train.epochs", "lr": "optim.lr", "batch_size": "train.batch_size", "patience": "train.patience",
          "stream": "data.stream"}  # options of `stgcn train` that are settings  # fmt: skip
_RENAMED = {"checkpoint_minutes": "save_minutes"}
Settings = Mapping[str, Any] | Sequence[str]


@dataclass(frozen=True)
class Prediction:
    """The most likely classes of a clip with their probabilities, likeliest first."""

    name: str
    frames: int
    persons: int
    top: list[tuple[str, float]]


class Recognizer:
    """A loaded model. `clips` may be one clip or many: arrays (T V C or M T V C), records, `Clip`s, paths, pandas frames.

    A pandas frame has the columns of the CSV form of `stgcn data convert`; it and a path may hold several clips. Arrays and frames
    are raw coordinates, as files of them are. `classes`: names in the order of the logits; `layout`: the skeleton expected;
    `network`: the module itself, (N, C, T, V, M), prepared as the preset says, to logits (N, classes).
    """

    def __init__(self, predictor: "Predictor") -> None:
        self._predictor = predictor
        self.preset: Preset = predictor.preset
        self.classes: list[str] = list(predictor.classes)
        self.layout: Layout = presets.layout_of(predictor.preset)
        self.network: nn.Module = predictor.model

    def logits(self, clips: Any) -> np.ndarray:
        """Logits (N, classes) float32. Raises DataError for clips of another skeleton."""
        return self._predictor.answer(self._read(clips))[0]

    def features(self, clips: Any) -> np.ndarray:
        """Embeddings (N, 256) float32: the input of the head. Raises DataError for clips of another skeleton."""
        return self._predictor.embed(self._read(clips))[2]

    def predict(self, clips: Any, top_k: int = 5) -> list[Prediction]:
        """The most likely classes of each clip. Raises DataError for clips of another skeleton."""
        from stgcn_cli.evaluation.predictions import top

        scores, facts = self._predictor.answer(self._read(clips))
        return [
            Prediction(about.name, about.frames, about.persons, [(self.classes[index], share) for index, share in best])
            for about, best in zip(facts, top(scores, top_k), strict=True)
        ]

    def _read(self, clips: Any) -> list[Clip]:
        return _clips(clips, self._predictor.reading(Options()))


def load(
    checkpoint: str | os.PathLike[str], device: str = "auto", *, settings: Settings = (), **options: Any
) -> Recognizer:
    """The model in a checkpoint or .onnx file, or published weights by name (downloaded once).

    `settings` changes its preset ({"data.clip_len": 100}); other options are those of `EvalOptions`. Raises StgcnError.
    """
    from stgcn_cli.evaluation import predict
    from stgcn_cli.runs.resolve import EvalOptions

    given = {"checkpoint": str(checkpoint), "device": device, "settings": _settings(settings), **options}
    return Recognizer(predict.load(_options(EvalOptions, given)))


def read(source: str | os.PathLike[str]) -> list[Clip]:
    """Every clip of a file, folder, zip or pattern that `stgcn predict` reads: `.name`, `.record`, `.frames` (M T V C)."""
    return list(read_inputs([os.fspath(source)]))


def train(
    preset: str,
    *,
    settings: Settings = (),
    data: Any = (),
    device: str = "auto",
    gpus: int = 1,
    precision: str = "auto",
    reporter: Reporter = SILENT,
    **options: Any,
) -> "RunResult":
    """Train, as `stgcn train` does, with its options (work_dir, epochs, seed, load_from, test_best, …) and those of `RunOptions`.

    Raises StgcnError.
    """
    from stgcn_cli.runtime.devices import resolve_device
    from stgcn_cli.runtime.distributed import LaunchConfig
    from stgcn_cli.runtime.precision import resolve_precision
    from stgcn_cli.training.options import RunOptions
    from stgcn_cli.training.run import run

    where = resolve_device(device, gpus)
    tests = tuple(name for name in ("best", "last") if options.pop(f"test_{name}", False))
    options = {_RENAMED.get(key, key): value for key, value in options.items()}
    changes = [f"{_SHORT[key]}={options.pop(key)}" for key in _SHORT if key in options]
    given = {
        "preset": presets.load(preset, (*_settings(settings), *changes)), "launch": LaunchConfig(where, gpus),
        "data": _paths(data), "precision": resolve_precision(precision, where, training=True), "test": tests, **_as_paths(options),
    }  # fmt: skip
    result = run(_options(RunOptions, given), reporter)
    assert result is not None  # this process is the first one
    return result


def evaluate(
    checkpoint: str | os.PathLike[str],
    *,
    data: Any = (),
    settings: Settings = (),
    reporter: Reporter = SILENT,
    **options: Any,
) -> "EvalResult":
    """Scores and metrics, as `stgcn eval` finds them; other options are those of `EvalOptions`. Raises StgcnError."""
    from stgcn_cli.evaluation import evaluate as evaluation
    from stgcn_cli.runs.resolve import EvalOptions

    changes = [f"data.stream={options.pop('stream')}"] if "stream" in options else []
    metrics = options.pop("metrics", ())
    given = {
        "checkpoint": str(checkpoint), "data": _paths(data), "settings": (*_settings(settings), *changes),
        "metrics": (metrics,) if isinstance(metrics, str) else tuple(metrics), **options,
    }  # fmt: skip
    result = evaluation.evaluate(_options(EvalOptions, given), reporter)
    assert result is not None
    return result


def _options(kind: Any, given: Mapping[str, Any]) -> Any:
    """The option dataclass of a command. Raises UsageError for an option it does not have."""
    known = [field.name for field in dataclasses.fields(kind)]
    if unknown := [name for name in given if name not in known]:
        raise UsageError(f"Unknown option {unknown[0]!r}.", f"Known: {', '.join(known)}")
    return kind(**given)


def _settings(settings: Settings) -> tuple[str, ...]:
    if isinstance(settings, Mapping):
        return tuple(f"{key}={value}" for key, value in settings.items())
    return tuple([settings] if isinstance(settings, str) else settings)


def _paths(data: Any) -> tuple[Path, ...]:
    return tuple(map(Path, [data] if isinstance(data, str | os.PathLike) else data))


def _as_paths(options: Mapping[str, Any]) -> dict[str, Any]:
    """A `str` where a path is meant becomes one."""
    paths = ("work_dir", "resume_from", "load_from")
    return {key: Path(value) if key in paths and value is not None else value for key, value in options.items()}


def _clips(clips: Any, options: Options) -> list[Clip]:
    """One clip or many, of any kind. Raises UsageError, DataError."""
    is_one = isinstance(clips, str | os.PathLike | Mapping | Clip) or hasattr(clips, "to_csv")
    is_one |= not isinstance(clips, Iterable) or (isinstance(clips, np.ndarray) and clips.ndim != 5)
    with tempfile.TemporaryDirectory(prefix="stgcn-") as folder:
        given = enumerate([clips] if is_one else clips)
        found = [clip for index, each in given for clip in _of_one(each, Path(folder) / f"clip{index}", options)]
    if not found:
        raise UsageError("No clips given.")
    return found


def _of_one(value: Any, path: Path, options: Options) -> list[Clip]:
    """The clips in one value; read as a file of it would be, so that all checks are those of the commands."""
    if isinstance(value, Clip):
        return [value]
    if isinstance(value, str | os.PathLike):
        return list(read_inputs([os.fspath(value)], options=options))
    if isinstance(value, np.ndarray):
        if value.ndim not in _SAVED:
            raise UsageError(f"An array of the shape {value.shape} is not a clip.", "Expected T V C or M T V C.")
        np.save(path := path.with_suffix(".npy"), value, allow_pickle=False)
        options = dataclasses.replace(options, axes=_SAVED[value.ndim])
    elif isinstance(value, Mapping):
        path = path.with_suffix(".pkl")
        path.write_bytes(pickle.dumps([{"frame_dir": path.stem, **value}]))
    elif hasattr(value, "to_csv"):
        value.to_csv(path := path.with_suffix(".csv"), index=False)
    else:
        raise UsageError(
            f"A {type(value).__name__} is not a clip.", "Expected arrays, records, paths or pandas frames."
        )
    return list(read_inputs([str(path)], options=options))
