"""`stgcn data convert`: clips of any format to annotation pickles with labels, splits and a preset.

One clip is in memory at a time (of a JSON, CSV or .npz file all of its clips); converted clips wait on disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stgcn_cli.config.skeletons import NTU, Layout, Shape, some, words
from stgcn_cli.data.axes import Understood, summaries
from stgcn_cli.data.checks import Findings, RecordChecker
from stgcn_cli.data.convert.labels import LabelTable, number
from stgcn_cli.data.convert.split import Division, divide, plain_subject
from stgcn_cli.data.convert.spool import Spool, Word, clip_of, plain_label, spool_in
from stgcn_cli.data.convert.writer import ConversionResult, Dataset, write_dataset
from stgcn_cli.data.locations import beside, common_layout
from stgcn_cli.data.ntu.names import parse_name
from stgcn_cli.data.output import Target
from stgcn_cli.data.readers.inputs import expand, read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.records import KINECT, Clip, frame_dir_of
from stgcn_cli.errors import DataError
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import one_line

_FOREIGN_KEYS = ("frame_dir", "total_frames", "img_shape", "keypoint", "keypoint_score", "subject")


@dataclass(frozen=True)
class Rules:
    """How records become those of the new file."""

    labels: LabelTable | None = None  # by name; None: as the records say
    from_folders: bool = False  # the first folder below the input is the class
    pre_normalize: str = "auto"  # auto: raw Kinect skeletons only; ntu; none
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class Prepared:
    """A clip ready for the new file, and what was done to it."""

    clip: Clip
    normalized: bool = False
    lost_score: bool = False  # of x, y, z and a score, which no network takes


def prepare(clip: Clip, rules: Rules, kinect: bool | None = None) -> Prepared:
    """Return the clip as the new file holds it. `kinect`: whether these are Kinect's joints, None: see the clip.

    Raises ValueError, DataError.
    """
    prepared = _prepare(clip, rules, clip.is_kinect(rules.options.layout) if kinect is None else kinect)
    most = (
        rules.options.max_persons
    )  # of formats that have more persons than are meant, readers have kept the most seen
    return replace(prepared, clip=prepared.clip.with_persons(most)) if most else prepared


def _prepare(clip: Clip, rules: Rules, kinect: bool) -> Prepared:
    if clip.raw:
        clip = replace(clip, record={key: clip.record[key] for key in _FOREIGN_KEYS if key in clip.record})
    kinect = kinect and clip.shape[:2] == KINECT
    if rules.pre_normalize == "ntu" or (rules.pre_normalize == "auto" and clip.raw and kinect):
        return Prepared(clip.pre_normalized(), normalized=True)
    if clip.shape[1] == 3 and clip.shape[2]:
        return Prepared(clip.changed(keypoint_score=None), lost_score=True)
    return Prepared(clip.with_size(rules.options.image_size) if clip.shape[1] == 2 else clip)


@dataclass
class Collector:
    """Takes clips in and counts them. Clips without a person wait until the number of joints is known."""

    rules: Rules
    spool: Spool
    checker: RecordChecker
    shape: Shape | None = None
    layout: Layout | None = None  # as the user says, else as the files or their numbers do
    file_layout: Layout | None = None  # of the first file
    first: str = ""  # the clip the shape is of
    normalised: bool = False
    centred: bool = True  # every clip of a Kinect has its middle joint at the origin
    understood: list[Understood] = field(default_factory=list)  # how the axes of arrays were read
    without_score: int = 0  # clips whose score was dropped
    with_gaps: dict[str, int] = field(default_factory=dict)  # joints with NaN, which became zeros, of each clip
    empty: list[str] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)  # how files were understood
    lost_splits: str = ""  # why no clip of a file is in its splits
    sources: dict[str, set[str]] = field(default_factory=dict)
    waiting: list[tuple[Prepared, Word, str | None]] = field(default_factory=list)

    def take(self, clip: Clip) -> None:
        """Take in one clip. Raises DataError naming it."""
        try:
            self._check_name(clip)
            prepared = prepare(clip, self.rules, None if self.shape is None else self.layout == NTU)
            label, subject = self._label(clip), self._subject(clip)
        except ValueError as error:
            raise DataError(f"{clip.source}: {one_line(clip.name)}: {error}.") from error
        self.notes |= dict.fromkeys(prepared.clip.notes)
        if clip.lost_splits:
            self.lost_splits = f"{clip.source}: {clip.lost_splits}"
        shape = prepared.clip.shape
        if prepared.clip.is_empty:
            self.empty.append(clip.name)
            if self.shape is None:
                self.waiting.append((prepared, label, subject))
                return
        elif self.shape is None:
            self.file_layout = clip.layout
            self.layout = clip.layout_or(self.rules.options.layout)  # refuses other joints than the layout's
            self._settle(shape, clip.name)
        elif shape != self.shape:
            raise DataError(
                f"{clip.source}: {one_line(clip.name)} has {words(shape)}, but {one_line(self.first)} has {words(self.shape)}."
            )
        elif self.rules.options.layout is None and clip.layout != self.file_layout:
            raise DataError(
                f"{clip.source}: {one_line(clip.name)} has the skeleton {_called(clip.layout)}, but {one_line(self.first)} has "
                f"{_called(self.file_layout)}, of as many joints.",
                "If all are of one skeleton, name it: --layout NAME or my.toml",
            )
        self._add(prepared, label, subject)

    def finish(self) -> None:
        """Take in what still waits. Raises DataError when there are no clips at all."""
        if self.shape is None and self.waiting:
            first = self.waiting[0][0].clip
            self.layout = first.layout_or(self.rules.options.layout)
            self._settle(first.shape, "")
        if not self.spool.clips:
            raise DataError("There are no clips.")

    @property
    def known_shape(self) -> Shape:
        """Joints, coordinates, score of every clip."""
        assert self.shape is not None  # `finish` has seen to it
        return self.shape

    @property
    def pre_normalize(self) -> str:
        """What a preset says of these clips: "ntu" if they are centred and turned, by us or before."""
        kinect = self.shape is not None and self.shape[:2] == KINECT and self.layout == NTU
        return "ntu" if self.normalised or (kinect and self.centred) else "none"

    def _settle(self, shape: Shape, first: str) -> None:
        self.shape, self.first = shape, first
        for prepared, label, subject in self.waiting:
            self._add(prepared, label, subject)
        self.waiting = []

    def _add(self, prepared: Prepared, label: Word, subject: str | None) -> None:
        """Count the clip, check it, and keep it on disk; one without a person gets the joints of the others."""
        clip = prepared.clip
        if clip.is_empty and clip.shape != self.shape:
            clip = clip.emptied(self.known_shape)
        self.normalised |= prepared.normalized
        self.without_score += prepared.lost_score
        if self.layout == NTU and not prepared.normalized:
            self.centred = self.centred and clip.is_centred()
        if clip.gaps:
            self.with_gaps[clip.name] = self.with_gaps.get(clip.name, 0) + clip.gaps
        if clip.understood:
            self.understood.append(clip.understood)
        self.checker.look_at(
            {key: value for key, value in clip.record.items() if key != "label"}, len(self.spool.clips)
        )
        self.spool.add(clip.record, clip_of(clip.record, clip.source, label, subject, clip.splits))

    def _check_name(self, clip: Clip) -> None:
        """A name in two files, or twice in a foreign one, would be ambiguous. In one pickle it may be intended."""
        sources = self.sources.setdefault(frame_dir_of(clip.record) or "", set())
        other = sources - {str(clip.source)}
        if other or (sources and clip.raw):
            where = f"it is also in {other.pop()}" if other else "it occurs twice"
            raise ValueError(f"{where}; clip names must be unique")
        sources.add(str(clip.source))

    def _label(self, clip: Clip) -> Word:
        if self.rules.labels is not None:
            return self.rules.labels[clip.name].label
        if self.rules.from_folders:
            if not clip.group:
                raise ValueError("it is not in the folder of a class; give the folder above the folders of classes")
            return clip.group
        return plain_label(clip.record.get("label"))

    def _subject(self, clip: Clip) -> str | None:
        """As the table says, else the record, else an NTU name."""
        row, named = self.rules.labels[clip.name] if self.rules.labels else None, parse_name(clip.name)
        subject = (row.subject if row else None) or clip.record.get("subject")
        return plain_subject(subject if subject is not None else named.person if named else None)


PRE_NORMALIZE = ("auto", "ntu", "none")


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """What to convert, how, and where to."""

    inputs: Sequence[str]
    target: Target
    rules: Rules = field(default_factory=Rules)
    division: Division = field(default_factory=Division)
    names: Sequence[str] | None = None  # of the classes, in the order of the labels
    format: str | None = None  # that every file is read as
    skip_bad: bool = False


def convert(options: ConvertOptions, reporter: Reporter = SILENT) -> ConversionResult:
    """Read, settle, write. Raises UsageError before anything is read, DataError naming the clip and the cause."""
    files = [path for path in expand(options.inputs, options.format) if path.is_file()]
    options.target.check(files)
    options = _as_beside(options, files)
    with spool_in(options.target.spool_folder) as spool:
        checker = RecordChecker(Findings(str(options.target.out)), has_splits=True, labelled=False)
        collector, skipped = Collector(options.rules, spool, checker), _Skipped(options.skip_bad)
        for clip in read_inputs(options.inputs, reporter, options.rules.options, options.format, skipped.add):
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
            spool=spool, labels=labels, names=names, splits=splits, divided=divided, shape=collector.known_shape,
            layout=collector.layout, pre_normalize=collector.pre_normalize, axes=summaries(collector.understood),
            left_out=skipped.found, warnings=_warnings(collector, labels, names),
        )  # fmt: skip
        return write_dataset(dataset, options.target, reporter)


def _called(layout: Layout | None) -> str:
    """For people."""
    return layout.name if layout else "that its number of joints suggests"


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
    layout = common_layout(found) if options.target.layout is None else None
    if layout is not None:
        rules = replace(options.rules, options=replace(options.rules.options, layout=layout))
        options = replace(options, target=replace(options.target, layout=layout), rules=rules)
    return options


@dataclass
class _Skipped:
    """What cannot be used: an error, or with --skip-bad a line in the summary."""

    allowed: bool
    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, place: str, error: DataError) -> None:
        if not self.allowed:
            raise DataError(error.message, error.hint or "Correct it, or skip unusable clips: --skip-bad") from error
        self.found.append((place, error.message))


_IN_SUMMARY = ("all zeros", "not told", "hidden")  # problems that the summary reports in its own lines


def _warnings(collector: Collector, labels: Sequence[int | None], names: Sequence[str] | None) -> list[str]:
    clips, lines = collector.spool.clips, list(collector.notes)
    if collector.rules.labels is not None:
        lines += collector.rules.labels.notes()
    if collector.empty:
        lines.append(
            f"No person in {len(collector.empty):,} of {len(clips):,} clips, kept as zeros: {some(collector.empty)}."
        )
    if collector.without_score:
        lines.append(
            "No network here takes x, y, z and a score: the score was left out, in "
            f"{collector.without_score:,} of {len(clips):,} clips."
        )
    if collector.with_gaps:
        gaps, count = list(collector.with_gaps), sum(collector.with_gaps.values())
        where = f"in {len(gaps):,} of {len(clips):,} clips: {some(gaps)}"
        lines.append(f"NaN became zeros {where} ({count:,} joints, taken as not seen).")
    checker = collector.checker
    for clip, label in zip(clips, labels, strict=True):
        checker.labels.setdefault(clip.name, []).append(-1 if label is None else label)
    checker.told.clips = len(clips)
    found = checker.finish(names or ())
    found.found = [each for each in found.found if not each.found.startswith(_IN_SUMMARY)]
    return [*lines, *found.kinds()]
