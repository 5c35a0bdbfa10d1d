"""BABEL's release -> annotation pickle, to the bit what MMAction2 0.24.1 makes of it (`babel2mma2.py`), in flat memory.

Two differences: a clip that float16 cannot hold is set aside (there: infinity), and hidden labels are None.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.babel_release import BABEL, BabelDataset, Part, open_release
from stgcn_cli.data.outputs import check_place, open_writer, place_splits
from stgcn_cli.data.pickles import RecordWriter, list_item
from stgcn_cli.data.prepare_summary import report_path, write_report
from stgcn_cli.data.record_tally import RecordSummary, RecordTally
from stgcn_cli.errors import UsageError
from stgcn_cli.screen import SILENT, Screen
from stgcn_cli.wording import nearest, printable

_HIDDEN = -1  # how the release says that it does not say
_LARGEST = np.finfo(np.float16).max

Progress = Callable[[int, int], None]
Renamed = dict[tuple[str, str], str]  # (split, name) -> the name in a file that holds all splits


def prepare_babel(
    dataset: str,
    sources: Sequence[Path],
    out: Path,
    *,
    format: str = "single",
    splits: Sequence[str] | None = None,
    max_bad: float = 0.5,
    progress: Progress | None = None,
    screen: Screen = SILENT,
) -> RecordSummary:
    """Write the annotation pickle(s) of "babel60" or "babel120" from folders and archives of the release.

    `out` is a file with all splits, or with format "mmaction0x" a folder of lists; `splits`: which (None: all that are
    there). An archive is unpacked beside `out` and the unpacked files are removed again. Clips that cannot be used are
    set aside and listed, in the summary and in a report beside the output. Raises UsageError for places and names that
    cannot work, DataError when a source cannot be read or more than the share `max_bad` of the clips are bad.
    """
    began = time.monotonic()
    check_place(dataset, out, format, sources)
    with open_release(dataset, sources, out.parent, screen) as found:
        parts = _choose(dataset, found, splits)
        paths = place_splits(out, format, [part.split for part in parts], sources)
        tally = RecordTally(
            dataset, BABEL[dataset].official, {part.split: [] for part in parts}, list(paths.values()),
            report_path(dataset, out, format != "single"),
        )  # fmt: skip
        renamed = _tell_apart(parts, tally) if format == "single" else {}
        with open_writer(paths, tally.members) as writer:
            _write(parts, BABEL[dataset], renamed, tally, writer, progress or (lambda done, total: None))
            tally.refuse_bad(sources, max_bad)
    summary = replace(tally.summary(), seconds=round(time.monotonic() - began, 3))
    write_report(summary)
    return summary


def _choose(dataset: str, parts: list[Part], splits: Sequence[str] | None) -> list[Part]:
    there = [part.split for part in parts]
    for split in splits or ():
        if split not in there:
            raise UsageError(
                f"There is no split {split!r} of {dataset} here.{nearest(split, there)}",
                f"There are {', '.join(there)}.",
            )
    if splits == []:
        raise UsageError("--splits names no split.", f"There are {', '.join(there)}.")
    return [part for part in parts if splits is None or part.split in splits]


def _tell_apart(parts: Sequence[Part], tally: RecordTally) -> Renamed:
    """Other names for the clips of a split whose name an earlier split has: in one file, a split is a list of names.

    BABEL's splits share no sequence, so this happens with releases that somebody has put together.
    """
    taken = {name for part in parts for name in part.names}
    before: set[str] = set()
    renamed: Renamed = {}
    for part in parts:
        for name in sorted(before.intersection(part.names)):
            other = f"{name}@{part.split}"
            while other in taken:
                other += "@"
            taken.add(other)
            renamed[part.split, name] = other
        before.update(part.names)
    if renamed:
        (_, name), other = next(iter(renamed.items()))
        tally.notes.append(
            f"{len(renamed):,} clips have a name that another split has, too; in the later split they are renamed, "
            f"for instance {name} to {other}."
        )
    return renamed


def _write(
    parts: Sequence[Part],
    kind: BabelDataset,
    renamed: Renamed,
    tally: RecordTally,
    writer: RecordWriter,
    progress: Progress,
) -> None:
    done, total = 0, sum(part.count for part in parts)
    for part in parts:
        for index, clip in enumerate(part.clips()):
            name = renamed.get((part.split, part.names[index]), part.names[index])
            try:
                label, keypoint = _label(part.labels[index], kind.classes), _keypoint(clip)
            except ValueError as error:
                tally.drop(f"{part.path.name}[{index}]: {printable(name)}", str(error), [part.split])
            else:
                record = {"keypoint": keypoint, "label": label, "frame_dir": name, "total_frames": keypoint.shape[1]}
                writer.add(list_item(record), [part.split])
                tally.keep(name, label, keypoint, [part.split])
            done += 1
            progress(done, total)


def _label(label: Any, classes: int) -> int | None:
    if label is None or (isinstance(label, int | np.integer) and label == _HIDDEN):
        return None
    if isinstance(label, bool) or not isinstance(label, int | np.integer) or not 0 <= label < classes:
        raise ValueError(f"its label {label!r:.40} is none of the {classes} classes")
    return int(label)


def _keypoint(clip_CTVM: np.ndarray) -> np.ndarray:
    """(M, T, V, C) float16, contiguous. Raises ValueError when a value is not finite there."""
    with np.errstate(over="ignore"):  # a value too large becomes infinite, and that is told
        keypoint = clip_CTVM.transpose(3, 1, 2, 0).astype(np.float16, order="C")
    if np.isfinite(keypoint).all():
        return keypoint
    if not np.isfinite(clip_CTVM).all():
        raise ValueError("it holds NaN or infinite values")
    worst = clip_CTVM.flat[np.abs(clip_CTVM).argmax()]
    raise ValueError(f"it holds {worst:g}, beyond what float16 can hold (up to {_LARGEST:,.0f})")
