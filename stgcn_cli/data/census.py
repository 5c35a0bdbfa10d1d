"""`stgcn data inspect`: what is in a file, a folder or a zip, as plain facts that are shown and printed as JSON."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Layout, Shape, words
from stgcn_cli.data import annotations, records
from stgcn_cli.data.axes import Understood, summaries
from stgcn_cli.data.checks import Findings, RecordChecker
from stgcn_cli.data.joint_values import origin_joints
from stgcn_cli.data.locations import beside
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.records import Clip
from stgcn_cli.errors import DataError
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import one_line

# What is in records, counted one by one. Nothing is judged here.
#
# Shapes: M persons, T frames, V joints, C values (x, y, z, score).


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


@dataclass
class Tally:
    """Counts up to now. Labels are indices, -1 where hidden; a foreign file's class names are numbered as they come."""

    numbered: bool = False  # whether labels have to be indices, as in annotation pickles
    layout: Layout | None = None  # as the user or the preset beside the file says
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
    gaps: int = 0  # joints with NaN, which readers take as not seen
    layouts: dict[Shape, Layout | None] = field(default_factory=dict)  # the skeleton of the first clip of each shape
    understood: list[Understood] = field(default_factory=list)  # how the axes of arrays were read
    notes: dict[str, None] = field(default_factory=dict)  # how files were understood
    stands: Counter[tuple[str, int]] = field(default_factory=Counter)  # name and label

    def add_clip(self, clip: Clip) -> None:
        """Count one clip of a foreign file."""
        self.layouts.setdefault(clip.shape, clip.layout_or(self.layout))
        self.add(clip.record, clip.splits)
        self.gaps += clip.gaps
        self.notes |= dict.fromkeys(clip.notes)
        if clip.understood:
            self.understood.append(clip.understood)

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
        if shape not in self.layouts:
            self.layouts[shape] = records.likely_layout(coordinates, has_score, self.layout)
        self.persons[int(body_MT.any(axis=-1).sum())] += 1
        self.frames += body_MT.shape[1]
        self.frames_empty += int((~body_MT.any(axis=0)).sum())
        if seen_MTV.any():
            values = frames_MTVC[seen_MTV].astype(np.float64)
            self.not_finite += int((~np.isfinite(values)).sum())
            origins_MV = origin_joints(coordinates)
            origins = (origins_MV * body_MT.sum(axis=1)[:, None]).sum(axis=0)
            low, high = np.fmin.reduce(values), np.fmax.reduce(values)
            found = Seen(low, high, seen_MTV.sum(axis=(0, 1)), origins, origins_MV[0], int(body_MT.sum()))
            before = self.seen.get(shape)
            self.seen[shape] = found if before is None else before + found

    def several_labels(self) -> dict[str, list[int]]:
        """The names that stand under more than one label."""
        labels: dict[str, list[int]] = {}
        for name, label in self.stands:
            labels.setdefault(name, []).append(label)
        return {name: found for name, found in labels.items() if len(found) > 1}


_SHOWN = ("all zeros", "not told", "hidden", "NaN or infinite")  # problems that the facts show
_PICKLES = (".pkl", ".pickle")
_BARS, _WORST = 10, 3  # of a histogram, at most; joints named
_ROUND = (1, 2, 5)


def survey(
    word: str, names: Sequence[str] | None = None, reporter: Reporter = SILENT, options: Options | None = None
) -> dict[str, Any]:
    """The facts of one input; `names` are those of the classes, else those in the preset beside it.

    In a pickle, records that cannot be used are told with their causes. Raises DataError when it cannot be read at all.
    """
    path, options = Path(word), options or Options()
    own = beside(path)
    names = own.classes if names is None else names
    layout = options.layout or own.layout
    is_pickle = path.suffix in _PICKLES and path.is_file() and options.axes is None and not options.score_last
    tally, checker = Tally(is_pickle, layout), RecordChecker(Findings(word), has_splits=False, labelled=is_pickle)
    if is_pickle:
        return _of_pickle(path, tally, checker, reporter) | _facts(tally, names, checker)

    def set_aside(place: str, error: DataError) -> None:
        tally.clips += 1
        tally.unusable.append((place, error.message))

    for each in read_inputs([word], reporter, options, on_bad=set_aside):
        checker.look_at(each.record, tally.clips)
        tally.add_clip(each)
    return {"source": word, "kind": "files to convert", "missing_names": {}} | _facts(tally, names, checker)


def _problems(checker: RecordChecker, tally: Tally) -> list[str]:
    """What `validate` says and the facts do not show: one line for each kind."""
    checker.told.clips = tally.clips
    found = checker.finish()
    unusable = {name for name, _ in tally.unusable}
    found.found = [each for each in found.found if each.where not in unusable and not each.found.startswith(_SHOWN)]
    return found.kinds()


