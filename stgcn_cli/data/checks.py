"""Every problem of records and splits: `validate` lists them all, `convert`, `train` and `predict` one line for each kind.

Errors stop training or make its figures wrong; warnings are odd but possible; notes need no answer.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgcn_cli.config.skeletons import Shape, words
from stgcn_cli.data import findings, records
from stgcn_cli.data.axes import persons_exceed_frames
from stgcn_cli.data.findings import EXPECTED, Findings
from stgcn_cli.io.text import shown

_ALL = "all records"
_KNOWN = {*EXPECTED, "original_shape", "subject"} - {"record", "split"}
_SAMPLED = 4  # every so many frames tell units, images, and whether two clips are equal


@dataclass
class RecordChecker:
    """Collects the problems of records: `look_at` each, then `finish`."""

    findings: Findings
    has_splits: bool = False
    labelled: bool = True  # whether the labels of records are looked at
    shape: Shape | None = None
    first: str = ""  # the record the shape is of
    names: dict[str, None] = field(default_factory=dict)
    labels: dict[str, list[int]] = field(default_factory=dict)  # of each name, -1 hidden
    contents: dict[tuple[int, ...], str] = field(default_factory=dict)  # hash and shape -> the first record
    unknown: Counter[str] = field(default_factory=Counter)
    largest: float = 0.0  # coordinate
    third: tuple[float, float] = (0.0, 0.0)  # range of a third value

    def look_at(self, record: Any, gaps: int = 0) -> np.ndarray | None:
        """Note the problems of one record; return its frames as `frames_of` does, None where it has none.

        `gaps`: joints with NaN, which the reader has made zeros.
        """
        return self.look_at_all([record], gaps)[0][0][0]

    def look_at_all(
        self, batch: Sequence[Any], gaps: int = 0
    ) -> tuple[list[tuple[np.ndarray | None, bool]], np.ndarray | None]:
        """Note the problems of some records; return the frames of each as `look_at` does, and whether they are finite.

        Takes less time than one by one. Returns also the frames of all persons as one array (R V C), None where they are of
        several types or skeletons.
        """
        clips: list[Any] = []  # frames (M T V C), or the error
        for record in batch:
            try:
                clips.append(frames := records.frames_of(record))
                if self.shape is None:
                    self.shape = records.shape_of(record, frames)
                    self.first = records.name_of(record, self.findings.clips + len(clips) - 1)
            except ValueError as error:
                clips.append(error)
        rows, high, usual = None, None, [False] * len(clips)
        kinds = {
            isinstance(each, np.ndarray) and (records.shape_of(record, each), each.dtype)
            for record, each in zip(batch, clips, strict=True)
        }
        if len(kinds) == 1 and (kind := kinds.pop()) and kind[0] == self.shape:
            rows = np.concatenate([clip.reshape(-1, *clip.shape[2:]) for clip in clips])
            if len(rows) and kind[0][1] and records.is_finite(rows):
                high, usual = self._measured(rows), _are_seen(rows, clips, self.shape[1])
        whole = zip(batch, clips, usual, strict=True)
        return [self._look_at(record, clip, gaps, high if is_usual else None) for record, clip, is_usual in whole], rows

    def _look_at(
        self, record: Any, frames: np.ndarray | ValueError, gaps: int, high: np.ndarray | None
    ) -> tuple[np.ndarray | None, bool]:
        """`high`: upper limits of the values (V C) where they need no closer look: finite, with a person in all frames."""
        where = records.name_of(record, self.findings.clips)
        self.findings.clips += 1
        if not isinstance(record, dict):
            self.findings.add("error", where, "record", f"a {type(record).__name__}")
            return None, False
        self._name_and_label(record, where)
        if not record.keys() <= _KNOWN:
            self.unknown.update(key for key in map(str, record) if key not in _KNOWN)
        if isinstance(frames, ValueError):
            self._refused("keypoint", str(frames), where)
            return None, False
        stored = record["keypoint"].shape
        if stored[1] > frames.shape[1]:
            unused = stored[1] - frames.shape[1]
            found = f"{frames.shape[1]}, but keypoint holds {stored[1]} frames; the last {unused} are not used"
            self.findings.add("warning", where, "total_frames", found, "")
        if found := persons_exceed_frames(stored):
            self.findings.add("warning", where, "keypoint", found)
        if gaps:
            self.findings.add("warning", where, "keypoint", f"NaN in {gaps:,} joints, which become zeros: not seen", "")
        return frames, self._values(frames, record, where, high)

    def _measured(self, rows_RVC: np.ndarray) -> np.ndarray:
        """Note the ranges of coordinates and return the upper limits (V C), from a sample of the frames."""
        sample = rows_RVC[::_SAMPLED]
        sample = sample.astype(np.promote_types(sample.dtype, np.float32), copy=False)  # numpy is slow at halves
        low, high = sample.min(axis=0), sample.max(axis=0)
        values = self.shape[1] if self.shape else 0
        self.largest = max(self.largest, float(high[:, : min(2, values)].max()), -float(low[:, : min(2, values)].min()))
        if values > 2:
            self.third = min(self.third[0], float(low[:, 2].min())), max(self.third[1], float(high[:, 2].max()))
        return high

    def _name_and_label(self, record: dict[str, Any], where: str) -> None:
        name = None
        try:
            name = records.frame_dir_of(record)
            if name is None:
                found = "missing" if record.get("frame_dir") is None else f"a {type(record['frame_dir']).__name__}"
                self.findings.add("error" if self.has_splits else "warning", where, "frame_dir", found)
        except ValueError as error:
            self._refused("frame_dir", str(error), where)
        self.names[name or where] = None
        if not self.labelled:
            return
        try:
            self.label(name or where, records.label_of(record))
        except ValueError as error:
            self._refused("label", str(error), where)

    def label(self, name: str, label: int) -> None:
        """Note the label of a record, -1 for a hidden one; for clips whose labels are known only when all were read."""
        self.labels.setdefault(name, []).append(label)
        if label < 0:
            self.findings.add("warning", name, "label", "hidden: this clip cannot be trained on")

    def _refused(self, key: str, cause: str, where: str) -> None:
        """A cause as `records` words it, which begins with its key: "label is -3"."""
        word, _, rest = cause.partition(" ")
        self.findings.add("error", where, word if word in EXPECTED else key, rest.removeprefix("is ") or cause)

    def _values(self, frames: np.ndarray, record: dict[str, Any], where: str, high: np.ndarray | None) -> bool:
        """Note problems of the values; return whether all are finite."""
        shape = records.shape_of(record, frames)
        coordinates = frames[..., : shape[1]]
        if self.shape is not None and shape != self.shape:
            self.findings.add("error", where, "keypoint", words(shape), f"{words(self.shape)}, as {self.first} has")
            return False
        if high is None:
            if not records.is_finite(frames):
                key, values = ("keypoint", coordinates)
                if np.isfinite(coordinates).all():
                    key, values = "keypoint_score", frames[..., -1]
                lost = ~np.isfinite(values)
                frame = int(np.argwhere(lost)[0][1])
                found = f"NaN or infinite: {np.count_nonzero(lost):,} of {values.size:,} values, first in frame {frame}"
                self.findings.add("error", where, key, found)
                return False
            if not coordinates.any():
                self.findings.add("warning", where, "keypoint", "all zeros: no person in any frame", "a person")
                return True
            self._frames(coordinates, where)
            high = self._measured(frames.reshape(-1, *frames.shape[2:]))
        sample = frames[:, ::_SAMPLED]
        if shape[1] == 2:
            self._image(sample[..., :2], record, where, high)
        other = self.contents.setdefault((hash(sample.tobytes()), *frames.shape), where)
        if other != where:
            self.findings.add("warning", where, "keypoint", f"the same values as {other}", "a clip of its own")
        return True

    def _image(self, coordinates_MTVC: np.ndarray, record: dict[str, Any], where: str, high: np.ndarray) -> None:
        """The size of the image that pixels are divided by: missing, invalid, or too small for the joints."""
        height, width = records.image_size_of(record)
        if not height and record.get("img_shape") is not None:
            found = f"{shown(record['img_shape'])}; 1920 x 1080 pixels are assumed"
            self.findings.add("error", where, "img_shape", found)
        elif not height:
            found = "missing, so 1920 x 1080 pixels are assumed"
            self.findings.add(
                "warning", where, "img_shape", found, f"{EXPECTED['img_shape']}, or --image-size WIDTHxHEIGHT"
            )
        elif findings.is_beyond(high, (height, width)) and (
            found := findings.image_problem(coordinates_MTVC, (height, width))
        ):
            self.findings.add("warning", where, "img_shape", found)

    def _frames(self, coordinates_MTVC: np.ndarray, where: str) -> None:
        """Clips without motion, and those that are mostly empty: their frames may be numbered otherwise than was thought."""
        frames = coordinates_MTVC.shape[1]
        if frames == 1:
            found = "a single frame, which holds no motion (are these the frames of longer clips?)"
            self.findings.add("warning", where, "keypoint", found, "")
            return
        empty = frames - int(coordinates_MTVC.any(axis=(0, 2, 3)).sum())
        if 2 * empty > frames:
            self.findings.add("warning", where, "keypoint", f"no person in {empty:,} of {frames:,} frames", "")

    def finish(self, names: Sequence[str] = (), splits: Mapping[str, Sequence[str]] | None = None) -> Findings:
        """Add the problems of all records together; `names` are those of the classes."""
        self._check_labels(names)
        self._check_names()
        for found, expected in findings.unit_problems(self.shape, self.largest, self.third) if self.shape else ():
            self.findings.add("warning", _ALL, "keypoint", found, expected)
        for key, count in self.unknown.items():
            self.findings.add(
                "note", f"{count:,} of {self.findings.clips:,} records", key, "a key that is not used here", ""
            )
        if not self.findings.clips:
            self.findings.add("error", _ALL, "record", "no records found", "records")
        if splits is not None:
            findings.check_splits(self.findings, self.names, splits)
        return self.findings

    def _check_labels(self, names: Sequence[str]) -> None:
        """Labels that leave gaps, count from 1, are all alike, or have no name."""
        for found, expected in findings.label_problems({label for labels in self.labels.values() for label in labels}):
            self.findings.add("warning", _ALL, "label", found, expected)
        for name, labels in self.labels.items() if names else ():
            for label in labels:
                if label >= len(names):
                    expected = f"0 to {len(names) - 1}, for {len(names)} classes"
                    self.findings.add("error", name, "label", str(label), expected)

    def _check_names(self) -> None:
        """Names that occur more than once; under several labels, as in BABEL, that may be intended."""
        for name, labels in self.labels.items():
            for label, count in Counter(labels).items():
                if count > 1:
                    found = f"{count} records of this name with label {label}"
                    self.findings.add("warning", name, "frame_dir", found, "one")
            if len(set(labels)) > 1:
                listed = ", ".join(map(str, sorted(set(labels))))
                self.findings.add("note", name, "label", f"one name under the labels {listed}", "")


def _are_seen(rows_RVC: np.ndarray, clips: Sequence[Any], coordinates: int) -> list[bool]:
    """Return for each clip whether its first person is in every frame, of at least two."""
    seen = rows_RVC[:, -1, 0] != 0  # in most clips the last joint shows it
    if not seen.all():
        unclear = np.flatnonzero(~seen)
        seen[unclear] = rows_RVC[unclear, :, :coordinates].any(axis=(1, 2))
    if seen.all():
        return [clip.shape[0] > 0 and clip.shape[1] > 1 for clip in clips]
    starts = np.cumsum([0, *(clip.shape[0] * clip.shape[1] for clip in clips[:-1])])
    return [
        clip.shape[0] > 0 and clip.shape[1] > 1 and bool(seen[start : start + clip.shape[1]].all())
        for start, clip in zip(starts, clips, strict=True)
    ]
