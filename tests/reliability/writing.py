"""Every command that writes, on data so small that a call takes a second or two: for disks that fill up, and for crashes."""

import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from tests.conftest import SMALL, make_records
from tests.factories.http_server import Mirror, Served
from tests.factories.releases import made_up, write_archive, write_split
from tests.factories.skeletons import text, write_zip
from tests.reliability.disks import Disk

WITH_REPORT = ("train", "--preset", "ntu60-xsub-3d", *SMALL, "--data", "data", "--work-dir", "run")
RECIPE = (*WITH_REPORT, "--no-report")
TRAIN = (
    *WITH_REPORT,
    "--test-best",
    "--set",
    "train.validate_every=1",
    "train.log_every=1",
    "train.checkpoint_every=1",
)
RAW = ("prepare", "ntu60", "--source", "raw.zip", "--workers", "1")


@dataclass(frozen=True)
class Command:
    """A command that writes. `given` makes what it reads; `again` is typed after a failure (default: the same words)."""

    words: tuple[str, ...]
    given: Callable[[Disk], None]
    again: tuple[str, ...] = ()
    only: str = ""  # the changes looked at: those below this name; the others are another command's
    keeps_part: bool = False  # a download goes on from it
    url: str = ""  # what it asks a server for


def nothing(disk: Disk) -> None:
    """It needs no files."""


def raw_clips(disk: Disk) -> None:
    """A zip of 24 skeleton texts of 3 actions, in both halves of both benchmarks."""
    names = [f"S001C00{c}P00{p}R001A00{a}" for a in (1, 2, 3) for c in (1, 2) for p in (1, 2, 3, 6)]
    write_zip(disk.seen / "raw.zip", {name: text([1, 1, 1], seed) for seed, name in enumerate(names)})


def keypoints(disk: Disk) -> None:
    """Two lists of 2-D records, as published."""
    size = (1080, 1920)
    for part, seed in (("train", 0), ("val", 1)):
        records = make_records(6, joints=17, seed=seed, img_shape=size, original_shape=size)
        for record in records:
            record["frame_dir"] = f"{part}{record['frame_dir']}"
            record["keypoint_score"], record["keypoint"] = record["keypoint"][..., 2], record["keypoint"][..., :2]
        (disk.seen / f"ntu60_xsub_{part}.pkl").write_bytes(pickle.dumps(records))


def babel_archive(disk: Disk) -> None:
    """A release of two splits, packed."""
    shutil.rmtree(disk.beside / "release", ignore_errors=True)
    folder = write_split(disk.beside / "release", "train", made_up(8))
    write_archive(disk.seen / "babel.tar.gz", write_split(folder, "val", made_up(4, "b", 1)))


def annotations(disk: Disk) -> None:
    """A data folder with 8 training and 4 validation clips of 3 classes."""
    records = make_records(12)
    names = [record["frame_dir"] for record in records]
    splits = {"xsub_train": names[:8], "xsub_val": names[8:]}
    (disk.seen / "data").mkdir()
    (disk.seen / "data" / "ntu60.pkl").write_bytes(pickle.dumps({"split": splits, "annotations": records}))


def annotations_and_store(disk: Disk) -> None:
    """The same, with its store in the cache."""
    annotations(disk)
    _must(disk, *RECIPE, "--epochs", "1", "--no-validate")
    shutil.rmtree(disk.seen / "run")


def checkpoint(disk: Disk) -> None:
    """The data folder without a store, and a checkpoint."""
    annotations(disk)
    _must(disk, *RECIPE, "--epochs", "1")
    shutil.copy(disk.seen / "run" / "best.pth", disk.seen / "best.pth")
    shutil.rmtree(disk.seen / "run")
    shutil.rmtree(disk.seen / "cache")


def two_results(disk: Disk) -> None:
    """Two saved results of one checkpoint."""
    checkpoint(disk)
    for name in ("r.npz", "s.npz"):
        _must(disk, "eval", "best.pth", "--no-report", "--out", name)


def prepared(disk: Disk) -> None:
    """A checkpoint, and a pickle that `prepare` made: its store is built beside it."""
    checkpoint(disk)
    raw_clips(disk)
    _must(disk, *RAW, "--out", "data/ntu60.pkl", "--force")


