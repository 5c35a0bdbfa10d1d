"""`stgcn data merge`: several annotation pickles -> one, classes by name where they have names. One clip in memory at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stgcn_cli.config.skeletons import Shape, some, words
from stgcn_cli.data.convert.convert import is_centred, shape_of
from stgcn_cli.data.convert.labels import number
from stgcn_cli.data.convert.spool import Clip, Spool, Word, clip_of, plain_label, spool_in
from stgcn_cli.data.convert.writer import ConversionResult, Dataset, write_dataset
from stgcn_cli.data.locations import names_beside
from stgcn_cli.data.output import Target
from stgcn_cli.data.readers.inputs import Input, expand, read_inputs
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import one_line


@dataclass(frozen=True)
class MergeOptions:
    """What the user asked for."""

    files: Sequence[Path]
    target: Target
    names: Sequence[Sequence[str]] = ()  # of the classes of each file; none: those in the presets beside the files
    offset_labels: bool = False  # each file's classes are others than those before
    keep_first: bool = False  # of clips that stand twice
    rename: bool = False  # every clip is called FILE/NAME


def merge(wish: MergeOptions, reporter: Reporter = SILENT) -> ConversionResult:
    """Read, settle, write. Raises UsageError before anything is read, DataError naming the file and the clip."""
    expand(list(map(str, wish.files)))  # a file that is not there is told first
    names = _names(wish)
    wish.target.check(list(wish.files))
    with spool_in(wish.target.out.parent) as spool:
        merging = _Merging(wish, spool, names)
        for index, file in enumerate(wish.files):
            for found in read_inputs([str(file)], reporter, format="pickle"):
                merging.take(found, index)
            merging.end_file()
        return write_dataset(merging.ready(), wish.target, reporter)


def _names(wish: MergeOptions) -> list[Sequence[str]]:
    """The class names of each file, or none at all. Raises UsageError when some have and others have not."""
    if wish.names and wish.offset_labels:
        raise UsageError("--offset-labels and --classes do not go together.", "Classes with names are merged by name.")
    if wish.offset_labels:
        return []
    if wish.names and len(wish.names) != len(wish.files):
        said = f"--classes is given {len(wish.names)} times for {len(wish.files)} files."
        raise UsageError(said, "Give one list for each file, in the same order.")
    found = list(wish.names or map(names_beside, wish.files))
    if any(found) and not all(found):
        nameless = wish.files[[bool(names) for names in found].index(False)]
        raise UsageError(
            f"{nameless} has no class names, others have.",
            "Give a list for each file with --classes, or keep the numbers apart with --offset-labels.",
        )
    return found if any(found) else []


@dataclass
class _Merging:
    """What has been seen up to now."""

    wish: MergeOptions
    spool: Spool
    names: list[Sequence[str]]
    shape: Shape | None = None
    first: str = ""  # the clip the shape is of
    centred: bool = True
    offset: int = 0  # of the labels of this file
    highest: int = -1
    places: dict[str, dict[Word, int]] = field(default_factory=dict)  # name -> label -> index of the clip
    sources: dict[str, str] = field(default_factory=dict)
    also_in: dict[int, list[str]] = field(default_factory=dict)  # splits of a clip that stood there again
    twice: list[str] = field(default_factory=list)

    def take(self, found: Input, file: int) -> None:
        """Take in one clip. Raises DataError naming it."""
        own = f"{found.source.stem}/" if self.wish.rename else ""
        record = found.record | {"frame_dir": own + found.record["frame_dir"]}
        name, shape = record["frame_dir"], shape_of(record)
        where = f"{found.source}: {one_line(name)}"
        if self.shape is None:
            self.shape, self.first = shape, where
        if shape != self.shape:
            raise DataError(f"{where} has {words(shape)}, but {self.first} has {words(self.shape)}.")
        try:
            label = self._label(record.get("label"), file)
        except ValueError as error:
            raise DataError(f"{where}: {error}.") from error
        clip = clip_of(record, found.source, label, record.get("subject"), found.splits)
        if not self._stands_already(clip):
            self.places.setdefault(name, {})[label] = len(self.spool.clips)
            self.centred = self.centred and is_centred(record)
            self.spool.add(record, clip)

    def _stands_already(self, clip: Clip) -> bool:
        """Whether a clip of this name is there from another file, or with this label; then its splits count for that one."""
        there = self.places.get(clip.name, {})
        if not there or (clip.label not in there and self.sources[clip.name] == clip.source):
            self.sources.setdefault(clip.name, clip.source)
            return False
        self.twice.append(clip.name)
        if clip.label in there:
            self.also_in.setdefault(there[clip.label], []).extend(clip.splits)
        return True

    def _label(self, value: object, file: int) -> Word:
        label = plain_label(value)
        if isinstance(label, str):
            raise ValueError(f"label is {label!r:.60}, not a whole number")
        if label is None:
            return None
        self.highest = max(self.highest, label + self.offset)
        if not self.names:
            return label + self.offset
        if label >= len(self.names[file]):
            raise ValueError(f"label is {label}, but its file has {len(self.names[file])} class names")
        return self.names[file][label]

    def end_file(self) -> None:
        """The next file's labels may begin after this one's."""
        if self.wish.offset_labels:
            self.offset = self.highest + 1

    def ready(self) -> Dataset:
        """Everything settled. Raises DataError for clips that stand twice, and when there are none."""
        if self.twice and not self.wish.keep_first:
            raise DataError(
                f"Clips that stand there twice: {len(self.twice):,}: {some(self.twice)}.",
                "Keep the first of each with --keep first, or, if they are different clips, call them FILE/NAME with --rename.",
            )
        if self.shape is None:
            raise DataError("There are no clips.")
        merged = list(dict.fromkeys(name for names in self.names for name in names)) or None
        labels, names = number(self.spool.clips, merged)
        splits = [
            tuple(dict.fromkeys([*clip.splits, *self.also_in.get(index, ())]))
            for index, clip in enumerate(self.spool.clips)
        ]
        left_out = [(one_line(name), "a second clip of this name") for name in self.twice]
        pre_normalize = "ntu" if self.centred else "none"
        return Dataset(self.spool, labels, names, splits, "as they were", self.shape, pre_normalize, left_out)
