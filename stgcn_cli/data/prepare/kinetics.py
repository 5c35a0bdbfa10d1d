"""Kinetics-Skeleton (Yan et al. 2018): folders of a JSON for each clip -> one annotation pickle with the splits train and val.

Clips whose file tells no skeletons (`has_skeleton` false in kinetics_*_label.json, or frames without persons) are set aside, as
the authors leave them out. Persons have no ids in the files: they are followed from frame to frame by their places.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stgcn_cli.data.output import list_item
from stgcn_cli.data.prepare.options import PrepareOptions, PrepareSummary, choose_splits
from stgcn_cli.data.readers import kinetics
from stgcn_cli.data.readers.parsing import Options, load_json
from stgcn_cli.data.records import check_finite
from stgcn_cli.errors import DataError
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.io.text import printable

OFFICIAL = {"classes": 400}
_PLACES = ("kinetics-skeleton", "Kinetics/kinetics-skeleton", "kinetics_skeleton", "Kinetics/kinetics_skeleton", ".")
_SPLITS = ("train", "val")


def find_kinetics(dataset: str, data: Path) -> list[Path]:
    """The folders of both splits in the data folder. Raises DataError saying what is missing and where it is."""
    for place in (data / name for name in _PLACES):
        folders = [place / f"kinetics_{split}" for split in _SPLITS]
        if all(folder.is_dir() for folder in folders):
            return folders
    raise DataError(
        f"{dataset} not found: expected the folders kinetics_train and kinetics_val in {data} or {data / _PLACES[0]}.",
        "Its authors offer it at https://github.com/yysijie/st-gcn (kinetics-skeleton.zip). Or name the folders: "
        "--source kinetics_train --source kinetics_val",
    )


def prepare_kinetics(options: PrepareOptions, reporter: Reporter = SILENT) -> PrepareSummary:
    """Write the annotation pickle(s) of the folders. Raises UsageError, DataError."""
    options.check_place()
    files = _files(options.sources, options.splits)
    splits = list(files)
    summary = options.summary(splits, OFFICIAL, found_sizes=dict.fromkeys(splits, 0))
    listed = [(split, path) for split in splits for path in files[split]]
    with options.writer(summary) as add, reporter.progress(f"prepare {options.dataset}", len(listed)) as advance:
        for split, path in listed:
            advance()
            try:
                record = record_of(path)
            except (ValueError, OSError) as error:
                summary.drop(str(path), printable(error)[:300], [split])
                continue
            add(list_item(record), [split])
            name, keypoint = record["frame_dir"], record["keypoint"]
            summary.keep(name, record["label"], [split], frames=keypoint.shape[1], empty=not keypoint.any())
    return summary


def record_of(path: Path) -> dict[str, Any]:
    """The record of a file. Raises ValueError with the cause."""
    (clip,) = kinetics.read(path, Options())
    label = load_json(path).get("label_index")
    if type(label) is not int or not 0 <= label < OFFICIAL["classes"]:
        raise ValueError(f"label_index is {label!r:.40}, expected 0 to {OFFICIAL['classes'] - 1}")
    if not clip["keypoint"].any():
        raise ValueError("it holds no skeletons")
    check_finite(clip["keypoint"], clip["keypoint_score"])
    return {
        "frame_dir": path.stem, "label": label, "img_shape": clip["img_shape"], "original_shape": clip["img_shape"],
        "total_frames": clip["keypoint"].shape[1], "keypoint": clip["keypoint"], "keypoint_score": clip["keypoint_score"],
    }  # fmt: skip


def _files(sources: Sequence[Path], wanted: Sequence[str] | None) -> dict[str, list[Path]]:
    """The files of each split, in the order of their names. Raises DataError, UsageError."""
    found: dict[str, list[Path]] = {}
    for folder in sources:
        split = next((split for split in _SPLITS if split in folder.name.lower()), None)
        if split is None or not folder.is_dir():
            raise DataError(
                f"{folder}: its name tells no split.", "Expected the folders kinetics_train and kinetics_val."
            )
        found.setdefault(split, []).extend(sorted(folder.glob("[!.]*.json")))
    wanted = choose_splits("kinetics-skeleton", [split for split in _SPLITS if split in found], wanted)
    return {split: found[split] for split in wanted}
