"""Predict the clips in any file, by the path of an evaluation but without a store on disk.

Shapes: N clips.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stgcn_cli.config import catalog, class_names, presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data.axes import summaries
from stgcn_cli.data.census import Census
from stgcn_cli.data.checks import RecordChecker
from stgcn_cli.data.clips import Clip
from stgcn_cli.data.findings import Findings
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import MAX_PERSONS, Options
from stgcn_cli.data.readers.units import list_units
from stgcn_cli.data.records import REFERENCE_SIZE
from stgcn_cli.data.splits import Split
from stgcn_cli.data.statistics import parse_statistics
from stgcn_cli.data.store import store_of
from stgcn_cli.errors import DataError
from stgcn_cli.evaluation.adapt import adapted
from stgcn_cli.evaluation.input_checks import Facts, facts_of, input_warnings
from stgcn_cli.evaluation.predictions import Predictions
from stgcn_cli.evaluation.score import check_scores, network_of, score_split
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.runs import checkpoint, exported, resolve
from stgcn_cli.runs.checkpoint import Checkpoint
from stgcn_cli.runtime.devices import resolve_device
from stgcn_cli.runtime.distributed import World
from stgcn_cli.runtime.precision import resolve_precision

_SHOWN = ("all zeros", "missing, so")  # problems that `input_checks` words itself
_AT_A_TIME = 512  # clips held in memory; a multiple of the usual batches, so that these are those of an evaluation


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A loaded model. `trained_on` are statistics of its training clips from the checkpoint, else empty."""

    model: nn.Module
    preset: Preset
    classes: list[str]
    trained_on: Mapping[str, Any]
    device: torch.device
    precision: str = "float32"
    batch_size: int | None = None
    image_size: tuple[int, int] | None = None  # of clips that do not state theirs, as given by the user

    def answer(self, inputs: Sequence[Clip]) -> tuple[np.ndarray, list[Facts]]:
        """Logits (N, classes), float32, and the facts of every clip. Raises DataError where a skeleton is another one."""
        return self.embed(inputs)[:2]

    def embed(self, inputs: Sequence[Clip]) -> tuple[np.ndarray, list[Facts], np.ndarray]:
        """Logits (N, classes), the facts of every clip and features (N, 256)."""
        features: dict[int, torch.Tensor] = {}
        trained = [(int(height), int(width)) for height, width in self.trained_on.get("image_sizes", ())]
        likely = trained[0] if len(trained) == 1 else REFERENCE_SIZE  # of images of unknown size
        ready = [adapted(given, self.preset, self.image_size, likely) for given in inputs]
        store = store_of([each.clip.record for each in ready], inputs[0].source)
        scores, are_probabilities = score_split(
            self.model, Split("inputs", store, np.arange(len(store))), self.preset, World(0, 1, self.device),
            precision=self.precision, batch_size=self.batch_size, features=features,
        )  # fmt: skip
        if are_probabilities:  # logits of the same softmax
            scores = scores.clamp(min=torch.finfo(scores.dtype).tiny).log()
        facts, found = facts_of(store, ready, self.preset), scores.float().cpu().numpy()
        check_scores(found, [each.name for each in facts])
        return found, facts, np.stack([features[index].numpy() for index in range(len(inputs))])

    def reading(self, options: Options) -> Options:
        """Return the reading options, with the layout and persons of this model where the user gave none."""
        options = dataclasses.replace(options, usual_persons=max(MAX_PERSONS, self.preset.data.num_person))
        if options.layout is not None:
            return options
        layout = presets.layout_of(self.preset)
        return dataclasses.replace(options, layout=layout, layout_is_model=True)

    def oddities(self, facts: Sequence[Facts]) -> list[str]:
        """Warn when clips differ from the training clips, one message per kind."""
        return input_warnings(facts, self.preset, self.trained_on)


