"""What is in records, counted one by one. Nothing is judged here.

Shapes: M persons, T frames, V joints, C values (x, y, z, score).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgcn_cli.data import records
from stgcn_cli.data.own.fitting import Shape


@dataclass
class Seen:
    """Joints and values of the clips that have one skeleton."""

    low: np.ndarray  # (C,) over joints that were seen
    high: np.ndarray  # (C,)
    joints: np.ndarray  # (V,) how often a person had this joint
    bodies: int  # persons over frames: how often it could have been seen

    def __add__(self, other: "Seen") -> "Seen":
        return Seen(
            np.fmin(self.low, other.low),
            np.fmax(self.high, other.high),
            self.joints + other.joints,
            self.bodies + other.bodies,
        )


@dataclass
class Tally:
    """Counts up to now. Labels are indices, -1 where hidden; a foreign file's class names are numbered as they come."""

    numbered: bool = False  # whether labels have to be indices, as in annotation pickles
    clips: int = 0
    unusable: list[tuple[str, str]] = field(default_factory=list)  # record, cause
    seen: dict[Shape, Seen | None] = field(default_factory=dict)
    shapes: Counter[Shape] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    labels: Counter[int] = field(default_factory=Counter)
    names: dict[str, int] = field(default_factory=dict)  # of classes
    splits: dict[str, Counter[int]] = field(default_factory=dict)  # clips of each label
    lengths: list[int] = field(default_factory=list)
    persons: Counter[int] = field(default_factory=Counter)
    frames: int = 0
    frames_empty: int = 0
    not_finite: int = 0  # values that are NaN or infinite
    stands: Counter[tuple[str, int]] = field(default_factory=Counter)  # name and label

    def add(self, record: Any, splits: Sequence[str]) -> None:
        """Count one record; one that cannot be used is kept with its cause."""
        name = records.name_of(record, self.clips)
        self.clips += 1
        try:
            frames = records.frames_of(record)
            label = self._label(record)
        except ValueError as error:
            self.unusable.append((name, str(error)))
            return
        self.labels[label] += 1
        for split in splits:
            self.splits.setdefault(split, Counter())[label] += 1
        self.stands[name, label] += 1
        self.lengths.append(frames.shape[1])
        self.dtypes[str(record["keypoint"].dtype)] += 1
        height, width = records.image_size_of(record)
        if height or record["keypoint"].shape[3] == 2:  # joints in space need no image
            self.sizes[f"{width}x{height}" if height else "not told"] += 1
        self._look_at(frames, record.get("keypoint_score") is not None)

    def _label(self, record: dict[str, Any]) -> int:
        if isinstance(word := record.get("label"), str) and not self.numbered:
            return self.names.setdefault(word, len(self.names))
        return records.label_of(record)

    def _look_at(self, frames_MTVC: np.ndarray, has_score: bool) -> None:
        coordinates = frames_MTVC[..., : frames_MTVC.shape[3] - has_score]
        shape: Shape = (*coordinates.shape[2:], has_score)
        seen_MTV = coordinates.any(axis=-1)
        body_MT = seen_MTV.any(axis=-1)
        self.shapes[shape] += 1
        self.persons[int(body_MT.any(axis=-1).sum())] += 1
        self.frames += body_MT.shape[1]
        self.frames_empty += int((~body_MT.any(axis=0)).sum())
        if seen_MTV.any():
            values = frames_MTVC[seen_MTV].astype(np.float64)
            self.not_finite += int((~np.isfinite(values)).sum())
            found = Seen(np.fmin.reduce(values), np.fmax.reduce(values), seen_MTV.sum(axis=(0, 1)), int(body_MT.sum()))
            before = self.seen.get(shape)
            self.seen[shape] = found if before is None else before + found

    def several_labels(self) -> dict[str, list[int]]:
        """The names that stand under more than one label."""
        labels: dict[str, list[int]] = {}
        for name, label in self.stands:
            labels.setdefault(name, []).append(label)
        return {name: found for name, found in labels.items() if len(found) > 1}
