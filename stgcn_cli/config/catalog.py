"""What MMAction2 0.x, PYSKL and BABEL's authors publish, one entry a system. Facts only."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

BASE_URL = "https://download.openmmlab.com/mmaction"
BABEL_URL = "https://human-movement.is.tue.mpg.de/release/ckpts"
_STEPS = re.compile(r"-\d+-\d+$")  # epoch and iteration, with which BABEL's program ends the names of its checkpoints
_STREAMS = {"joint": "j", "bone": "b", "joint-motion": "jm", "bone-motion": "bm"}  # ours -> PYSKL's file name


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published system: percentages on its validation split, and where its files lie."""

    preset: str
    name: str
    weights: str  # path of the checkpoint below the base address
    file: str  # its name in the cache
    logs: tuple[str, ...] = ()  # paths of the training log below the base address, the likelier first
    gpus: int | None = None  # None: not published
    top1: float | None = None  # None: not published
    sha256_prefix: str = ""  # first 8 hex digits of the weights' sha256; empty where none is published
    mean_class: float | None = None
    agcn_top1: float | None = None  # the BABEL authors' own baseline on the same clips
    agcn_mean_class: float | None = None
    released: tuple[float, float] | None = None  # top-1 and mean class of the released weights, where they differ
    class_counts: str = ""  # by what the published run counted the clips of a class for its loss
    val_clips: int | None = None  # clips of the official validation split, where they are published
    aliases: tuple[str, ...] = ()  # other names of the system, and of its configurations
    base: str = BASE_URL
    stream: str = "joint"
    fused: tuple[float, float] | None = None  # top-1 of this stream with its siblings: two, four

    @property
    def label(self) -> str:
        """What the preset is called with this stream."""
        return self.preset if self.stream == "joint" else f"{self.preset}-{self.stream}"

    @property
    def megabytes(self) -> float:
        """Approximate size of the weights: parameters and buffers of the network in float32."""
        if self.preset == "hagrid-stgcnpp":
            return 0.9  # 40 classes, six narrow blocks
        return 5.7 if "stgcnpp" in self.preset else 13.9 if "agcn" in self.preset else 12.4

    @property
    def names(self) -> tuple[str, ...]:
        """All that this system may be called, file names included."""
        return self.label, self.name, *self.aliases, self.file, self.file.rpartition(".")[0]


def _mmaction(preset: str, name: str, gpus: int, top1: float, prefix: str, network: str = "stgcn", *,
              has_json: bool = False, **more: Any) -> Published:  # fmt: skip
    folder, file = f"skeleton/{network}/{name}", f"{name}-{prefix}.pth"
    logs = [f"{folder}/{name}.{ending}" for ending in ("log", "json")[: 1 + has_json]]
    return Published(
        preset=preset, name=name, gpus=gpus, top1=top1, sha256_prefix=prefix, weights=f"{folder}/{file}", file=file,
        logs=tuple(logs), **more,
    )  # fmt: skip


def _babel(preset: str, figures: tuple[float, float], prefix: str, agcn: tuple[float, float], **more: Any) -> Published:
    name = f"stgcn_80e_{preset.replace('-', '_')}"
    entry = _mmaction(
        preset, name, 8, figures[0], prefix, mean_class=figures[1], agcn_top1=agcn[0], agcn_mean_class=agcn[1], **more
    )
    linked = f"skeleton/stgcn/stgcn_80e_babel60/{name}.log"  # where the page links the log
    return replace(entry, logs=tuple(dict.fromkeys((*entry.logs, linked))))


def _babel_agcn(
    preset: str, name: str, steps: str, figures: tuple[float, float], released: tuple[float, float]
) -> Published:
    loss = "_wfl" if name.startswith("wfl") else ""
    lists = f"{name.rpartition('_')[2]}{loss}"
    name = f"{name}_agcn_joint_const_lr_1e-3"
    file = f"{name}-{steps}.pt"
    return Published(
        preset=preset, name=name, weights=file, file=file, base=BABEL_URL, top1=figures[0], mean_class=figures[1],
        released=released, class_counts=_BY_CLASS if loss else "", aliases=(f"train_{lists}", f"test_{lists}"),
    )  # fmt: skip


