"""The census of one input, and its facts as `stgcn data inspect` shows them and prints them as JSON."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Layout, Shape, words
from stgcn_cli.data import annotations
from stgcn_cli.data.axes import summaries
from stgcn_cli.data.census import Census, Seen
from stgcn_cli.data.checks import RecordChecker
from stgcn_cli.data.findings import Findings
from stgcn_cli.data.locations import beside
from stgcn_cli.data.readers import by_suffix
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.readers.unzipped import gunzipped, is_gzip
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import one_line

_SHOWN = ("all zeros", "missing, so", "hidden", "NaN")  # problems that the facts show
_BARS, _WORST = 10, 3  # of a histogram, at most; joints named
_ROUND = (1, 2, 5)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Counts of an input. Those of joints are of the most common skeleton, `layout` its name where one fits."""

    source: str
    kind: str
    missing_names: dict[str, int]  # split -> names without a record
    clips: int
    unusable: list[dict[str, str]]  # record, cause
    skeletons: dict[str, int]
    layout: str | None
    axes: list[str]
    notes: list[str]
    dtypes: dict[str, int]
    image_sizes: dict[str, int]
    splits: dict[str, dict[str, int]]  # clips, classes
    classes: list[dict[str, Any]]  # label, name, clips, splits
    hidden_labels: int
    lengths: dict[str, int]  # min, median, most (95 % of the clips have no more), max
    histogram: list[dict[str, int]]  # from, to, clips
    persons: dict[str, int]
    frames: int
    frames_without_anybody: int
    missing_joints: float | None  # share
    missing_most: dict[str, float]
    always_zero: list[str]
    values: dict[str, list[float]]  # range of each
    not_finite: int
    joints_with_nan: int
    twice: dict[str, int]
    several_labels: dict[str, list[int]]
    problems: list[str]  # those that `validate` lists and the other facts do not show


def take_census(
    word: str, reporter: Reporter = SILENT, options: Options | None = None, has_details: bool = False
) -> Census:
    """The census of an annotation pickle as it is stored, or of the clips of any other file, folder or glob.

    Raises DataError when it cannot be read at all.
    """
    path, options = Path(word), options or Options()
    layout = options.layout or beside(path).layout
    as_stored = not (options.axes or options.score_last or options.max_persons or options.format)
    if is_pickle(path) and as_stored:
        packed = path.is_file() and is_gzip(path)
        read = annotations.read(gunzipped(path) if packed else path)
        census = Census(
            checker=RecordChecker(Findings(word), read.splits is not None), layout=layout, has_details=has_details,
            is_pickle=True, listed=read.splits, notes=dict.fromkeys(read.notes),
        )  # fmt: skip
        with reporter.progress(f"read {path.name}", len(read.records)) as advance:
            for record in read.records:
                census.add(record, read.splits_of(record))
                advance()
        return census
    census = Census(checker=RecordChecker(Findings(word), labelled=False), layout=layout, has_details=has_details)
    for clip in read_inputs([word], reporter, options, on_bad=census.set_aside):
        census.add_clip(clip)
    return census


def is_pickle(path: Path) -> bool:
    """Whether the file is called as annotation pickles are."""
    return by_suffix(path) == "pickle" and not path.is_dir()


def survey(
    word: str, names: Sequence[str] | None = None, reporter: Reporter = SILENT, options: Options | None = None
) -> Facts:
    """The facts of one input; `names` are those of the classes, by default of the preset beside it.

    Records that cannot be used are listed with their causes. Raises DataError when it cannot be read at all.
    """
    census = take_census(word, reporter, options, has_details=True)
    names = beside(Path(word)).classes if names is None else names
    axes, notes = summaries(census.understood), list(census.notes)
    found = census.checker.finish(names, census.listed)
    unusable = {name for name, _ in census.unusable}
    found.found = [each for each in found.found if each.where not in unusable]
    lost = {split: len(set(listed) - census.checker.names.keys()) for split, listed in (census.listed or {}).items()}
    in_pickle = "one file with its splits" if census.listed is not None else "a list of one split"
    shape = census.shapes.most_common(1)[0][0] if census.shapes else None
    layout, lengths = census.layouts[shape] if shape else None, sorted(census.lengths)
    return Facts(
        source=word,
        kind=in_pickle if census.is_pickle else "files to convert",
        missing_names={split: n for split, n in lost.items() if n},
        clips=census.clips,
        unusable=[{"record": name, "cause": cause} for name, cause in census.unusable],
        skeletons={words(each): count for each, count in census.shapes.most_common()},
        layout=layout.name if layout else None,
        axes=axes,
        notes=notes,
        dtypes=dict(census.dtypes.most_common()),
        image_sizes=dict(census.sizes.most_common()),
        splits={s: {"clips": c.total(), "classes": len(c.keys() - {-1})} for s, c in census.splits.items()},
        classes=_classes(census, names),
        hidden_labels=census.labels[-1],
        lengths=_lengths(lengths),
        histogram=[{"from": low, "to": high, "clips": count} for low, high, count in histogram(lengths)],
        persons={str(count): clips for count, clips in sorted(census.persons.items())},
        frames=census.frames,
        frames_without_anybody=census.frames_empty,
        **_joints(shape, census.seen.get(shape) if shape else None, layout),
        not_finite=census.not_finite,
        joints_with_nan=census.gaps,
        twice={name: count for (name, _), count in census.repeats.items() if count > 1},
        several_labels=census.several_labels,
        problems=found.kinds(*_SHOWN),
    )


def _classes(census: Census, names: Sequence[str]) -> list[dict[str, Any]]:
    """Every label that occurs, in order, with its clips in all and in each split."""
    own = {label: word for word, label in census.names.items()}
    known = {label: own.get(label, names[label] if label < len(names) else "") for label in census.labels if label >= 0}
    return [
        {
            "label": label,
            "name": one_line(known[label]),
            "clips": census.labels[label],
            "splits": {split: counts[label] for split, counts in census.splits.items()},
        }
        for label in sorted(known)
    ]


def _lengths(lengths: Sequence[int]) -> dict[str, int]:
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
    ranges = zip(channels, seen.low.tolist(), seen.high.tolist(), strict=False)
    return {
        "missing_joints": float(missing[there].mean()),
        "missing_most": {names[j]: float(missing[j]) for j in worst},
        "always_zero": [names[j] for j in np.flatnonzero(missing >= 1)],
        "values": {name: [low, high] for name, low, high in ranges},
    }


def histogram(lengths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(first, last, clips) of at most ten rows of equal, round width that hold all lengths; nothing for none."""
    if not lengths:
        return
    low, high = min(lengths), max(lengths)
    widths = (10**exponent * step for exponent in itertools.count() for step in _ROUND)
    width = next(w for w in widths if high // w - low // w < _BARS)
    counts = np.bincount([length // width - low // width for length in lengths])
    for row, count in enumerate(counts.tolist()):
        first = (low // width + row) * width
        yield first, first + width - 1, count
