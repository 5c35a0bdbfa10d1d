"""One clip after the other into a new annotation pickle: label, subject and name settled, arrays as the others' are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgcn_cli.data.formats.reading import Options
from stgcn_cli.data.inputs import Input, pre_normalized
from stgcn_cli.data.ntu_names import parse_name
from stgcn_cli.data.own.class_names import Told
from stgcn_cli.data.own.dividing import plain_subject
from stgcn_cli.data.own.fitting import Shape, layout_for, words
from stgcn_cli.data.own.shaping import KINECT, is_centred, shape_of, with_score, with_size
from stgcn_cli.data.own.spool import Spool, Word, clip_of, plain_label
from stgcn_cli.data.records import frame_dir_of
from stgcn_cli.errors import DataError
from stgcn_cli.wording import nearest, one_line

_FOREIGN_KEYS = ("frame_dir", "total_frames", "img_shape", "keypoint", "keypoint_score", "subject")


@dataclass(frozen=True)
class Rules:
    """How records become those of the new file."""

    labels: Mapping[str, Told] | None = None  # by name; None: as the records say
    from_folders: bool = False  # the first folder below the input is the class
    pre_normalize: str = "auto"  # auto: raw Kinect skeletons only; ntu; none
    score_last: bool = False  # the third value is a score, not z
    options: Options = field(default_factory=Options)


@dataclass
class Taking:
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

    def _told(self, name: str) -> Told | None:
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
