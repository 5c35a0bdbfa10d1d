"""Foreign files -> records: one small module a format, one line each in the table below.

The other modules are what they share.

A reader takes a path and yields records: keypoint (M T V C) float32, where known keypoint_score (M T V), label (index or name),
subject, img_shape (height, width), total_frames, splits, layout (a Layout) where the file or its format tells the skeleton, and
axes where a shape had to be understood. It leaves out frame_dir where the file itself is the clip. What is wrong raises DataError, ValueError or OSError with the cause; `inputs.py` names the file. To add a format: write its module, add its line.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgcn_cli.data.readers import (
    annotation,
    array_files,
    arrays,
    bvh,
    coco,
    frame_list,
    json_looks,
    kinetics,
    mmpose,
    ntu_text,
    openpose,
    table,
    ucla,
    yolo,
)
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.io import foreign
from stgcn_cli.io.own_files import read_regular

_HEAD = 1 << 16  # bytes of a file that tell what it is


@dataclass(frozen=True)
class Format:
    """One kind of file. `fits` looks at the beginning of one whose suffix is not enough to know it by."""

    what: str  # for people
    suffixes: tuple[str, ...]
    read: Callable[[Path, Options], Iterator[dict[str, Any]]]
    raw: bool = True  # the coordinates of a sensor; False: prepared already
    fits: Callable[[bytes], bool] = lambda head: True
    kinds: tuple[str, ...] = ()  # of `io.foreign` that its files are; none for texts
    # Of formats that have a file for each frame: the clip of such files and their numbers, and whether a file is one of them.
    read_frames: Callable[[Sequence[int], Sequence[Path], Options], dict[str, Any]] | None = None
    is_frame: Callable[[bytes], bool] = lambda head: True


FORMATS = {
    "skeleton": Format("NTU RGB+D text, 25 joints in 3-D; also a zip of them", (".skeleton",), ntu_text.read),
    "pickle": Format("annotation pickle, either dialect", (".pkl", ".pickle"), annotation.read, raw=False, kinds=("pickle",)),
    "npy": Format(
        "one array: T V C, M T V C, C T V M and others; also a file a frame", (".npy",), array_files.read_npy, kinds=("npy",),
        read_frames=arrays.read_frames, is_frame=arrays.is_frame,
    ),
    "npz": Format("arrays by name: keypoint and more", (".npz",), array_files.read_npz, kinds=("npz", "zip", "result")),
    "csv": Format(
        "a text table, a row a frame or a row a joint", (".csv", ".tsv"), table.read, fits=table.fits,
        read_frames=table.read_frames, is_frame=table.is_frame,
    ),
    "bvh": Format("BVH motion capture, positions by forward kinematics", (".bvh",), bvh.read, fits=bvh.fits),
    "yolo": Format("YOLO-pose texts, a file a frame", (".txt",), yolo.read, fits=yolo.fits, read_frames=yolo.read_frames),
    # JSON, the more particular ones first
    "kinetics": Format("Kinetics-Skeleton JSON, a file a clip", (".json",), kinetics.read, fits=kinetics.fits),
    "ucla": Format("NW-UCLA JSON, a file a clip", (".json",), ucla.read, fits=ucla.fits),
    "openpose": Format(
        "OpenPose's JSON, a file a frame", (".json",), openpose.read, fits=openpose.fits,
        read_frames=openpose.read_frames,
    ),
    "ultralytics": Format(
        "ultralytics' result.to_json(), a file a frame or a list of them", (".json",), frame_list.read,
        fits=json_looks.is_ultralytics, read_frames=frame_list.read_frames, is_frame=json_looks.is_ultralytics_frame,
    ),
    "mmpose": Format(
        "MMPose predictions of a video, or of pictures, a file each", (".json",), mmpose.read, fits=mmpose.fits,
        read_frames=mmpose.read_frames, is_frame=mmpose.is_picture,
    ),
    "coco": Format("COCO keypoints, COCO results, AlphaPose", (".json",), coco.read, fits=coco.fits),
    "alphapose": Format("AlphaPose's maps of pictures or of persons", (".json",), frame_list.read, fits=json_looks.is_map),
    "frames": Format(
        "JSON of one's own: a list of frames of persons", (".json", ".jsonl", ".ndjson"), frame_list.read, fits=json_looks.fits,
        read_frames=frame_list.read_frames, is_frame=json_looks.is_frame,
    ),
    "rows": Format("a table in JSON, as pandas writes it", (".json", ".jsonl", ".ndjson"), table.read_json, fits=table.fits_json),
}  # fmt: skip


def read_file(path: Path, format: str, options: Options) -> Iterator[dict[str, Any]]:
    """The records of a file, read as this format. Raises DataError for one that is evidently something else."""
    known = FORMATS[format]
    foreign.refuse(path, foreign.head_of(path), f"{format}: {known.what}", known.kinds)
    yield from known.read(path, options)


def recognise(path: Path) -> str | None:
    """The name of the format of the file `path`, or None. Raises OSError."""
    named = [name for name, format in FORMATS.items() if path.suffix.lower() in format.suffixes]
    if not named:
        return None
    head = _head(path)
    kind = foreign.kind_of(head)
    if kind and kind.key in foreign.NOT_DATA:
        return named[0]  # to be refused for what it is
    found = next((name for name in named if FORMATS[name].fits(head)), None)
    return "csv" if found is None and path.suffix.lower() == ".txt" and table.fits_text(head) else found


def by_suffix(path: Path) -> str | None:
    """The only format of files that are called so, which says what is wrong in one; None for several and for any .txt."""
    named = [name for name, format in FORMATS.items() if path.suffix.lower() in format.suffixes]
    return named[0] if len(named) == 1 and path.suffix.lower() != ".txt" else None


def sniffed(path: Path) -> str | None:
    """The format of a text under a name that says nothing, by its beginning. Raises OSError."""
    head = _head(path)
    if foreign.kind_of(head) is not None or b"\0" in head:
        return None
    named = (name for name, format in FORMATS.items() if not format.kinds and name not in ("skeleton", "csv"))
    try:
        return next((name for name in named if FORMATS[name].fits(head)), None) or (
            "csv" if table.has_joints(head) else None
        )
    except ValueError:
        return None


def is_frame(path: Path, name: str) -> bool:
    """Whether the file is one frame of a clip, as files of the format `name` may be. Raises OSError."""
    format, head = FORMATS[name], _head(path)
    kind = foreign.kind_of(head)
    return format.read_frames is not None and not (kind and kind.key in foreign.NOT_DATA) and format.is_frame(head)


def _head(path: Path) -> bytes:
    """The first bytes of a file, of a text in UTF-16 or UTF-32 in UTF-8."""
    return foreign.as_utf8(read_regular(path, _HEAD))
