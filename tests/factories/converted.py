"""Folders to convert, and what came out of it."""

from pathlib import Path

from stgcn_cli.data import annotations
from tests.factories import foreign


def made(path: Path) -> dict[str, dict]:
    return {record["frame_dir"]: record for record in annotations.read(path).records}


def splits(path: Path) -> dict[str, list[str]]:
    return annotations.read(path).splits


def wave_and_kick(folder: Path, clips: int = 4) -> Path:
    """Two folders of MMPose predictions."""
    for group in ("wave", "kick"):
        (folder / group).mkdir(parents=True)
        for index in range(clips):
            foreign.mmpose(folder / group / f"{index}.json", *foreign.clip(seed=index))
    return folder