def load(request: resolve.EvalOptions, reporter: Reporter = SILENT) -> Predictor:
    """The model in a checkpoint file, or of published weights by name. Raises StgcnError where it cannot be used."""
    where = resolve_device(request.device, 1, reporter.warn)
    path = resolve.locate(request, reporter)
    device, precision = torch.device(where), "float32"
    model: Any
    trained_on: Any
    if exported.is_exported(path):
        exported.check_options(request)
        model, device = exported.read(path, where), torch.device("cpu")  # where it takes clips
        about = model.about
        preset, classes, trained_on = about.preset, about.classes, about.trained_on
    else:
        precision = resolve_precision(request.precision, where, training=False)
        read = checkpoint.read(path)
        preset = _sized_by_the_data(resolve.preset_of(read, request, reporter), read, request)
        model = network_of(read, preset, device, precision)
        classes, trained_on = _classes(read, preset), read.meta.get("trained_on")
    return Predictor(
        model=model, preset=preset, classes=classes, trained_on=parse_statistics(trained_on), device=device,
        precision=precision, batch_size=request.batch_size, image_size=request.image_size,
    )  # fmt: skip


class Inputs:
    """The clips of `words`, read while they are iterated, and the notes of reading them so far."""

    def __init__(self, words: Sequence[str], clips: Iterator[Clip]) -> None:
        self._clips, self._census = clips, Census(checker=RecordChecker(Findings(" ".join(words)), labelled=False))

    def __iter__(self) -> Iterator[Clip]:
        for clip in self._clips:
            self._census.add_clip(clip)
            yield clip

    def axes(self) -> list[str]:
        """How the axes of arrays were understood."""
        return summaries(self._census.understood)

    def warnings(self) -> list[str]:
        """Notes of readers, and problems of records, apart from those that `input_checks` words itself."""
        return [*self._census.notes, *self._census.checker.finish().kinds(*_SHOWN)]


def opened(
    words: Sequence[str], request: resolve.EvalOptions, reporter: Reporter, options: Options | None = None
) -> tuple[Predictor, Inputs]:
    """The model, and the clips of the inputs as they are read for it. Raises StgcnError as `load` and `read_inputs` do."""
    options = options or Options()
    list_units(words, options)  # a missing file is reported before the model is read
    predictor = load(dataclasses.replace(request, image_size=options.image_size), reporter)
    return predictor, Inputs(words, read_inputs(words, reporter, predictor.reading(options)))


def _classes(read: Checkpoint, preset: Preset) -> list[str]:
    """Return the names in the preset, else those in the checkpoint, else numbers."""
    named, inside = class_names.class_names(preset), read.meta.get("CLASSES")
    anonymous = named == [f"class {index}" for index in range(len(named))]
    if anonymous and isinstance(inside, list | tuple) and len(inside) == len(named):
        return [str(name) for name in inside]
    return named


def _sized_by_the_data(preset: Preset, read: Checkpoint, request: resolve.EvalOptions) -> Preset:
    """Pixels over the image's own size, where training divided by 1920 x 1080 and its images were of that size.

    Then both are one rule, and the image's own size is what other images need.
    """
    images = parse_statistics(read.meta.get("trained_on")).get("image_sizes")
    published = not read.preset_text and (catalog.find(request.checkpoint) or catalog.find(read.path.stem))
    fitting = published or images == [list(REFERENCE_SIZE)]
    asked = any(setting.replace(" ", "").startswith("data.image_size=") for setting in request.settings)
    if preset.data.normalize != "image" or asked or not fitting:
        return preset
    return dataclasses.replace(preset, data=dataclasses.replace(preset.data, image_size="record"))


def predict(
    words: Sequence[str],
    request: resolve.EvalOptions,
    reporter: Reporter,
    options: Options | None = None,
) -> Predictions:
    """Predict every clip of the inputs with the model of `request.checkpoint`, a few hundred in memory at a time.

    Raises StgcnError: DataError naming the file for what cannot be read, CheckpointError for the model.
    """
    predictor, inputs = opened(words, request, reporter, options)
    clips = iter(inputs)
    scores: list[np.ndarray] = []
    features: list[np.ndarray] = []
    facts: list[Facts] = []
    sources: list[Path] = []
    while some := list(itertools.islice(clips, _AT_A_TIME)):
        found, about, embedded = predictor.embed(some)
        scores.append(found)
        features.append(embedded)
        facts += about
        sources += [given.source for given in some]
    if not facts:
        raise DataError(f"No clips found in {' '.join(words)}.")
    return Predictions(
        preset=predictor.preset, classes=predictor.classes, scores=np.concatenate(scores), features=np.concatenate(features),
        facts=facts, sources=sources, warnings=inputs.warnings() + predictor.oddities(facts), axes=inputs.axes(),
    )  # fmt: skip
