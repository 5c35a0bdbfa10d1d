"""What MMAction2 0.x, PYSKL and BABEL's authors publish, one entry a system. Facts only."""

import re
from dataclasses import dataclass, replace
from typing import Any

from stgcn_cli.config import pyskl_table

BASE_URL = "https://download.openmmlab.com/mmaction"
BABEL_URL = "https://human-movement.is.tue.mpg.de/release/ckpts"
_PYSKL_CODE = "https://raw.githubusercontent.com/kennymckormick/pyskl/main"
_STEPS = re.compile(r"-\d+-\d+$")  # epoch and iteration, with which BABEL's program ends the names of its checkpoints


@dataclass(frozen=True)
class Published:
    """A published system: percentages on its validation split, and where its files lie."""

    preset: str
    name: str
    skeleton: str  # "2d" or "3d"
    gpus: int | None  # None: not published
    top1: float | None  # None: not published
    sha256_prefix: str = ""  # first 8 hex digits of the weights' sha256; empty where none is published
    mean_class: float | None = None
    agcn_top1: float | None = None  # the BABEL authors' own baseline on the same clips
    agcn_mean_class: float | None = None
    released: tuple[float, float] | None = None  # top-1 and mean class of the released weights, where they differ
    class_counts: str = ""  # by what the published run counted the clips of a class for its loss
    log_folder: str = ""  # where the page links the log, when not in the system's own folder
    has_json: bool = False
    val_clips: int | None = None  # clips of the official validation split, where they are published
    folder: str = ""  # below the base address
    aliases: tuple[str, ...] = ()  # other names of the system, and of its configurations
    base: str = BASE_URL
    stream: str = "joint"
    fused: tuple[float, float] | None = None  # top-1 of this stream with its siblings: two, four
    own_file: bool = (
        True  # whether the name of the file is its own: PYSKL's are all called j.pth, b.pth, jm.pth or bm.pth
    )
    steps: str = ""  # epoch and iteration at the end of the name, for weights of BABEL's own program

    @property
    def label(self) -> str:
        """What the preset is called with this stream."""
        return self.preset if self.stream == "joint" else f"{self.preset}-{self.stream}"

    @property
    def weights(self) -> str:
        """Path of the checkpoint below the base address."""
        if self.steps:
            return f"{self.name}-{self.steps}.pt"
        if not self.own_file:
            return self.folder
        return f"{self.folder}/{self.name}-{self.sha256_prefix}.pth"

    @property
    def megabytes(self) -> float:
        """Approximate size of the weights: parameters and buffers of the network in float32."""
        if self.preset == "hagrid-stgcnpp":
            return 0.9  # 40 classes, six narrow blocks
        return 5.7 if "stgcnpp" in self.preset else 13.9 if "agcn" in self.preset else 12.4

    @property
    def logs(self) -> tuple[str, ...]:
        """Paths of the training log below the base address, the likelier first; none where it is not published."""
        if self.steps or not self.own_file:
            return ()
        paths = [f"{self.folder}/{self.name}.log"]
        if self.has_json:
            paths.append(f"{self.folder}/{self.name}.json")
        if self.log_folder:
            paths.append(f"skeleton/stgcn/{self.log_folder}/{self.name}.log")
        return tuple(paths)


def _stgcn(preset: str, name: str, *figures: Any, **more: Any) -> Published:
    return replace(Published(preset, name, *figures, **more), folder=f"skeleton/stgcn/{name}")


def _agcn(preset: str, name: str, *figures: Any, **more: Any) -> Published:
    entry = Published(preset, name, "3d", *figures, **more)
    return replace(entry, folder=f"skeleton/2s-agcn/{name}", has_json=True)


def _babel_agcn(preset: str, name: str, steps: str, figures: tuple[float, float], **more: Any) -> Published:
    entry = Published(preset, f"{name}_agcn_joint_const_lr_1e-3", "3d", None, figures[0], mean_class=figures[1], **more)
    return replace(entry, base=BABEL_URL, steps=steps)


_FIRST_SEEN, _BY_CLASS = "by first appearance", "by class"
PUBLISHED = (
    _stgcn("ntu60-xsub-2d", "stgcn_80e_ntu60_xsub_keypoint", "2d", 2, 86.91, "e7bb9653", has_json=True, val_clips=16_487),
    _stgcn("ntu60-xsub-3d", "stgcn_80e_ntu60_xsub_keypoint_3d", "3d", 1, 84.61, "13e7ccf0", has_json=True, val_clips=16_487),
    _stgcn("babel60", "stgcn_80e_babel60", "3d", 8, 42.39, "3d206418", 28.28, 41.14, 24.46),
    _stgcn("babel60-wfl", "stgcn_80e_babel60_wfl", "3d", 8, 40.31, "1a9102d7", 29.79, 33.41, 30.42,
           class_counts=_FIRST_SEEN, log_folder="stgcn_80e_babel60"),
    _stgcn("babel120", "stgcn_80e_babel120", "3d", 8, 38.95, "e41eb6d7", 20.58, 38.41, 17.56,
           log_folder="stgcn_80e_babel60"),
    _stgcn("babel120-wfl", "stgcn_80e_babel120_wfl", "3d", 8, 33.00, "3f2c100d", 24.33, 27.91, 26.17,
           class_counts=_FIRST_SEEN, log_folder="stgcn_80e_babel60"),
    _babel_agcn("babel60-agcn", "ntu_sk_60", "17-6390", (41.14, 24.46), released=(42, 24),
                aliases=("train_60", "test_60")),
    _babel_agcn("babel60-wfl-agcn", "wfl_ntu_sk_60", "93-33370", (33.41, 30.42), released=(34, 30),
                class_counts=_BY_CLASS, aliases=("train_60_wfl", "test_60_wfl")),
    _babel_agcn("babel120-agcn", "ntu_sk_120", "15-12240", (38.41, 17.56), released=(40, 16),
                aliases=("train_120", "test_120")),
    _babel_agcn("babel120-wfl-agcn", "wfl_ntu_sk_120", "157-60356", (27.91, 26.17), released=(29, 23),
                class_counts=_BY_CLASS, aliases=("train_120_wfl", "test_120_wfl")),
    _agcn("ntu60-xsub-3d-agcn", "2sagcn_80e_ntu60_xsub_keypoint_3d", 1, 86.06, "3bed61ba", val_clips=16_487,
          aliases=("agcn_80e_ntu60_xsub_keypoint_3d",)),
    _agcn("ntu60-xsub-3d-agcn-bone", "2sagcn_80e_ntu60_xsub_bone_3d", 2, 86.89, "278b8815", val_clips=16_487,
          aliases=("agcn_80e_ntu60_xsub_bone_3d",)),
)  # fmt: skip


