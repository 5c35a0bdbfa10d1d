"""One clip after the other into a new annotation pickle: label, subject and name settled, arrays as the others' are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Shape, layout_for, some, words
from stgcn_cli.data.convert.labels import LabelRow, number
from stgcn_cli.data.convert.split import Division, divide, plain_subject
from stgcn_cli.data.convert.spool import Spool, Word, clip_of, plain_label, spool_in
from stgcn_cli.data.convert.writer import ConversionResult, Dataset, write_dataset
from stgcn_cli.data.ntu.names import parse_name
from stgcn_cli.data.output import Target
from stgcn_cli.data.readers.inputs import Input, expand, pre_normalized, read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.records import frame_dir_of
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import nearest, one_line

# What the arrays of one record are, and the small changes that make it like the others.

KINECT = (25, 3)  # joints, coordinates
_CENTRED = 1e-3  # metres from the middle joint to zero in clips that have been normalised


def shape_of(record: dict[str, Any]) -> Shape:
    """Joints, coordinates, and whether there is a score."""
    joints, values = record["keypoint"].shape[2:]
    return joints, values, record.get("keypoint_score") is not None


def is_centred(record: dict[str, Any]) -> bool:
    """Whether the middle joint of a Kinect's first body is at zero throughout, as it is in prepared clips."""
    return record["keypoint"].shape[2:] == KINECT and bool((np.abs(record["keypoint"][0, :, 1]) < _CENTRED).all())


def with_score(record: dict[str, Any]) -> dict[str, Any]:
    """The third value of each joint becomes its score."""
    keypoint = record["keypoint"]
    if keypoint.shape[3] != 3 or record.get("keypoint_score") is not None:
        raise ValueError(f"it has {words(shape_of(record))}; --score-last is for x, y, score")
    return record | {
        "keypoint": np.ascontiguousarray(keypoint[..., :2]),
        "keypoint_score": np.ascontiguousarray(keypoint[..., 2]),
    }


def with_size(record: dict[str, Any], given: tuple[int, int] | None) -> dict[str, Any]:
    """The image size under both names MMAction2 knows; the one the user gives is for records that do not tell theirs."""
    size = record.get("img_shape") or given
    return record | {"img_shape": size, "original_shape": record.get("original_shape") or size} if size else record


_FOREIGN_KEYS = ("frame_dir", "total_frames", "img_shape", "keypoint", "keypoint_score", "subject")


@dataclass(frozen=True)
class Rules:
    """How records become those of the new file."""

    labels: Mapping[str, LabelRow] | None = None  # by name; None: as the records say
    from_folders: bool = False  # the first folder below the input is the class
    pre_normalize: str = "auto"  # auto: raw Kinect skeletons only; ntu; none
    score_last: bool = False  # the third value is a score, not z
    options: Options = field(default_factory=Options)


@dataclass
class Collector:
    """What has been seen up to now. Clips with nobody in them wait until the number of joints is known."""

    rules: Rules
    spool: Spool
    shape: Shape | None = None
    first: str = ""  # the clip the shape is of
    normalised: bool = False
    centred: bool = True  # every clip of a Kinect has its middle joint at zero
    without_score: int = 0  # scores left out
    empty: list[str] = field(default_factory=list)
    sources: dict[str, set[str]] = field(default_factory=dict)
    waiting: list[Input] = field(default_factory=list)

    def take(self, found: Input) -> None:
        """Take in one clip. Raises DataError naming it."""
        name = found.record["frame_dir"]
        try:
            self._check_name(found)
            record = self._prepared(found)
            label, subject = self._label(found), self._subject(found)
        except ValueError as error:
            raise DataError(f"{found.source}: {one_line(name)}: {error}.") from error
        if not record["keypoint"].any():
            self.empty.append(name)
            if self.shape is None:
                self.waiting.append(found)
                return
            record = self._reshaped(record)
        shape = shape_of(record)
        if self.shape is None:
            layout_for(shape, self.rules.options.layout)  # one with other joints is told at once
            self.shape, self.first = shape, name
            self._take_waiting()
        if shape != self.shape:
            raise DataError(
                f"{found.source}: {one_line(name)} has {words(shape)}, but {one_line(self.first)} has {words(self.shape)}."
            )
        self.spool.add(record, clip_of(record, found.source, label, subject, found.splits))

    def finish(self) -> None:
        """What still waits is taken in. Raises DataError when there is no clip at all."""
        if self.shape is None and self.waiting:
            self.shape = shape_of(self._prepared(self.waiting[0]))
            self._take_waiting()
        if not self.spool.clips:
            raise DataError("There are no clips.")

    @property
    def known_shape(self) -> Shape:
        """Joints, coordinates, score of every clip."""
        assert self.shape is not None  # `finish` has seen to it
        return self.shape

    @property
    def pre_normalize(self) -> str:
        """What a preset says of these clips: "ntu" where they are centred and turned, by us or before."""
        kinect = self.shape is not None and self.shape[:2] == KINECT
        return "ntu" if self.normalised or (kinect and self.centred) else "none"

    def _take_waiting(self) -> None:
        for found in self.waiting:
            record = self._reshaped(self._prepared(found))
            label, subject = self._label(found), self._subject(found)
            self.spool.add(record, clip_of(record, found.source, label, subject, found.splits))
        self.waiting = []

    def _check_name(self, found: Input) -> None:
        """A name from two files, or twice from foreign ones, could not be told apart. In one pickle it may be meant so."""
        sources = self.sources.setdefault(frame_dir_of(found.record) or "", set())
        other = sources - {str(found.source)}
        if other or (sources and found.raw):
            where = f"it is also in {other.pop()}" if other else "it stands there twice"
            raise ValueError(f"{where}; clips of one name cannot be told apart")
        sources.add(str(found.source))

    def _label(self, found: Input) -> Word:
        if self.rules.labels is not None:
            told = self._told(found.record["frame_dir"])
            if told is None:
                close = nearest(found.record["frame_dir"], list(self.rules.labels))
                raise ValueError(f"it is not in the table of labels.{close}")
            return told.label
        if self.rules.from_folders:
            if not found.group:
                raise ValueError("it lies in no folder of a class; give the folder above the folders of classes")
            return found.group
        return plain_label(found.record.get("label"))

    def _told(self, name: str) -> LabelRow | None:
        return (self.rules.labels or {}).get(name)

    def _subject(self, found: Input) -> str | None:
        """As the table says, else the record, else an NTU name."""
        told, named = self._told(found.record["frame_dir"]), parse_name(found.record["frame_dir"])
        said = (told.subject if told else None) or found.record.get("subject")
        return plain_subject(said if said is not None else named.person if named else None)

    def _prepared(self, found: Input) -> dict[str, Any]:
        record, options = found.record, self.rules.options
        if found.raw:
            record = {key: record[key] for key in _FOREIGN_KEYS if key in record}
        if self.rules.score_last:
            record = with_score(record)
        joints, values = record["keypoint"].shape[2:]
        kinect = (joints, values) == KINECT and (options.layout is None or options.layout.name == "ntu")
        if self.rules.pre_normalize == "ntu" or (self.rules.pre_normalize == "auto" and found.raw and kinect):
            self.normalised = True
            return pre_normalized(record)
        if kinect:
            self.centred = self.centred and is_centred(record)
        if values == 3 and record.get("keypoint_score") is not None:
            self.without_score += 1
            record = {key: value for key, value in record.items() if key != "keypoint_score"}
        return with_size(record, options.image_size) if values == 2 else record

    def _reshaped(self, record: dict[str, Any]) -> dict[str, Any]:
        """A clip of zeros with as many joints as the others have."""
        if self.shape is None or shape_of(record) == self.shape:
            return record
        joints, values, has_score = self.shape
        frames, kept = record["keypoint"].shape[1], {k: v for k, v in record.items() if k != "keypoint_score"}
        score = {"keypoint_score": np.zeros((1, frames, joints), np.float32)} if has_score else {}
        return kept | {"keypoint": np.zeros((1, frames, joints, values), np.float32)} | score