def _of_pickle(path: Path, tally: Tally, checker: RecordChecker, reporter: Reporter) -> dict[str, Any]:
    read = annotations.read(path)
    tally.notes |= dict.fromkeys(read.notes)
    there: set[str] = set()
    with reporter.progress(f"inspect {path.name}", len(read.records)) as advance:
        for record in read.records:
            said = record.get("frame_dir") if isinstance(record, dict) else None
            known = said if isinstance(said, str) else ""
            there.add(known)
            checker.look_at(record, tally.clips)
            tally.add(record, read.splits_of(record))
            advance()
    lost = {split: len(set(listed) - there) for split, listed in (read.splits or {}).items()}
    kind = "a list of one split" if read.splits is None else "one file with its splits"
    return {"source": str(path), "kind": kind, "missing_names": {split: n for split, n in lost.items() if n}}


def _facts(tally: Tally, names: Sequence[str], checker: RecordChecker) -> dict[str, Any]:
    shape = tally.shapes.most_common(1)[0][0] if tally.shapes else None
    layout = tally.layouts.get(shape) if shape else None
    lengths = sorted(tally.lengths)
    return {
        "clips": tally.clips,
        "unusable": [{"record": name, "cause": cause} for name, cause in tally.unusable],
        "skeletons": {words(each): count for each, count in tally.shapes.most_common()},
        "layout": layout.name if layout else None,
        "axes": summaries(tally.understood),
        "notes": list(tally.notes),
        "dtypes": dict(tally.dtypes.most_common()),
        "image_sizes": dict(tally.sizes.most_common()),
        "splits": {s: {"clips": c.total(), "classes": len(c.keys() - {-1})} for s, c in tally.splits.items()},
        "classes": _classes(tally, names),
        "hidden_labels": tally.labels[-1],
        "lengths": _lengths(lengths),
        "histogram": [{"from": low, "to": high, "clips": count} for low, high, count in histogram(lengths)],
        "persons": {str(count): clips for count, clips in sorted(tally.persons.items())},
        "frames": tally.frames,
        "frames_without_anybody": tally.frames_empty,
        **_joints(shape, tally.seen.get(shape) if shape else None, layout),
        "not_finite": tally.not_finite,
        "joints_with_nan": tally.gaps,
        "twice": {name: count for (name, _), count in tally.stands.items() if count > 1},
        "several_labels": tally.several_labels(),
        "problems": _problems(checker, tally),
    }


def _classes(tally: Tally, names: Sequence[str]) -> list[dict[str, Any]]:
    """Every label that occurs, in order, with its clips in all and in each split."""
    own = {label: word for word, label in tally.names.items()}
    known = {label: own.get(label, names[label] if label < len(names) else "") for label in tally.labels if label >= 0}
    return [
        {
            "label": label,
            "name": one_line(known[label]),
            "clips": tally.labels[label],
            "splits": {split: counts[label] for split, counts in tally.splits.items()},
        }
        for label in sorted(known)
    ]


def _lengths(lengths: Sequence[int]) -> dict[str, int]:
    """Frames; `most` is what 95 % of the clips do not exceed."""
    if not lengths:
        return {}
    most = int(np.percentile(lengths, 95, method="inverted_cdf"))
    return {"min": lengths[0], "median": lengths[len(lengths) // 2], "most": most, "max": lengths[-1]}


def _joints(shape: Shape | None, seen: Seen | None, layout: Layout | None) -> dict[str, Any]:
    """The share of missing joints, those missing most, and the range of each value over the joints that were seen.

    The origin to which a person is centred is not missing. A joint that is never elsewhere counts by itself.
    """
    if shape is None or seen is None:
        return {"missing_joints": None, "missing_most": {}, "always_zero": [], "values": {}}
    possible = seen.bodies - seen.origins * seen.centred
    missing = np.where(possible > 0, 1 - seen.joints / np.maximum(possible, 1), 1.0)
    names = layout.joints if layout else [f"joint {joint}" for joint in range(shape[0])]
    there = np.flatnonzero(missing < 1)
    worst = [j for j in there[np.argsort(-missing[there], kind="stable")][:_WORST].tolist() if missing[j] > 0]
    channels = [*"xyz"[: shape[1]], *(f"value {n}" for n in range(4, shape[1] + 1)), "score"]
    return {
        "missing_joints": float(missing[there].mean()),
        "missing_most": {names[j]: float(missing[j]) for j in worst},
        "always_zero": [names[j] for j in np.flatnonzero(missing >= 1)],
        "values": {
            name: [float(low), float(high)] for name, low, high in zip(channels, seen.low, seen.high, strict=False)
        },
    }


def histogram(lengths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(first, last, clips) of at most ten rows of equal, round width that hold all lengths; nothing for none."""
    if not lengths:
        return
    low, high = min(lengths), max(lengths)
    width = next(w for w in _widths() if high // w - low // w < _BARS)
    counts = np.bincount([length // width - low // width for length in lengths])
    for row, count in enumerate(counts.tolist()):
        first = (low // width + row) * width
        yield first, first + width - 1, count


def _widths() -> Iterator[int]:
    scale = 1
    while True:
        yield from (scale * step for step in _ROUND)
        scale *= 10
