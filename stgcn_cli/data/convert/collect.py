"""Clips as `convert` and `merge` take them in: adapted to the new file, counted, checked, and spooled with label and subject."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stgcn_cli.config.skeletons import NTU, Layout, Shape, words
from stgcn_cli.data.census import Census
from stgcn_cli.data.clips import KINECT, Clip
from stgcn_cli.data.convert.labels import LabelTable
from stgcn_cli.data.convert.split import plain_subject
from stgcn_cli.data.convert.spool import Spool, Spooled, Word, plain_label
from stgcn_cli.data.ntu.names import parse_name
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.errors import DataError
from stgcn_cli.io.text import one_line

_SPLITS = {  # names of folders and files -> the split
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip
_FOREIGN_KEYS = ("frame_dir", "total_frames", "img_shape", "keypoint", "keypoint_score", "subject")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How records become those of the new file."""

    labels: LabelTable | None = None  # by name; None: as the records say
    from_folders: bool = False  # the first folder below the input is the class
    names_of: Mapping[Path, Sequence[str]] = field(default_factory=dict)  # the classes of a file's label indices
    is_merge: bool = False  # records are taken as they are
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
    if rules.is_merge:
        return Prepared(clip)
    if clip.raw:
        clip = replace(clip, record={key: clip.record[key] for key in _FOREIGN_KEYS if key in clip.record})
    kinect = (clip.is_kinect(rules.options.layout) if kinect is None else kinect) and clip.shape[:2] == KINECT
    if rules.pre_normalize == "ntu" or (rules.pre_normalize == "auto" and clip.raw and kinect):
        return Prepared(clip.pre_normalized(), normalized=True)
    if clip.shape[1] == 3 and clip.shape[2]:
        return Prepared(clip.changed(keypoint_score=None), lost_score=True)
    return Prepared(clip.with_size(rules.options.image_size) if clip.shape[1] == 2 else clip)


@dataclass
class Collector:
    """Takes clips in. Clips without a person wait until the number of joints is known."""

    rules: Rules
    spool: Spool
    census: Census
    shape: Shape | None = None
    layout: Layout | None = None  # as the user says, else as the files or their numbers do
    file_layout: Layout | None = None  # of the first file
    first: str = ""  # the clip the shape is of
    normalised: bool = False
    centred: bool = True  # every clip of a Kinect has its middle joint at the origin
    without_score: int = 0  # clips whose score was dropped
    lost_splits: str = ""  # why no clip of a file is in its splits
    sources: dict[str, set[str]] = field(default_factory=dict)
    called: set[str] = field(default_factory=set)  # splits that folders or files are called after
    waiting: list[tuple[Prepared, Spooled]] = field(default_factory=list)

    def take(self, clip: Clip) -> None:
        """Take in one clip. Raises DataError naming it."""
        where = f"{clip.source}: {one_line(clip.name)}"
        try:
            self._check_name(clip)
            prepared = prepare(clip, self.rules, None if self.shape is None else self.layout == NTU)
            spooled = Spooled(clip.name, self._label(clip), self._subject(clip), self._splits(clip))
        except ValueError as error:
            raise DataError(f"{where}: {error}.") from error
        if clip.lost_splits:
            self.lost_splits = f"{clip.source}: {clip.lost_splits}"
        if prepared.clip.is_empty:
            if self.shape is None:
                self.waiting.append((prepared, spooled))
                return
        elif self.shape is None:
            self.file_layout = clip.layout
            self.layout = clip.layout_or(self.rules.options.layout)  # refuses other joints than the layout's
            self._settle(prepared.clip.shape, where)
        elif prepared.clip.shape != self.shape:
            raise DataError(f"{where} has {words(prepared.clip.shape)}, but {self.first} has {words(self.shape)}.")
        elif self.rules.options.layout is None and clip.layout != self.file_layout:
            raise DataError(
                f"{where} has the skeleton {_called(clip.layout)}, but {self.first} has {_called(self.file_layout)}, "
                "of as many joints.",
                "If all are of one skeleton, name it: --layout NAME or my.toml",
            )
        self._add(prepared, spooled)

    def finish(self) -> None:
        """Take in what still waits. Raises DataError when there are no clips at all."""
        if self.shape is None and self.waiting:
            first = self.waiting[0][0].clip
            self.layout = first.layout_or(self.rules.options.layout)
            self._settle(first.shape, "")
        if not self.spool.clips:
            raise DataError("No clips found.")
        if len(self.called) == 1:  # what is called "train" alone is divided
            self.spool.clips = [replace(each, splits=()) for each in self.spool.clips]

    @property
    def known_shape(self) -> Shape:
        """Joints, coordinates, score of every clip."""
        assert self.shape is not None  # `finish` has seen to it
        return self.shape

    @property
    def pre_normalize(self) -> str:
        """What a preset says of these clips: "ntu" if they are centred and turned, here or before."""
        kinect = self.shape is not None and self.shape[:2] == KINECT and self.layout == NTU
        return "ntu" if self.normalised or (kinect and self.centred) else "none"

    def _settle(self, shape: Shape, first: str) -> None:
        self.shape, self.first = shape, first
        for prepared, spooled in self.waiting:
            self._add(prepared, spooled)
        self.waiting = []

    def _add(self, prepared: Prepared, spooled: Spooled) -> None:
        """Count the clip, check it, and keep it on disk; one without a person gets the joints of the others."""
        clip = prepared.clip
        if clip.is_empty and clip.shape != self.shape:
            clip = clip.emptied(self.known_shape)
        self.normalised |= prepared.normalized
        self.without_score += prepared.lost_score
        if self.layout == NTU and not prepared.normalized:
            self.centred = self.centred and clip.is_centred()
        self.census.add_clip(clip)
        self.spool.add(clip.record, spooled)

    def _check_name(self, clip: Clip) -> None:
        """A name in two files, or twice in a foreign one, would be ambiguous. In one pickle it may be intended."""
        sources = self.sources.setdefault(clip.name, set())
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
            below = clip.name.split("/")[clip.group.lower() in _SPLITS :]
            if len(below) < 2 and clip.group.lower() in _SPLITS:
                raise ValueError(f"it is in the folder of the split {clip.group}, and in none of a class")
            return below[0] if len(below) > 1 else clip.group
        label, names = plain_label(clip.record.get("label")), self.rules.names_of.get(clip.source)
        if not names or not isinstance(label, int):
            return label
        if label >= len(names):
            raise ValueError(f"label is {label}, but its file has {len(names)} class names")
        return names[label]

    def _splits(self, clip: Clip) -> tuple[str, ...]:
        """As the table says, else the record, else as its folder or file is called: train, val, test."""
        if self.rules.labels and (split := self.rules.labels[clip.name].split):
            return (_SPLITS.get(split.lower(), split),)
        words = (clip.group.lower(), clip.source.stem.lower())
        if clip.splits or self.rules.is_merge or not (found := [_SPLITS[word] for word in words if word in _SPLITS]):
            return tuple(_SPLITS.get(split.lower(), split) if clip.raw else split for split in clip.splits)
        self.called.add(found[0])
        return (found[0],)

    def _subject(self, clip: Clip) -> str | None:
        """As the table says, else the record, else an NTU name."""
        row, named = self.rules.labels[clip.name] if self.rules.labels else None, parse_name(clip.name)
        subject = (row.subject if row else None) or clip.record.get("subject")
        return plain_subject(subject if subject is not None else named.person if named else None)


def _called(layout: Layout | None) -> str:
    return layout.name if layout else "that its number of joints suggests"