# `stgcn data convert`: clips of any format -> annotation pickles, with labels, splits and a preset.
#
# One clip is in memory at a time (of a JSON, CSV or .npz file all of its clips are); the others wait on disk.

PRE_NORMALIZE = ("auto", "ntu", "none")


@dataclass(frozen=True)
class ConvertOptions:
    """What the user asked for."""

    inputs: Sequence[str]
    target: Target
    rules: Rules = field(default_factory=Rules)
    division: Division = field(default_factory=Division)
    names: Sequence[str] | None = None  # of the classes, in the order of the labels
    format: str | None = None  # that every file is read as
    skip_bad: bool = False


def convert(wish: ConvertOptions, reporter: Reporter = SILENT) -> ConversionResult:
    """Read, settle, write. Raises UsageError before anything is read, DataError naming the clip and the cause."""
    if wish.rules.pre_normalize not in PRE_NORMALIZE:
        close = nearest(wish.rules.pre_normalize, PRE_NORMALIZE)
        said = f"There is no --pre-normalize {wish.rules.pre_normalize!r}.{close}"
        raise UsageError(said, f"Known: {', '.join(PRE_NORMALIZE)}.")
    wish.target.check([path for path in expand(wish.inputs) if path.is_file()])
    with spool_in(wish.target.out.parent) as spool:
        taking, left_out = Collector(wish.rules, spool), _LeftOut(wish.skip_bad)
        for found in read_inputs(wish.inputs, reporter, wish.rules.options, wish.format, left_out.add_file):
            try:
                taking.take(found)
            except DataError as error:
                left_out.add_file(one_line(found.record["frame_dir"]), error)
        taking.finish()
        labels, names = number(spool.clips, wish.names)
        splits, divided = divide(spool.clips, labels, wish.division)
        ready = Dataset(
            spool,
            labels,
            names,
            splits,
            divided,
            taking.known_shape,
            taking.pre_normalize,
            left_out.found,
            _said(taking),
        )
        return write_dataset(ready, wish.target, reporter)


@dataclass
class _LeftOut:
    """What cannot be used: an error, or with --skip-bad a line in the summary."""

    allowed: bool
    found: list[tuple[str, str]] = field(default_factory=list)

    def add_file(self, place: str, error: DataError) -> None:
        if not self.allowed:
            raise DataError(
                error.message, error.hint or "Correct it, or leave out what cannot be used: --skip-bad"
            ) from error
        self.found.append((place, error.message))


def _said(taking: Collector) -> list[str]:
    said, clips = [], len(taking.spool.clips)
    if taking.empty:
        said.append(f"Nobody is in {len(taking.empty):,} of {clips:,} clips, kept as zeros: {some(taking.empty)}.")
    if taking.without_score:
        said.append(
            f"No network here takes x, y, z and a score: the score was left out, in {taking.without_score:,} of {clips:,} clips."
        )
    return said
