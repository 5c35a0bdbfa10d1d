"""What goes with arrays of many clips: labels, names and splits, in a file or an array beside; and what files hold, unread."""

import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from stgcn_cli.data import pickles
from stgcn_cli.data.locations import split_in_name

Header = tuple[tuple[int, ...], np.dtype]  # shape, type
_LABEL_FILES = (".pkl", ".npy")
_FEATURES = re.compile(r"(?:^|(?<=_))(x|X)(?=_|$)")  # X, X_train, train_X
_DATA = re.compile(r"data(_[a-z]+)*$", re.IGNORECASE)  # data, train_data, train_data_joint

ONE_A_CLIP = {"label": "labels", "subject": "subjects", "frame_dir": "names", "total_frames": "lengths"}  # also called


@dataclass(frozen=True)
class Labels:
    """Of N clips: labels (indices or names), names where there are some, and the splits of all."""

    labels: Sequence[Any] | None = None
    names: Sequence[str] | None = None
    splits: tuple[str, ...] = ()

    @classmethod
    def from_array(cls, array: np.ndarray, clips: int, what: str, splits: tuple[str, ...] = ()) -> "Labels":
        """Labels (N,) or (N, 1), or one-hot rows (N, classes). Raises ValueError."""
        if len(array.shape) == 2 and array.shape[1] > 1:
            if not (np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all()):
                raise ValueError(f"{what} has the shape {array.shape}, but its rows are not one-hot")
            array = array.argmax(axis=1)
        array = array.reshape(-1)
        if len(array) != clips:
            raise ValueError(f"{what} holds {len(array):,} labels for {clips:,} clips")
        return cls([plain(value) for value in array], splits=splits)

    def of(self, index: int) -> dict[str, Any]:
        """What is known of one clip, as parts of its record."""
        record: dict[str, Any] = {} if self.labels is None else {"label": self.labels[index]}
        if self.names is not None:
            record["frame_dir"] = self.names[index]
        return record | ({"splits": self.splits} if self.splits else {})


def plain(value: Any) -> Any:
    """A value of an array as a Python value: bytes as text, whole floats as integers."""
    value = value.item() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def label_file(data: Path) -> Path | None:
    """The file of labels beside an array of many clips: train_label.pkl for train_data_joint.npy, y_test.npy for X_test.npy."""
    stems = []
    if _DATA.search(data.stem):
        stems = [_DATA.sub(word, data.stem) for word in ("label", "labels")]
    elif found := _FEATURES.search(data.stem):
        stems = [f"{data.stem[: found.start()]}{letter}{data.stem[found.end() :]}" for letter in "yY"]
    beside = (data.with_name(stem + suffix) for stem in stems for suffix in _LABEL_FILES)
    return next((path for path in beside if path.is_file()), None)


def without_labels(files: Iterable[Path]) -> list[Path]:
    """The files but those that are the labels of another one."""
    files = list(files)
    labels = {label_file(path) for path in files if path.suffix.lower() == ".npy"}
    return [path for path in files if path not in labels]


def beside(data: Path, clips: int) -> Labels:
    """Labels, names and the split of so many clips in `data`, as far as there are files that say so. Raises ValueError."""
    split = split_in_name(data)
    splits = (split,) if split else ()
    path = label_file(data)
    if path is None:
        return Labels(splits=splits)
    value = np.load(path, allow_pickle=False) if path.suffix == ".npy" else pickles.read_pickle(path)
    match value:
        case (list() | tuple() | np.ndarray() as names, list() | tuple() | np.ndarray() as labels, *rest) if (
            len(rest) < 3
        ):
            found = Labels.from_array(np.asarray(labels), clips, path.name, splits)
            if len(names) != clips:
                raise ValueError(f"{path.name} holds {len(names):,} names for {clips:,} clips")
            return Labels(found.labels, [str(plain(name)).removesuffix(".skeleton") for name in names], splits)
        case list() | tuple() | np.ndarray():
            return Labels.from_array(np.asarray(value), clips, path.name, splits)
    raise ValueError(f"{path.name} beside it holds a {type(value).__name__}, expected labels, or names and labels")


def pairs_in(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Names of arrays of clips and of their labels among `found`, with their split: ("x_train", "y_train", "train")."""
    lower = {name.lower(): name for name in found}
    pairs = []
    for name in found:
        for wanted in (_FEATURES.sub("y", name), _DATA.sub("label", name), _DATA.sub("labels", name)):
            wanted = wanted.lower()
            if wanted in lower and lower[wanted] != name:
                pairs.append((name, lower[wanted], split_in_name(Path(name)) or ""))
                break
    return pairs


def meant(found: Mapping[str, np.ndarray], array: np.ndarray) -> str:
    """ "N" where labels, names or lengths beside an array say that it holds as many clips, else ""."""
    beside = [found[key] for key in {*ONE_A_CLIP, *ONE_A_CLIP.values()} & found.keys()]
    return "N" if array.shape[:1] != (1,) and any(each.shape == array.shape[:1] for each in beside) else ""


def headers(path: Path) -> dict[str, Header]:
    """Shape and type of each array in a .npz. Raises ValueError, OSError, zipfile.BadZipFile."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as stream:
                shape, _, dtype = read_header(stream, np.lib.format.read_magic(stream))  # type: ignore[arg-type]
            found[member.removesuffix(".npy")] = (shape, dtype)
    return found


def read_header(stream: IO[bytes], version: tuple[int, int]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type of the array that begins here, after its magic string. Raises ValueError."""
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"the version {version} of numpy's format is not read")
    return (np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0)(stream)
