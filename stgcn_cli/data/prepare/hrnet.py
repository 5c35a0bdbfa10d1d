"""Published 2-D annotations of NTU RGB+D (HRNet, COCO joints) -> one annotation pickle, each record checked.

Sources are lists of MMAction2 (`ntu60_xsub_train.pkl`; the split is in the name) and PYSKL's `ntu60_hrnet.pkl`.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.data.annotations import read_with_benchmark
from stgcn_cli.data.ntu.names import NTU
from stgcn_cli.data.output import Add, list_item
from stgcn_cli.data.prepare.options import PrepareOptions, PrepareSummary, choose_splits
from stgcn_cli.data.records import check_finite, frames_of, label_of, name_of
from stgcn_cli.errors import DataError
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import one_line

_VALUES = (17, 3)  # joints; x, y and the score
_SHAPES = ("img_shape", "original_shape")
_FOLDERS = (".", "posec3d")  # where the published files are looked for


def find_hrnet(dataset: str, data: Path) -> list[Path]:
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
        f"{dataset} not found: expected {raw}_xsub_train.pkl and {raw}_xsub_val.pkl in {data} or in {data / 'posec3d'}, "
        f"or {raw}_hrnet.pkl.",
        f"Download them: stgcn prepare {dataset} --download\n"
        f"Or put them there yourself: https://download.openmmlab.com/mmaction/posec3d/{raw}_xsub_train.pkl\n"
        f"and .../posec3d/{raw}_xsub_val.pkl. Or name what you have: --source FILE --source FILE",
    )


def _raw(dataset: str) -> str:
    return dataset.removesuffix("-2d")


def prepare_hrnet(options: PrepareOptions, reporter: Reporter = SILENT) -> PrepareSummary:
    """Write the annotation pickle(s) of "ntu60-2d" or "ntu120-2d" from annotation pickles in either dialect.

    Records that cannot be used are set aside and listed, in the summary and in a report beside the output. Raises
    UsageError for invalid names and places, DataError when a source cannot be read or more than the share `max_bad` of
    the records are bad.
    """
    options.check_place()
    found = [read_with_benchmark(source) for source in options.sources]
    chosen = choose_splits(options.dataset, [split for source in found for split in source.split_names], options.splits)
    notes = [
        f"{len(lost):,} names in the splits of {source.path} have no record, the first is {one_line(lost[0])}."
        for source in found
        if (lost := source.names_without_record())
    ]
    kind, sizes = NTU[_raw(options.dataset)], dict.fromkeys(chosen, 0)
    summary = options.summary(chosen, kind.official, found_sizes=sizes, notes=notes)
    with options.writer(summary) as add:
        collector = _Collector(kind.classes, summary, add, options.format == "single")
        total = sum(len(source.records) for source in found)
        with reporter.progress(f"prepare {options.dataset}", total) as advance:
            for source in found:
                for index, record in enumerate(source.records):
                    splits = [split for split in source.splits_of(record) if split in summary.members]
                    if splits or options.splits is None:
                        collector.take(f"{source.path}: {name_of(record, index)}", record, splits)
                    advance()
    return summary


@dataclass
class _Collector:
    """Records one after the other: checked, counted, written. Of a name that occurs twice the first record is kept."""

    classes: int
    summary: PrepareSummary
    add: Add
    one_file: bool
    seen: dict[str, tuple[int, set[str]]] = field(default_factory=dict)  # name -> checksum, splits

    def take(self, place: str, record: Any, splits: Sequence[str]) -> None:
        try:
            usable = checked(record, self.classes)
            new = self._is_new(usable, splits)
        except ValueError as error:
            self.summary.drop(place, str(error), splits)
            return
        name, keypoint = usable["frame_dir"], usable["keypoint"]
        if new or not self.one_file:
            self.add(list_item(usable), splits)
        if new:
            self.summary.keep(name, usable["label"], splits, frames=keypoint.shape[1], empty=not keypoint.any())
        else:
            self.summary.enter(name, splits)

    def _is_new(self, record: dict[str, Any], splits: Sequence[str]) -> bool:
        """False for a known record that enters another split. Raises ValueError for any other second one of its name."""
        checksum = zlib.crc32(record["keypoint_score"], zlib.crc32(record["keypoint"]))
        known, entered = self.seen.setdefault(record["frame_dir"], (checksum, set()))
        is_new = not entered
        if not is_new and (known != checksum or entered.intersection(splits) or not splits):
            raise ValueError("it is a second record of this name")
        entered.update(splits or [""])
        return is_new


def checked(record: Any, classes: int) -> dict[str, Any]:
    """The keys of the record that the output has, arrays unchanged. Raises ValueError with the cause."""
    frames, label = frames_of(record), label_of(record)
    if not isinstance(record.get("frame_dir"), str):
        raise ValueError("frame_dir is missing")
    if frames.shape[2:] != _VALUES or record.get("keypoint_score") is None:
        score = "a keypoint_score" if record.get("keypoint_score") is not None else "no keypoint_score"
        raise ValueError(
            f"keypoint has the shape {record['keypoint'].shape} and {score}, expected (M, T, 17, 2) and a score"
        )
    check_finite(frames)
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
