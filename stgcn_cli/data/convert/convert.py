"""`stgcn data convert` and `merge`: clips of any format to annotation pickles with labels, splits and a preset.

One clip is in memory at a time (of a JSON, CSV or .npz file all of its clips); converted clips wait on disk.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stgcn_cli.data.census import Census
from stgcn_cli.data.checks import RecordChecker
from stgcn_cli.data.convert.collect import Collector, Rules
from stgcn_cli.data.convert.labels import number
from stgcn_cli.data.convert.split import Division, divide
from stgcn_cli.data.convert.spool import spool_in
from stgcn_cli.data.convert.writer import ConversionResult, Dataset, write_dataset
from stgcn_cli.data.findings import Findings
from stgcn_cli.data.locations import beside, common_layout
from stgcn_cli.data.output import Target
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.readers.units import list_units
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import one_line


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """What to convert, how, and where to."""

    inputs: Sequence[str]
    target: Target
    rules: Rules = field(default_factory=Rules)
    division: Division = field(default_factory=Division)
    names: Sequence[str] | None = None  # of the classes, in the order of the labels
    skip_bad: bool = False


def convert(options: ConvertOptions, reporter: Reporter = SILENT) -> ConversionResult:
    """Read, settle, write. Raises UsageError before anything is read, DataError naming the clip and the cause."""
    paths = dict.fromkeys(unit.path for unit in list_units(options.inputs, options.rules.options))
    files = [path for path in paths if path.is_file()]
    options.target.check(files)
    options = _as_beside(options, files)
    with spool_in(options.target.spool_folder) as spool:
        census = Census(checker=RecordChecker(Findings(str(options.target.out)), has_splits=True, labelled=False))
        collector, skipped = Collector(options.rules, spool, census), _Skipped(options.skip_bad)
        for clip in read_inputs(options.inputs, reporter, options.rules.options, skipped.add):
            try:
                collector.take(clip)
            except DataError as error:
                skipped.add(one_line(clip.name), error)
        collector.finish()
        labels, names = number(spool.clips, options.names)
        if collector.lost_splits and options.division.is_default and not any(clip.splits for clip in spool.clips):
            raise DataError(
                f"{collector.lost_splits}.",
                "Correct the names in the splits, or divide the clips again: --val-fraction 0.2",
            )
        splits, divided = divide(spool.clips, labels, options.division)
        dataset = Dataset(
            spool=spool, labels=labels, names=names, splits=splits, divided=divided, census=census,
            shape=collector.known_shape, layout=collector.layout, pre_normalize=collector.pre_normalize,
            left_out=skipped.found,
        )  # fmt: skip
        return write_dataset(dataset, options.target, reporter, _warnings(collector, dataset))


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    """What to merge and where to."""

    files: Sequence[Path]
    target: Target
    names: Sequence[Sequence[str]] = ()  # of the classes of each file; default: those of the presets beside the files


def merge(options: MergeOptions, reporter: Reporter = SILENT) -> ConversionResult:
    """Convert annotation pickles with their splits, classes by name where all files have names. Raises as `convert` does."""
    real = list(map(os.path.realpath, options.files))
    if twice := next((path for path in options.files if real.count(os.path.realpath(path)) > 1), None):
        raise UsageError(f"{twice} is given twice.", "Give each file once.")
    if options.names and len(options.names) != len(options.files):
        problem = f"--classes is given {len(options.names)} times for {len(options.files)} files."
        raise UsageError(problem, "Give one list for each file, in the same order.")
    names = dict(zip(options.files, options.names or [beside(path).classes for path in options.files], strict=True))
    nameless = [path for path, listed in names.items() if not listed]
    if nameless and len(nameless) < len(names):
        raise UsageError(f"{nameless[0]} has no class names, others have.", "Give a list for each file with --classes.")
    merged = list(dict.fromkeys(name for listed in names.values() for name in listed))
    converting = ConvertOptions(
        inputs=list(map(str, options.files)), target=options.target, division=Division(as_they_are=True), names=merged or None,
        rules=Rules(is_merge=True, names_of=names, options=Options(format="pickle")),
    )  # fmt: skip
    return convert(converting, reporter)


def _as_beside(options: ConvertOptions, files: Sequence[Path]) -> ConvertOptions:
    """Take class names and skeleton from the presets beside the inputs, where the user gave none. Raises DataError."""
    found = {path: beside(path) for path in files}
    own_labels = options.names is not None or options.rules.labels is not None or options.rules.from_folders
    names = {known.classes for known in found.values() if known.classes}
    if not own_labels and len(names) > 1:
        listed = ", ".join(str(path) for path, known in found.items() if known.classes)
        raise DataError(
            f"The presets beside {listed} have different class names, so equal labels mean different classes.",
            "Merge them by name: stgcn data merge FILE FILE --out NEW.pkl",
        )
    if not own_labels and names and all(known.classes for known in found.values()):
        options = replace(options, names=names.pop())
    layout = options.target.layout or common_layout(found)
    rules = replace(options.rules, options=replace(options.rules.options, layout=layout))
    return replace(options, target=replace(options.target, layout=layout), rules=rules)


@dataclass
class _Skipped:
    """What cannot be used: an error, or with --skip-bad a line in the summary."""

    allowed: bool
    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, place: str, error: DataError) -> None:
        if not self.allowed:
            raise DataError(error.message, error.hint or "Correct it, or skip unusable clips: --skip-bad") from error
        self.found.append((place, error.message))


def _warnings(collector: Collector, dataset: Dataset) -> list[str]:
    """How files were understood, and one line for each kind of problem that `validate` finds in the new file."""
    census, clips, lines = collector.census, collector.spool.clips, list(collector.census.notes)
    if collector.rules.labels is not None:
        lines += collector.rules.labels.notes()
    if collector.without_score:
        lines.append(
            "No network here takes x, y, z and a score: the score was left out, in "
            f"{collector.without_score:,} of {len(clips):,} clips."
        )
    for clip, label in zip(clips, dataset.labels, strict=True):
        census.checker.label(clip.name, -1 if label is None else label)
    return [*lines, *census.checker.finish(dataset.names or (), dataset.members()).kinds()]
