"""Published 2-D annotations of NTU RGB+D (HRNet, COCO joints) -> one annotation pickle, each record looked at.

Sources are lists of MMAction2 (`ntu60_xsub_train.pkl`; the split is in the name) and PYSKL's `ntu60_hrnet.pkl`. A source is
held whole: that is how pickles are read.
"""

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.annotations import SplitRecords, choose_splits, read_with_splits
from stgcn_cli.data.census import RecordSummary, RecordTally
from stgcn_cli.data.ntu.names import NTU
from stgcn_cli.data.output import RecordWriter, check_place, list_item, open_writer, place_splits
from stgcn_cli.data.records import frames_of, label_of, name_of
from stgcn_cli.data.summary import report_path, write_report
from stgcn_cli.errors import DataError

_VALUES = (17, 3)  # joints; x, y and the score
_SHAPES = ("img_shape", "original_shape")
_FOLDERS = (".", "posec3d")  # where the published files are looked for

Progress = Callable[[int, int], None]


def prepare_2d(
    dataset: str,
    sources: Sequence[Path],
    out: Path,
    *,
    format: str = "single",
    splits: Sequence[str] | None = None,
    max_bad: float = 0.5,
    progress: Progress | None = None,
) -> RecordSummary:
    """Write the annotation pickle(s) of "ntu60-2d" or "ntu120-2d" from annotation pickles in either dialect.

    `out` is a file with all splits, or with format "list" a folder of lists; `splits` are benchmarks or splits
    (None: all that are there). Records that cannot be used are set aside and listed, in the summary and in a report
    beside the output. Raises UsageError for places and names that cannot work, DataError when a source cannot be read
    or more than the share `max_bad` of the records are bad.
    """
    began = time.monotonic()
    check_place(dataset, out, format, sources)
    found = [read_with_splits(source) for source in sources]
    chosen = choose_splits(dataset, [split for source in found for split in source.splits], splits)
    paths = place_splits(out, format, chosen, sources)
    kind, report = NTU[_raw(dataset)], report_path(dataset, out, format != "single")
    notes = [note for source in found for note in source.notes]
    tally = RecordTally(dataset, dict(kind.official), {s: [] for s in chosen}, list(paths.values()), report, notes)
    with open_writer(paths, tally.members) as writer:
        _Collector(kind.classes, tally, writer, format == "single").take(found, splits is None, progress)
        tally.refuse_bad(sources, max_bad)
    summary = replace(tally.summary(), seconds=round(time.monotonic() - began, 3))
    write_report(summary)
    return summary


def find_2d(dataset: str, data: Path) -> list[Path]:
    """The published pickles in the data folder: the lists of every benchmark that is whole, else PYSKL's.

    Raises DataError saying what is missing and where it is.
    """
    raw = _raw(dataset)
    for folder in (data / name for name in _FOLDERS):
        pairs = [[folder / f"{raw}_{name}_{part}.pkl" for part in ("train", "val")] for name in NTU[raw].benchmarks]
        if whole := [path for pair in pairs if all(path.is_file() for path in pair) for path in pair]:
            return whole
        if (pyskl := folder / f"{raw}_hrnet.pkl").is_file():
            return [pyskl]
    raise DataError(
        f"{dataset} is made from {raw}_xsub_train.pkl and {raw}_xsub_val.pkl in {data} or in {data / 'posec3d'}, or from "
        f"{raw}_hrnet.pkl; neither is there.",
        f"Fetch them: stgcn prepare {dataset} --download\n"
        f"Or put them there yourself: https://download.openmmlab.com/mmaction/posec3d/{raw}_xsub_train.pkl\n"
        f"and .../posec3d/{raw}_xsub_val.pkl. Or name what you have: --source FILE --source FILE",
    )


def published_names(dataset: str) -> list[str]:
    """The published annotations that `dataset` is made from by default."""
    return [f"{_raw(dataset)}_xsub_{part}" for part in ("train", "val")]


def _raw(dataset: str) -> str:
    return dataset.removesuffix("-2d")


@dataclass
class _Collector:
    """Records one after the other: checked, counted, written. Of a name that occurs twice the first record is kept."""

    classes: int
    tally: RecordTally
    writer: RecordWriter
    one_file: bool
    seen: dict[str, tuple[int, set[str]]] = field(default_factory=dict)  # name -> checksum, splits

    def take(self, found: Sequence[SplitRecords], everything: bool, progress: Progress | None) -> None:
        """Every record; without `everything`, only those of the splits that are counted."""
        done, total = 0, sum(len(source.records) for source in found)
        for source in found:
            for index, record in enumerate(source.records):
                splits = [split for split in source.splits_of(record) if split in self.tally.members]
                if splits or everything:
                    self._take(f"{source.path}: {name_of(record, index)}", record, splits)
                done += 1
                if progress is not None:
                    progress(done, total)

    def _take(self, place: str, record: Any, splits: list[str]) -> None:
        try:
            usable = checked(record, self.classes)
            new = self._not_seen(usable, splits)
        except ValueError as error:
            self.tally.drop(place, str(error), splits)
            return
        if new or not self.one_file:
            self.writer.add(list_item(usable), splits)
        if new:
            self.tally.keep(usable["frame_dir"], usable["label"], usable["keypoint"], splits)
        else:
            self.tally.enter(usable["frame_dir"], splits)

    def _not_seen(self, record: dict[str, Any], splits: list[str]) -> bool:
        """False for a record that is there and now enters another split. Raises ValueError for any other second one."""
        name = record["frame_dir"]
        checksum = zlib.crc32(record["keypoint_score"], zlib.crc32(record["keypoint"]))
        before = self.seen.setdefault(name, (checksum, set()))
        first = not before[1]
        if not first and (before[0] != checksum or before[1].intersection(splits) or not splits):
            raise ValueError("it is a second record of this name")
        before[1].update(splits or [""])
        return first


def checked(record: Any, classes: int) -> dict[str, Any]:
    """The record with what belongs into one, arrays as they were. Raises ValueError with the cause."""
    frames, label = frames_of(record), label_of(record)
    if not isinstance(record.get("frame_dir"), str):
        raise ValueError("frame_dir is missing")
    if frames.shape[2:] != _VALUES or record.get("keypoint_score") is None:
        score = "and a keypoint_score" if record.get("keypoint_score") is not None else "and no keypoint_score"
        raise ValueError(f"keypoint has the shape {record['keypoint'].shape} {score}, expected (M, T, 17, 2) and one")
    if not np.isfinite(frames).all():
        raise ValueError("it holds NaN or infinite values")
    if not 0 <= label < classes:
        raise ValueError("its label is missing" if label < 0 else f"its label {label} is none of the {classes} classes")
    usable = {"frame_dir": record["frame_dir"], "label": label}
    usable |= {key: _shape(record[key]) for key in _SHAPES if record.get(key) is not None}
    usable["total_frames"] = frames.shape[1]
    return usable | {key: np.ascontiguousarray(record[key]) for key in ("keypoint", "keypoint_score")}


def _shape(value: Any) -> tuple[int, int]:
    try:
        height, width = map(int, value)
    except (TypeError, ValueError):
        raise ValueError(f"its image has the shape {value!r:.40}, expected height and width") from None
    return height, width
