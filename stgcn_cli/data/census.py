"""Counts and checks over any stream of records: shown by `inspect`, listed by `validate`, warned about by the other commands.

Shapes: M persons, T frames, V joints, C values (x, y, z, score).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Layout, Shape
from stgcn_cli.data import clips, records
from stgcn_cli.data.axes import Understood, summaries
from stgcn_cli.data.checks import RecordChecker
from stgcn_cli.data.clips import Clip
from stgcn_cli.data.findings import Findings
from stgcn_cli.data.joint_values import origin_joints
from stgcn_cli.errors import DataError

UNSIZED = "not told"  # the image size of records in pixels without one; a key of the JSON of `inspect`, hence kept


@dataclass
class Seen:
    """Joints and values of the clips that have one skeleton."""

    low: np.ndarray  # (C,) over joints that were seen
    high: np.ndarray  # (C,)
    joints: np.ndarray  # (V,) how often a person had this joint
    origins: np.ndarray  # (V,) how often it is at the origin throughout a clip
    centred: np.ndarray  # (V,) whether the first person of every clip is centred on it
    bodies: int  # persons over frames: how often it could have been seen

    def __add__(self, other: "Seen") -> "Seen":
        return Seen(
            np.fmin(self.low, other.low),
            np.fmax(self.high, other.high),
            self.joints + other.joints,
            self.origins + other.origins,
            self.centred & other.centred,
            self.bodies + other.bodies,
        )


@dataclass(kw_only=True)
class Census:
    """Counts of the records up to now, on which `checker` runs besides.

    Labels are indices, -1 where hidden; where the checker does not look at them, class names are numbered as they come.
    """

    checker: RecordChecker = field(default_factory=lambda: RecordChecker(Findings("")))
    layout: Layout | None = None  # as the user or the preset beside the file says
    has_details: bool = False  # also count joints and ranges of values, which takes longest
    is_pickle: bool = False
    listed: dict[str, list[str]] | None = None  # the splits that a pickle lists
    unusable: list[tuple[str, str]] = field(default_factory=list)  # record, cause
    seen: dict[Shape, Seen] = field(default_factory=dict)
    shapes: Counter[Shape] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    labels: Counter[int] = field(default_factory=Counter)
    names: dict[str, int] = field(default_factory=dict)  # of classes
    splits: dict[str, Counter[int]] = field(default_factory=dict)  # clips of each label
    lengths: list[int] = field(default_factory=list)
    persons: Counter[int] = field(default_factory=Counter)  # in any frame -> clips
    frames: int = 0
    frames_empty: int = 0
    not_finite: int = 0  # values that are NaN or infinite
    gaps: int = 0  # joints with NaN, which readers take as not seen
    layouts: dict[Shape, Layout | None] = field(default_factory=dict)  # the skeleton of the first clip of each shape
    understood: list[Understood] = field(default_factory=list)  # how the axes of arrays were read
    notes: dict[str, None] = field(default_factory=dict)  # how files were understood
    repeats: Counter[tuple[str, int]] = field(default_factory=Counter)  # name and label

    @property
    def clips(self) -> int:
        """All records, usable or not."""
        return self.checker.findings.clips

    def add_clip(self, clip: Clip) -> None:
        """Count and check a clip as a reader gives it. Raises DataError when its joints are not those of the layout."""
        if self.has_details and clip.shape not in self.layouts:
            self.layouts[clip.shape] = clip.layout_or(self.layout)
        self.add(clip.record, clip.splits, clip.gaps)
        self.gaps += clip.gaps
        self.notes |= dict.fromkeys(clip.notes)
        self.understood += [clip.understood] if clip.understood else []

    def set_aside(self, place: str, error: DataError) -> None:
        """Count a file or clip that cannot be read."""
        self.checker.findings.clips += 1
        self.checker.findings.add("error", place, "record", error.message, "")
        self.unusable.append((place, error.message))

    def add(self, record: Any, splits: Sequence[str] = (), gaps: int = 0) -> None:
        """Count and check a record as a pickle holds it; `gaps` as in `RecordChecker.look_at`."""
        name = records.name_of(record, self.clips)
        frames = self.checker.look_at(record, gaps)
        try:
            label = self._label(record) if frames is not None else -1
        except ValueError:
            frames = None
        if frames is None:
            problem = self.checker.findings.found[-1]
            self.unusable.append((name, f"{problem.key}: {problem.found}"))
            return
        self.count(name, label, splits, frames=frames.shape[1])
        self.dtypes[str(record["keypoint"].dtype)] += 1
        height, width = records.image_size_of(record)
        if height or record["keypoint"].shape[3] == 2:  # joints in space need no image
            self.sizes[f"{width}x{height}" if height else UNSIZED] += 1
        self._look_at(frames, records.shape_of(record, frames))

    def count(self, name: str, label: int, splits: Sequence[str] = (), *, frames: int) -> None:
        """Count a record that can be used."""
        self.labels[label] += 1
        for split in splits:
            self.splits.setdefault(split, Counter())[label] += 1
        self.repeats[name, label] += 1
        self.lengths.append(frames)

    @property
    def classes(self) -> int:
        """Number of classes that occur."""
        return len(self.labels.keys() - {-1})

    @property
    def several_labels(self) -> dict[str, list[int]]:
        """The labels of each name that stands under more than one, sorted."""
        labels: dict[str, list[int]] = {}
        for name, label in self.repeats:
            if label >= 0:
                labels.setdefault(name, []).append(label)
        return {name: sorted(found) for name, found in labels.items() if len(found) > 1}

    def _label(self, record: dict[str, Any]) -> int:
        if self.checker.labelled:
            return records.label_of(record)
        label = record.get("label")
        return self.names.setdefault(label, len(self.names)) if isinstance(label, str) else records.label_of(record)

    def _look_at(self, frames_MTVC: np.ndarray, shape: Shape) -> None:
        coordinates = frames_MTVC[..., : shape[1]]
        self.shapes[shape] += 1
        self.persons[int(coordinates.any(axis=(1, 2, 3)).sum())] += 1
        if not self.has_details:
            return
        seen_MTV = coordinates.any(axis=-1)
        body_MT = seen_MTV.any(axis=-1)
        self.frames += body_MT.shape[1]
        self.frames_empty += int((~body_MT.any(axis=0)).sum())
        if shape not in self.layouts:
            self.layouts[shape] = clips.likely_layout(coordinates, shape[2], self.layout)
        if seen_MTV.any():
            values = frames_MTVC[seen_MTV].astype(np.float64)
            self.not_finite += int((~np.isfinite(values)).sum())
            origins_MV = origin_joints(coordinates)
            origins = (origins_MV * body_MT.sum(axis=1)[:, None]).sum(axis=0)
            low, high = np.fmin.reduce(values), np.fmax.reduce(values)
            found = Seen(low, high, seen_MTV.sum(axis=(0, 1)), origins, origins_MV[0], int(body_MT.sum()))
            self.seen[shape] = self.seen[shape] + found if shape in self.seen else found

    def finish(self, names: Sequence[str] = ()) -> Findings:
        """All problems, with a note on each way in which files were understood; `names` are those of the classes."""
        found = self.checker.finish(names, self.listed)
        for line in (*summaries(self.understood), *self.notes):
            found.add("note", "all records", "record", line, "")
        return found
