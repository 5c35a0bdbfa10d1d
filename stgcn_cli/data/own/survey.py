"""`stgcn data inspect`: what is in a file, a folder or a zip, as plain facts that are shown and printed as JSON."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data import annotations
from stgcn_cli.data.inputs import read_inputs
from stgcn_cli.data.own.class_names import names_beside
from stgcn_cli.data.own.fitting import Shape, layout_for, words
from stgcn_cli.data.own.tally import Seen, Tally
from stgcn_cli.data.places import split_in_name
from stgcn_cli.errors import DataError
from stgcn_cli.screen import SILENT, Screen
from stgcn_cli.wording import one_line

_PICKLES = (".pkl", ".pickle")
_BARS, _WORST = 10, 3  # of a histogram, at most; joints named
_ROUND = (1, 2, 5)


def survey(word: str, names: Sequence[str] | None = None, screen: Screen = SILENT) -> dict[str, Any]:
    """The facts of one input; `names` are those of the classes, else those in the preset beside it.

    In a pickle, records that cannot be used are told with their causes. Raises DataError when it cannot be read at all.
    """
    path = Path(word)
    names = names_beside(path) if names is None else names
    if path.suffix in _PICKLES and path.is_file():
        tally = Tally(numbered=True)
        return _of_pickle(path, tally, screen) | _facts(tally, names)
    tally = Tally()

    def set_aside(place: str, error: DataError) -> None:
        tally.clips += 1
        tally.unusable.append((place, error.message))

    for each in read_inputs([word], screen, on_bad=set_aside):
        tally.add(each.record, each.splits)
    return {"source": word, "kind": "files to convert", "missing_names": {}} | _facts(tally, names)


def _of_pickle(path: Path, tally: Tally, screen: Screen) -> dict[str, Any]:
    read = annotations.read(path)
    own = split_in_name(path)
    members: dict[str, list[str]] = {}
    for split, listed in (read.splits or {}).items():
        for name in dict.fromkeys(listed):
            members.setdefault(name, []).append(split)
    there: set[str] = set()
    with screen.progress(f"inspect {path.name}", len(read.records)) as advance:
        for record in read.records:
            said = record.get("frame_dir") if isinstance(record, dict) else None
            known = said if isinstance(said, str) else ""
            there.add(known)
            tally.add(record, ([own] if own else []) if read.splits is None else members.get(known, []))
            advance()
    lost = {split: len(set(listed) - there) for split, listed in (read.splits or {}).items()}
    kind = "a list of one split" if read.splits is None else "one file with its splits"
    return {"source": str(path), "kind": kind, "missing_names": {split: n for split, n in lost.items() if n}}


def _facts(tally: Tally, names: Sequence[str]) -> dict[str, Any]:
    shape = tally.shapes.most_common(1)[0][0] if tally.shapes else None
    layout = layout_for(shape) if shape else None
    lengths = sorted(tally.lengths)
    return {
        "clips": tally.clips,
        "unusable": [{"record": name, "cause": cause} for name, cause in tally.unusable],
        "skeletons": {words(each): count for each, count in tally.shapes.most_common()},
        "layout": layout.name if layout else None,
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
        **_joints(shape, tally.seen.get(shape) if shape else None),
        "not_finite": tally.not_finite,
        "twice": {name: count for (name, _), count in tally.stands.items() if count > 1},
        "several_labels": tally.several_labels(),
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


def _joints(shape: Shape | None, seen: Seen | None) -> dict[str, Any]:
    """The share of missing joints, those missing most, and the range of each value over the joints that were seen.

    A joint that is never there counts by itself: clips are centred on it, or it was never taken.
    """
    if shape is None or seen is None:
        return {"missing_joints": None, "missing_most": {}, "always_zero": [], "values": {}}
    layout, missing = layout_for(shape), 1 - seen.joints / seen.bodies
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
