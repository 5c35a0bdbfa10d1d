"""`stgcn data merge`: several annotation pickles -> one, classes by name where they have names. One clip in memory at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stgcn_cli.config.skeletons import Layout, Shape, some, words
from stgcn_cli.data.convert.labels import number
from stgcn_cli.data.convert.split import AS_THEY_WERE
from stgcn_cli.data.convert.spool import Spool, Word, clip_of, plain_label, spool_in
from stgcn_cli.data.convert.writer import ConversionResult, Dataset, write_dataset
from stgcn_cli.data.locations import beside, common_layout
from stgcn_cli.data.output import Target
from stgcn_cli.data.readers.inputs import expand, read_inputs
from stgcn_cli.data.records import Clip as ReadClip
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import one_line


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    """What to merge and where to."""

    files: Sequence[Path]
    target: Target
    names: Sequence[Sequence[str]] = ()  # of the classes of each file; default: those of the presets beside the files


def merge(options: MergeOptions, reporter: Reporter = SILENT) -> ConversionResult:
    """Read, settle, write. Raises UsageError before anything is read, DataError naming the file and the clip."""
    expand(list(map(str, options.files)))  # a missing file is refused first
    names = _names(options)
    options.target.check(list(options.files))
    target = options.target
    if target.layout is None:
        target = replace(target, layout=common_layout({path: beside(path) for path in options.files}))
    with spool_in(target.spool_folder) as spool:
        merging = _Merging(spool, names, target.layout)
        for index, file in enumerate(options.files):
            for clip in read_inputs([str(file)], reporter, format="pickle"):
                merging.take(clip, index)
        return write_dataset(merging.dataset(), target, reporter)


def _names(options: MergeOptions) -> list[Sequence[str]]:
    """The class names of each file, or none at all. Raises UsageError when only some have names."""
    if options.names and len(options.names) != len(options.files):
        problem = f"--classes is given {len(options.names)} times for {len(options.files)} files."
        raise UsageError(problem, "Give one list for each file, in the same order.")
    found = list(options.names or (beside(path).classes for path in options.files))
    if any(found) and not all(found):
        nameless = options.files[[bool(names) for names in found].index(False)]
        raise UsageError(f"{nameless} has no class names, others have.", "Give a list for each file with --classes.")
    return found if any(found) else []


@dataclass
class _Merging:
    """Clips taken in so far."""

    spool: Spool
    names: list[Sequence[str]]
    layout: Layout | None  # as the user or the presets beside the files say, else as the first clip does
    shape: Shape | None = None
    first: str = ""  # the clip the shape is of
    centred: bool = True
    seen: dict[str, dict[Word, Path]] = field(default_factory=dict)  # name -> label -> source
    twice: list[str] = field(default_factory=list)
    with_gaps: list[str] = field(default_factory=list)

    def take(self, clip: ReadClip, file: int) -> None:
        """Take in one clip. Raises DataError naming it."""
        where = f"{clip.source}: {one_line(clip.name)}"
        if self.shape is None:
            self.shape, self.first, self.layout = clip.shape, where, clip.layout_or(self.layout)
        if clip.shape != self.shape:
            raise DataError(f"{where} has {words(clip.shape)}, but {self.first} has {words(self.shape)}.")
        try:
            label = self._label(clip.record.get("label"), file)
        except ValueError as error:
            raise DataError(f"{where}: {error}.") from error
        seen = self.seen.setdefault(clip.name, {})  # one name under several labels of a file, as in BABEL, is intended
        if label in seen or any(source != clip.source for source in seen.values()):
            self.twice.append(clip.name)
        seen[label] = clip.source
        self.centred = self.centred and clip.is_centred()
        if clip.gaps:
            self.with_gaps.append(clip.name)
        self.spool.add(clip.record, clip_of(clip.record, clip.source, label, clip.record.get("subject"), clip.splits))

    def _label(self, value: object, file: int) -> Word:
        label = plain_label(value)
        if isinstance(label, str):
            raise ValueError(f"label is {label!r:.60}, not a whole number")
        if label is None or not self.names:
            return label
        if label >= len(self.names[file]):
            raise ValueError(f"label is {label}, but its file has {len(self.names[file])} class names")
        return self.names[file][label]

    def dataset(self) -> Dataset:
        """Settle everything. Raises DataError for clips of one name, and when there are none."""
        if self.twice:
            raise DataError(
                f"Clips of one name: {len(self.twice):,}: {some(self.twice)}.",
                "Remove the duplicates, or give different clips different names (frame_dir) before merging.",
            )
        if self.shape is None:
            raise DataError("There are no clips.")
        merged = list(dict.fromkeys(name for names in self.names for name in names)) or None
        labels, names = number(self.spool.clips, merged)
        gaps = [f"NaN became zeros in {len(self.with_gaps):,} clips: {some(self.with_gaps)}."] if self.with_gaps else []
        return Dataset(
            spool=self.spool, labels=labels, names=names, splits=[clip.splits for clip in self.spool.clips],
            divided=AS_THEY_WERE, shape=self.shape, layout=self.layout, pre_normalize="ntu" if self.centred else "none",
            warnings=gaps,
        )  # fmt: skip
