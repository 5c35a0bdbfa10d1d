"""Every command as it is typed, for laws that hold for all: a new command is covered by a line in `COMMANDS`.

OUT in its words is the output; all other files in them are inputs, which `setting` makes.
"""

import ctypes
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stgcn_cli.config import presets
from tests.conftest import SMALL, make_records, write_small_data
from tests.factories.checkpoints import SMALL as MADE
from tests.factories.checkpoints import made
from tests.factories.skeletons import text, write_zip

OUT = "OUT"
_NOWHERE = ("--base-url", "http://127.0.0.1:9")


@dataclass(frozen=True, kw_only=True)
class Command:
    """What is typed. `suffix`: of the file it writes; "/" for a folder, "" when it writes nothing under a given name."""

    words: tuple[str, ...]
    suffix: str = ""
    force: bool = True  # it has --force
    slow: bool = False  # it works for seconds
    streams: bool = True  # it can write to stdout

    @property
    def inputs(self) -> list[str]:
        """The words that are files or folders of `setting`."""
        return [word for word in self.words if word in INPUTS]

    def typed(self, changes: dict[str, object]) -> list[str]:
        """The words with some of them replaced."""
        return [str(changes.get(word, word)) for word in self.words]


INPUTS = (
    "best.pth",
    "data/ntu60.pkl",
    "clip.skeleton",
    "raw.zip",
    "r.npz",
    "s.npz",
    "run",
    "clips.csv",
    "own.toml",
    "data",
)

# One line a command.
COMMANDS = {
    "prepare": Command(words=("prepare", "ntu60", "--source", "raw.zip", "--workers", "1", "--out", OUT), suffix=".pkl"),
    "data inspect": Command(words=("data", "inspect", "data/ntu60.pkl")),
    "data validate": Command(words=("data", "validate", "data/ntu60.pkl")),
    "data convert": Command(words=("data", "convert", "clip.skeleton", "--split", "train", "--out", OUT), suffix=".pkl"),
    "data convert csv": Command(words=("data", "convert", "clips.csv", "--layout", "own.toml", "--split", "train", "--out", OUT), suffix=".pkl"),
    "data merge": Command(words=("data", "merge", "data/ntu60.pkl", "--out", OUT), suffix=".pkl"),
    "train": Command(words=("train", "--preset", "ntu60-xsub-3d", *SMALL, "--no-report", "--epochs", "1", "--data", "data/ntu60.pkl", "--work-dir", OUT), suffix="/", slow=True),
    "eval": Command(words=("eval", "best.pth", "--data", "data/ntu60.pkl", "--device", "cpu", "--out", OUT), suffix=".json"),
    "eval pkl": Command(words=("eval", "best.pth", "--data", "data/ntu60.pkl", "--device", "cpu", "--out", OUT), suffix=".pkl"),
    "fuse": Command(words=("fuse", "r.npz", "s.npz", "--out", OUT), suffix=".csv"),
    "predict": Command(words=("predict", "best.pth", "clip.skeleton", "--device", "cpu", "--out", OUT), suffix=".csv"),
    "view": Command(words=("view", "clip.skeleton", "--out", OUT), suffix=".html"),
    "view layout": Command(words=("view", "--layout", "own.toml", "--out", OUT), suffix=".svg"),
    "report": Command(words=("report", "r.npz", "--out", OUT), suffix=".html"),
    "report run": Command(words=("report", "run", "--data", "data/ntu60.pkl", "--out", OUT), suffix=".html"),
    "presets show": Command(words=("presets", "show", "./own-preset.toml")),
    "download": Command(words=("download", "babel60-wfl", "--cache-dir", OUT, *_NOWHERE), suffix="/"),
    "checkpoint inspect": Command(words=("checkpoint", "inspect", "best.pth")),
    "checkpoint convert": Command(words=("checkpoint", "convert", "best.pth", OUT), suffix=".pth"),
    "export": Command(words=("export", "best.pth", "--out", OUT), suffix=".pt2", slow=True),
    "runs": Command(words=("runs", "run")),
    "demo": Command(words=("demo", "--epochs", "1", "--device", "cpu", "--out", OUT), suffix="/", slow=True),
    "bench": Command(words=("bench", "--preset", "./own-preset.toml", "--data", "data/ntu60.pkl"), slow=True),
}  # fmt: skip
OWN = (
    *MADE,
    'data.classes=["l\u00e4uft", "\u5750\u4e0b", "=1+1"]',
)  # names that few fonts and no ASCII has, and a formula
NO_PATHS = ("doctor",)
FILES = [name for name, command in COMMANDS.items() if command.suffix not in ("", "/")]


def setting(folder: Path, run: object) -> Path:
    """The inputs, in an empty folder; `run` is `run_stgcn`."""
    write_small_data(folder / "data")
    made(folder / "best.pth", settings=OWN)
    (folder / "clip.skeleton").write_bytes(text([1] * 9))
    names = [f"S001C00{c}P00{p}R001A00{a}" for a in (1, 2, 3) for c in (1, 2) for p in (1, 2, 3)]
    write_zip(folder / "raw.zip", {name: text([1, 1, 1], seed) for seed, name in enumerate(names)})
    (folder / "own.toml").write_text(
        'name = "own"\njoints = ["a", "b", "c"]\nbones = [["a", "b"], ["c", "b"]]\ncentre = "b"\n'
    )
    rng = np.random.default_rng(0)
    rows = [f"c1,{t},0,{j},{x:.3f},{y:.3f},1" for t in range(9) for j in range(3) for x, y in [rng.normal(0, 1, 2)]]
    (folder / "clips.csv").write_text("\n".join(["clip,frame,person,joint,x,y,label", *rows]) + "\n")
    assert run(folder, "eval", "best.pth", "--data", "data/ntu60.pkl", "--device", "cpu", "--out", "r.npz").code == 0
    (folder / "run").mkdir()
    shutil.copy(folder / "r.npz", folder / "run" / "best.result.npz")
    shutil.copy(folder / "r.npz", folder / "s.npz")
    for name in ("run/preset.toml", "own-preset.toml"):
        (folder / name).write_text(presets.to_toml(presets.load("ntu60-xsub-3d", OWN)))
    for path in folder.glob("r.[!n]*"):  # the files beside it
        path.unlink()
    return folder


def give_up_rights() -> None:
    """Take from root what makes it read and write everything; others have no such rights."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")


def records_with(names: list[str]) -> bytes:
    """An annotation pickle whose clips have these names."""
    records = make_records(len(names))
    for record, name in zip(records, names, strict=True):
        record["frame_dir"] = name
    return pickle.dumps({"split": {"xsub_train": names, "xsub_val": names}, "annotations": records})