_FIRST_SEEN, _BY_CLASS = "by first appearance", "by class"
_NTU: dict[str, Any] = {"val_clips": 16_487, "has_json": True}
PUBLISHED = (
    _mmaction("ntu60-xsub-2d", "stgcn_80e_ntu60_xsub_keypoint", 2, 86.91, "e7bb9653", **_NTU),
    _mmaction("ntu60-xsub-3d", "stgcn_80e_ntu60_xsub_keypoint_3d", 1, 84.61, "13e7ccf0", **_NTU),
    _babel("babel60", (42.39, 28.28), "3d206418", (41.14, 24.46)),
    _babel("babel60-wfl", (40.31, 29.79), "1a9102d7", (33.41, 30.42), class_counts=_FIRST_SEEN),
    _babel("babel120", (38.95, 20.58), "e41eb6d7", (38.41, 17.56)),
    _babel("babel120-wfl", (33.00, 24.33), "3f2c100d", (27.91, 26.17), class_counts=_FIRST_SEEN),
    _babel_agcn("babel60-agcn", "ntu_sk_60", "17-6390", (41.14, 24.46), (42, 24)),
    _babel_agcn("babel60-wfl-agcn", "wfl_ntu_sk_60", "93-33370", (33.41, 30.42), (34, 30)),
    _babel_agcn("babel120-agcn", "ntu_sk_120", "15-12240", (38.41, 17.56), (40, 16)),
    _babel_agcn("babel120-wfl-agcn", "wfl_ntu_sk_120", "157-60356", (27.91, 26.17), (29, 23)),
    _mmaction("ntu60-xsub-3d-agcn", "2sagcn_80e_ntu60_xsub_keypoint_3d", 1, 86.06, "3bed61ba", "2s-agcn", **_NTU,
              aliases=("agcn_80e_ntu60_xsub_keypoint_3d",)),
    _mmaction("ntu60-xsub-3d-agcn-bone", "2sagcn_80e_ntu60_xsub_bone_3d", 2, 86.89, "278b8815", "2s-agcn", **_NTU,
              aliases=("agcn_80e_ntu60_xsub_bone_3d",)),
)  # fmt: skip


class _System(NamedTuple):
    """One recipe of PYSKL on one split: percentages of the four streams, of two and of four fused.

    Source: its model pages (commit 3f6795f). Fusions add up probabilities: joint and bone 1 : 1, all four 2 : 2 : 1 : 1.
    """

    preset: str
    folder: str
    streams: tuple[float, float, float, float]
    fused: tuple[float, float]


