"""What the ST-GCN pages of MMAction2 0.x publish, one entry a system. Facts only."""

from dataclasses import dataclass

BASE_URL = "https://download.openmmlab.com/mmaction"


@dataclass(frozen=True)
class Published:
    """A published system: percentages on its validation split, and where its files lie."""

    preset: str
    name: str
    skeleton: str  # "2d" or "3d"
    gpus: int
    top1: float
    sha256_prefix: str  # first 8 hex digits of the weights' sha256
    mean_class: float | None = None
    agcn_top1: float | None = None  # the BABEL authors' own baseline on the same clips
    agcn_mean_class: float | None = None
    agcn_note: str = ""
    log_folder: str = ""  # where the page links the log, when not in the system's own folder
    has_json: bool = False
    val_clips: int | None = None  # clips of the official validation split, where they are published

    @property
    def folder(self) -> str:
        """Below the base address."""
        return f"skeleton/stgcn/{self.name}"

    @property
    def weights(self) -> str:
        """Path of the checkpoint below the base address."""
        return f"{self.folder}/{self.name}-{self.sha256_prefix}.pth"

    @property
    def logs(self) -> tuple[str, ...]:
        """Paths of the training log below the base address, the likelier first."""
        paths = [f"{self.folder}/{self.name}.log"]
        if self.has_json:
            paths.append(f"{self.folder}/{self.name}.json")
        if self.log_folder:
            paths.append(f"skeleton/stgcn/{self.log_folder}/{self.name}.log")
        return tuple(paths)


PUBLISHED = (
    Published("ntu60-xsub-2d", "stgcn_80e_ntu60_xsub_keypoint", "2d", 2, 86.91, "e7bb9653", has_json=True,
              val_clips=16_487),
    Published("ntu60-xsub-3d", "stgcn_80e_ntu60_xsub_keypoint_3d", "3d", 1, 84.61, "13e7ccf0", has_json=True,
              val_clips=16_487),
    Published("babel60", "stgcn_80e_babel60", "3d", 8, 42.39, "3d206418", 28.28, 41.14, 24.46),
    Published(
        "babel60-wfl", "stgcn_80e_babel60_wfl", "3d", 8, 40.31, "1a9102d7", 29.79, 33.41, 30.42,
        log_folder="stgcn_80e_babel60",
    ),
    Published(
        "babel120", "stgcn_80e_babel120", "3d", 8, 38.95, "e41eb6d7", 20.58, 38.41, 17.56,
        log_folder="stgcn_80e_babel60",
    ),
    Published(
        "babel120-wfl", "stgcn_80e_babel120_wfl", "3d", 8, 33.00, "3f2c100d", 24.33, 27.91, 26.17,
        agcn_note="as in the paper; the weights its authors published are a little less accurate",
        log_folder="stgcn_80e_babel60",
    ),
)  # fmt: skip


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


def find(name: str) -> Published | None:
    """The published system of this preset, published name or published file name, or None."""
    return next((e for e in PUBLISHED if name in (e.preset, e.name, *weight_files(e))), None)


def weight_files(entry: Published) -> tuple[str, str]:
    """The published file name of the weights, without and with its suffix."""
    stem = f"{entry.name}-{entry.sha256_prefix}"
    return stem, f"{stem}.pth"


def find_annotations(name: str) -> tuple[Annotations, ...]:
    """The annotation pickle of this name, else the lists of this data set (the preset's, for a preset), else ()."""
    named = tuple(entry for entry in ANNOTATIONS if name.removesuffix(".pkl") == entry.name)
    dataset = "ntu60-2d" if name in ("ntu60-xsub-2d", "stgcn_80e_ntu60_xsub_keypoint") else name
    return named or tuple(e for e in ANNOTATIONS if e.dataset == dataset and e.folder == _LISTS)
