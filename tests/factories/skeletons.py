"""NTU `.skeleton` texts for tests: made up, or real ones out of tests/golden."""

import zipfile
from pathlib import Path

import numpy as np

from tests.conftest import GOLDEN

ONE_FRAME = "S015C002P039R002A038"


def golden_texts(archive: Path = GOLDEN / "prepare" / "raw60.zip") -> dict[str, bytes]:
    """Every sample of a zip by its name."""
    with zipfile.ZipFile(archive) as stream:
        return {name.removesuffix(".skeleton"): stream.read(name) for name in sorted(stream.namelist())}


def text(bodies_in_frames: list[int], seed: int = 0) -> bytes:
    """A text whose frames have that many bodies each, at random places."""
    rng = np.random.default_rng(seed)
    lines = [str(len(bodies_in_frames))]
    for bodies in bodies_in_frames:
        lines.append(str(bodies))
        for _ in range(bodies):
            lines += ["72057594037900001 0 1 1 1 1 0 0.01 -0.2 2", "25"]
            lines += [" ".join(f"{x:.7g}" for x in row) + " 2" for row in rng.normal(0, 1, (25, 11))]
    return ("\r\n".join(lines) + "\r\n").encode()


def clips(count: int, seed: int = 0) -> dict[str, bytes]:
    """Texts of 1 to 3 bodies; persons 1 to 8, of whom 1 2 4 5 8 train, and cameras 1 to 3, of which 2 and 3 train."""
    names = [f"S001C00{i % 3 + 1}P00{i % 8 + 1}R001A{i % 60 + 1:03d}" for i in range(count)]
    return {name: text([1 + i % 3] * (2 + i % 4), seed + i) for i, name in enumerate(names)}


def write_folder(folder: Path, texts: dict[str, bytes]) -> Path:
    """The texts as NAME.skeleton files; a name that has a suffix of its own keeps it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in texts.items():
        (folder / (name if "." in name else f"{name}.skeleton")).write_bytes(content)
    return folder


def write_zip(path: Path, texts: dict[str, bytes]) -> Path:
    """The texts in a zip, in a folder of their own as in the official one."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in texts.items():
            archive.writestr(f"nturgb+d_skeletons/{name}.skeleton", content)
    return path