def trained(disk: Disk) -> None:
    """A finished run."""
    annotations(disk)
    _must(disk, *RECIPE, "--epochs", "1")


def _must(disk: Disk, *words: str) -> None:
    said = disk.run(*words)
    assert said.code == 0, said.err


def serve(mirror: Mirror) -> None:
    """Have the server give what commands ask it for."""
    content = pickle.dumps(make_records(20))
    mirror.files |= {command.url: Served(content) for command in COMMANDS.values() if command.url}


# One line a command, or a format of its output.
COMMANDS = {
    "train": Command(TRAIN, annotations_and_store, (*TRAIN, "--resume-or-start")),
    "prepare, one file": Command((*RAW, "--out", "new/x.pkl"), raw_clips),
    "prepare, lists": Command((*RAW, "--out", "new", "--format", "list"), raw_clips),
    "prepare, keypoints": Command(
        ("prepare", "ntu60-2d", "--source", "ntu60_xsub_train.pkl", "--source", "ntu60_xsub_val.pkl", "--out", "2d.pkl"),
        keypoints,
    ),
    "prepare, archive": Command(("prepare", "babel60", "--source", "babel.tar.gz", "--out", "b.pkl"), babel_archive),
    "eval, pkl": Command(("eval", "best.pth", "--out", "new/r.pkl"), checkpoint),
    "eval, json": Command(("eval", "best.pth", "--out", "r.json"), checkpoint, only="r."),
    "eval, csv": Command(("eval", "best.pth", "--out", "r.csv"), checkpoint, only="r."),
    "eval, npz": Command(("eval", "best.pth", "--out", "r.npz"), checkpoint, only="r."),
    "eval, store beside": Command(("eval", "best.pth", "--out", "r.pkl"), prepared, only="data/"),
    "train, tensorboard": Command(
        (*RECIPE, "--tensorboard", "--no-validate"), annotations_and_store,
        (*RECIPE, "--tensorboard", "--no-validate", "--resume-or-start"), only="run/tensorboard"
    ),
    "predict, json": Command(("predict", "best.pth", "data/ntu60.pkl", "--out", "p.json"), checkpoint, only="p."),
    "predict, csv": Command(("predict", "best.pth", "data/ntu60.pkl", "--out", "p.csv"), checkpoint, only="p."),
    "view, page": Command(("view", "raw.zip", "--out", "v.html"), raw_clips),
    "view, gif": Command(("view", "raw.zip", "--out", "v.gif"), raw_clips),
    "view, png": Command(("view", "raw.zip", "--out", "v.png"), raw_clips),
    "view, layout": Command(("view", "--layout", "ntu", "--out", "l.svg"), nothing),
    "report": Command(("report", "run"), trained, only="run/report"),
    "data convert": Command(("data", "convert", "raw.zip", "--out", "own/own.pkl"), raw_clips,
        ("data", "convert", "raw.zip", "--out", "own/own.pkl", "--force")),
    "data convert, lists": Command(("data", "convert", "raw.zip", "--out", "own.pkl", "--format", "list"), raw_clips,
        ("data", "convert", "raw.zip", "--out", "own.pkl", "--format", "list", "--force")),
    "data merge": Command(("data", "merge", "data/ntu60.pkl", "--out", "merged.pkl"), annotations,
        ("data", "merge", "data/ntu60.pkl", "--out", "merged.pkl", "--force")),
    "convert": Command(("checkpoint", "convert", "best.pth", "out.pth"), checkpoint, ("checkpoint", "convert", "best.pth", "out.pth", "--force")),
    "download": Command(
        ("download", "ntu60_xsub_val"), nothing, keeps_part=True, url="/posec3d/ntu60_xsub_val.pkl"
    ),
    "fuse": Command(("fuse", "r.npz", "s.npz", "--out", "f.csv"), two_results, only="f."),
    "export": Command(("export", "best.pth", "--out", "m.pt2"), checkpoint, ("export", "best.pth", "--out", "m.pt2", "--force"), only="m."),
    "demo": Command(("demo", "--epochs", "1", "--device", "cpu", "--out", "demo"), nothing, only="demo/demo_s"),
}  # fmt: skip
SAMPLE = ("train", "prepare, lists", "data merge")  # for tests that cannot take all
WRITE_NOTHING = ("presets", "doctor", "bench", "runs")  # that stays