_SYSTEMS = (
    _System("ntu60-xsub-3d-uniform", "stgcn/stgcn_pyskl_ntu60_xsub_3dkp", (87.8, 88.6, 85.8, 86.2), (90.0, 90.7)),
    _System("ntu60-xsub-2d-uniform", "stgcn/stgcn_pyskl_ntu60_xsub_hrnet", (89.0, 91.2, 86.7, 87.8), (92.0, 92.4)),
    _System("ntu60-xsub-3d-stgcnpp", "stgcnpp/stgcnpp_ntu60_xsub_3dkp", (89.3, 90.1, 87.5, 87.3), (91.4, 92.1)),
    _System("ntu60-xsub-2d-stgcnpp", "stgcnpp/stgcnpp_ntu60_xsub_hrnet", (89.3, 92.3, 84.0, 88.8), (92.8, 93.2)),
    _System("ntu60-xsub-3d-stgcnpp-aug", "strong_aug/ntu60_xsub_3dkp", (90.3, 90.8, 88.3, 87.8), (92.2, 92.6)),
    _System("ntu60-xview-3d-uniform", "stgcn/stgcn_pyskl_ntu60_xview_3dkp", (95.5, 95.0, 93.7, 92.8), (96.2, 96.5)),
    _System("ntu60-xview-3d-stgcnpp", "stgcnpp/stgcnpp_ntu60_xview_3dkp", (95.6, 95.5, 94.3, 93.8), (96.7, 97.0)),
    _System("ntu60-xview-3d-stgcnpp-aug", "strong_aug/ntu60_xview_3dkp", (96.6, 95.9, 95.1, 93.7), (97.1, 97.4)),
    _System("ntu120-xsub-3d-uniform", "stgcn/stgcn_pyskl_ntu120_xsub_3dkp", (82.1, 83.7, 80.3, 80.6), (85.6, 86.2)),
    _System("ntu120-xsub-3d-stgcnpp", "stgcnpp/stgcnpp_ntu120_xsub_3dkp", (83.2, 85.6, 80.4, 81.5), (87.0, 87.5)),
    _System("ntu120-xsub-3d-stgcnpp-aug", "strong_aug/ntu120_xsub_3dkp", (84.3, 87.0, 82.2, 81.9), (88.2, 88.6)),
    _System("ntu120-xset-3d-uniform", "stgcn/stgcn_pyskl_ntu120_xset_3dkp", (84.5, 85.8, 82.7, 83.0), (87.5, 88.4)),
    _System("ntu120-xset-3d-stgcnpp", "stgcnpp/stgcnpp_ntu120_xset_3dkp", (85.6, 87.5, 84.3, 83.0), (89.1, 89.8)),
    _System("ntu120-xset-3d-stgcnpp-aug", "strong_aug/ntu120_xset_3dkp", (86.7, 88.3, 85.1, 84.4), (90.1, 90.8)),
)


def _pyskl() -> Iterator[Published]:
    """One entry for each stream; the joint stream has the name of the preset, the others end in that of the stream."""
    for system in _SYSTEMS:
        clips = 16_487 if "ntu60-xsub" in system.preset else None
        for (stream, letters), top1 in zip(_STREAMS.items(), system.streams, strict=True):
            name = f"{system.folder.rpartition('/')[2]}_{letters}"
            yield Published(
                preset=system.preset, name=name, gpus=8, top1=top1, weights=f"pyskl/ckpt/{system.folder}/{letters}.pth",
                file=f"{name}.pth", stream=stream, fused=system.fused, aliases=(f"{system.preset}-{stream}",), val_clips=clips,
            )  # fmt: skip
    yield Published(
        preset="hagrid-stgcnpp", name="hagrid", sha256_prefix="14d3e55e", weights="demo/hagrid.pth", file="hagrid.pth",
        base="https://raw.githubusercontent.com/kennymckormick/pyskl/main",
    )  # fmt: skip


PYSKL = tuple(_pyskl())
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
    streams = {each.stream: each for each in PYSKL if entry and each.preset == entry.preset}
    return streams.get(stream) if streams else entry


def find(name: str) -> Published | None:
    """The published system of this preset, published name or published file name, or None."""
    bare = _STEPS.sub("", name.removesuffix(".pt"))
    known = PUBLISHED + PYSKL
    return next((e for e in known if name in e.names or (e.base == BABEL_URL and bare == e.name)), None)


def find_annotations(name: str) -> tuple[Annotations, ...]:
    """The annotation pickle of this name, else the lists of this data set (the preset's, for a preset), else ()."""
    named = tuple(entry for entry in ANNOTATIONS if name.removesuffix(".pkl") == entry.name)
    dataset = "ntu60-2d" if name in ("ntu60-xsub-2d", "stgcn_80e_ntu60_xsub_keypoint") else name
    return named or tuple(e for e in ANNOTATIONS if e.dataset == dataset and e.folder == _LISTS)