def _pyskl() -> tuple[Published, ...]:
    """One entry for each stream; the joint stream has the name of the preset, the others end in that of the stream."""
    entries = []
    for system in pyskl_table.SYSTEMS:
        for (stream, file), top1 in zip(pyskl_table.STREAMS.items(), system.streams, strict=True):
            entries.append(Published(
                system.preset, f"{system.folder.rpartition('/')[2]}_{file}", system.preset.split("-")[2], 8, top1,
                folder=f"{pyskl_table.FOLDER}/{system.folder}/{file}.pth", stream=stream, fused=system.fused, own_file=False,
                aliases=(f"{system.preset}-{stream}",), val_clips=16_487 if "ntu60-xsub" in system.preset else None,
            ))  # fmt: skip
    hands = Published(
        "hagrid-stgcnpp",
        "hagrid",
        "2d",
        None,
        None,
        "14d3e55e",
        folder="demo/hagrid.pth",
        base=_PYSKL_CODE,
        own_file=False,
    )
    return (*entries, hands)


PYSKL = _pyskl()
RETIRED = {  # published weights of another network under the name of the present one: what they are
    f"{name}-{prefix}": (
        f"the weights {name}-{prefix} of November 2021 ({top1} % top-1) belong to an earlier network with ST-GCN's "
        f"temporal part (tcn.3.*), which is not built here"
    )
    for name, prefix, top1 in (
        ("2sagcn_80e_ntu60_xsub_keypoint_3d", "e9c57448", "86.82"),
        ("2sagcn_80e_ntu60_xsub_bone_3d", "aef54a2d", "87.91"),
    )
}


@dataclass(frozen=True)
class Annotations:
    """A published annotation pickle. Its name holds no hash, so what arrives can be looked at but not verified."""

    name: str
    dataset: str  # what `stgcn prepare` makes of it
    folder: str  # below the base address

    @property
    def path(self) -> str:
        """Path below the base address."""
        return f"{self.folder}/{self.name}.pkl"


_LISTS, _PYSKL = "posec3d", "pyskl/data/nturgbd"
ANNOTATIONS = (
    Annotations("ntu60_xsub_train", "ntu60-2d", _LISTS),
    Annotations("ntu60_xsub_val", "ntu60-2d", _LISTS),
    Annotations("ntu120_xsub_train", "ntu120-2d", _LISTS),
    Annotations("ntu120_xsub_val", "ntu120-2d", _LISTS),
    Annotations("ntu60_hrnet", "ntu60-2d", _PYSKL),
    Annotations("ntu120_hrnet", "ntu120-2d", _PYSKL),
    Annotations("ntu60_3danno", "ntu60", _PYSKL),
    Annotations("ntu120_3danno", "ntu120", _PYSKL),
)


def of_preset(preset: str, stream: str) -> Published | None:
    """The published system of a preset with this stream, or None."""
    entry = find(preset)
    return entry if entry is None or entry.own_file else find(f"{preset}-{stream}")


def find(name: str) -> Published | None:
    """The published system of this preset, published name or published file name, or None."""
    bare = _STEPS.sub("", name.removesuffix(".pt"))
    return next(
        (
            e
            for e in PUBLISHED + PYSKL
            if name in (e.preset, e.name, *e.aliases, *weight_files(e)) or (e.steps and bare == e.name)
        ),
        None,
    )


def weight_files(entry: Published) -> tuple[str, str]:
    """The published file name of the weights, without and with its suffix."""
    file = entry.weights.rpartition("/")[2] if entry.own_file else f"{entry.name}.pth"
    return file.rpartition(".")[0], file


def find_annotations(name: str) -> tuple[Annotations, ...]:
    """The annotation pickle of this name, else the lists of this data set (the preset's, for a preset), else ()."""
    named = tuple(entry for entry in ANNOTATIONS if name.removesuffix(".pkl") == entry.name)
    dataset = "ntu60-2d" if name in ("ntu60-xsub-2d", "stgcn_80e_ntu60_xsub_keypoint") else name
    return named or tuple(e for e in ANNOTATIONS if e.dataset == dataset and e.folder == _LISTS)
