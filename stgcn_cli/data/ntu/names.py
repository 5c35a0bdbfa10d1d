"""Sample names of NTU RGB+D and the official splits. Pure functions and literal tables.

Source: Shahroudy et al. 2016 (NTU RGB+D), Liu et al. 2019 (NTU RGB+D 120), rose1.ntu.edu.sg/dataset/actionRecognition.
"""

import functools
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources

_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")

_PERSONS_60 = frozenset({1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38})
_PERSONS_120 = _PERSONS_60 | {
    *(45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86),
    *(89, 91, 92, 93, 94, 95, 97, 98, 100, 103),
}
TRAIN_SUBJECTS = {"ntu60": _PERSONS_60, "ntu120": _PERSONS_120}
_TRAIN_CAMERAS = frozenset({2, 3})

_OTHER_NAMES = {"xsetup": "xset", "cross-subject": "xsub", "cross-view": "xview", "cross-setup": "xset"}
_FOLDERS = {"xset": "xsetup"}  # MMAction2's folder of a benchmark, where its name differs


def benchmark_name(name: str) -> str:
    """The name used here for a benchmark that is also known by another; other names are returned unchanged."""
    return _OTHER_NAMES.get(name, name)


def benchmark_folder(benchmark: str) -> str:
    """The folder in which MMAction2 0.x has the lists of a benchmark."""
    return _FOLDERS.get(benchmark, benchmark)


@dataclass(frozen=True, slots=True)
class NtuName:
    """The parts of SsssCcccPpppRrrrAaaa; every number counts from 1, as in the name."""

    setup: int
    camera: int
    person: int
    replication: int
    action: int


@dataclass(frozen=True)
class NtuDataset:
    """One of the two releases: its archives, the training samples of each benchmark, and the official counts."""

    name: str
    last_setup: int
    archives: tuple[str, ...]
    benchmarks: Mapping[str, Callable[[NtuName], bool]]  # benchmark -> "is a training sample"
    official: Mapping[str, int]  # clips, classes, persons, and the clips of each split, after dropping missing samples

    @property
    def classes(self) -> int:
        """Actions are numbered from 1 to this."""
        return self.official["classes"]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits: xsub_train, xsub_val, ..."""
        return tuple(f"{benchmark}_{part}" for benchmark in self.benchmarks for part in ("train", "val"))


NTU = {
    "ntu60": NtuDataset(
        name="ntu60",
        last_setup=17,
        archives=("nturgbd_skeletons_s001_to_s017.zip",),
        benchmarks={
            "xsub": lambda n: n.person in TRAIN_SUBJECTS["ntu60"],
            "xview": lambda n: n.camera in _TRAIN_CAMERAS,
        },
        official={
            **{"clips": 56_578, "classes": 60, "persons": 40, "missing_dropped": 302},
            **{"xsub_train": 40_091, "xsub_val": 16_487, "xview_train": 37_646, "xview_val": 18_932},
        },
    ),
    "ntu120": NtuDataset(
        name="ntu120",
        last_setup=32,
        archives=("nturgbd_skeletons_s001_to_s017.zip", "nturgbd_skeletons_s018_to_s032.zip"),
        benchmarks={"xsub": lambda n: n.person in TRAIN_SUBJECTS["ntu120"], "xset": lambda n: n.setup % 2 == 0},
        official={
            **{"clips": 113_945, "classes": 120, "persons": 106, "missing_dropped": 535},
            **{"xsub_train": 63_026, "xsub_val": 50_919, "xset_train": 54_468, "xset_val": 59_477},
        },
    ),
}
BENCHMARKS = frozenset(benchmark for dataset in NTU.values() for benchmark in dataset.benchmarks)


def parse_name(text: str) -> NtuName | None:
    """The parts of a sample name such as S001C002P003R002A013, or None when `text` is not one."""
    match = _NAME.fullmatch(text)
    return NtuName(*map(int, match.groups())) if match and match.group().isascii() else None


def split_of(dataset: NtuDataset, benchmark: str, name: NtuName) -> str:
    """The split `name` belongs to in `benchmark`: "xsub_train", "xsub_val", ..."""
    return f"{benchmark}_{'train' if dataset.benchmarks[benchmark](name) else 'val'}"


@functools.cache
def missing_samples() -> frozenset[str]:
    """Names of the 535 samples whose skeletons are missing or incomplete; 302 of them are in NTU 60."""
    text = resources.files("stgcn_cli.data.ntu").joinpath("missing.toml").read_text("utf-8")
    return frozenset(setup + rest for setup, names in tomllib.loads(text).items() for rest in names.split())
