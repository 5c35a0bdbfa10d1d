"""Whether a file is whole, told by reading it; and what two runs of one command must have in common."""

import hashlib
import json
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch

from stgcn_cli.data import store
from stgcn_cli.data.pickles import read_pickle
from stgcn_cli.runs.checkpoint import read

_VARIES = (
    "environment.json",
    ".report.json",
    "meta.json",
    "sums.json",
    ".png",
    ".html",
    "last-1.pth",
)  # time, place, history; sums.json has the sum of meta.json


def files_of(folder: Path) -> list[Path]:
    """All files below `folder` but ballast."""
    ignored = ("ballast", "tfevents")  # TensorBoard's events are appended to, and read as far as they are whole
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not any(word in str(path) for word in ignored)
    )


def check_whole(folder: Path, keeps_part: bool = False) -> None:
    """Every file below `folder` can be read to its end, and nothing half-written is there."""
    for path in files_of(folder):
        if ".part" in str(path.relative_to(folder)):
            assert keeps_part, f"{path} was left"
        else:
            _check(path)
    assert keeps_part or not list(folder.rglob("*.part*"))


def _check(path: Path) -> None:
    content = path.read_bytes()
    match path.suffix:
        case ".pth":
            read(path)
        case ".pkl":
            read_pickle(path)
        case ".json":
            json.loads(content)
        case ".jsonl":
            *lines, _ = content.decode().split("\n")
            [json.loads(line) for line in lines]
        case ".toml":
            tomllib.loads(content.decode())
        case ".csv":
            assert content.endswith(b"\n") and len(pandas.read_csv(path))
        case ".png":
            assert content.startswith(b"\x89PNG") and b"IEND" in content[-12:]
        case ".npz" | ".zip" | ".pt2":
            assert zipfile.ZipFile(path).testzip() is None
        case ".npy":
            np.load(path, allow_pickle=False)
        case ".bin":
            assert len(store._open(path.parent, path))
        case ".gif":
            assert content.startswith(b"GIF8") and content.endswith(b";")
        case ".svg":
            assert content.rstrip().endswith(b"</svg>")
        case ".html":
            assert content.rstrip().endswith(b"</html>")
        case ".gz" | ".lock":
            pass
        case other:
            raise AssertionError(f"{path}: what is {other}?")


def digests(folder: Path) -> dict[str, str]:
    """What is in each file below `folder`, but for what differs from run to run: times, and where it was computed."""
    names = [
        path
        for path in files_of(folder)
        if not path.name.endswith(_VARIES) and ".part" not in str(path.relative_to(folder))
    ]
    return {str(path.relative_to(folder)): _digest(path) for path in names}


def _digest(path: Path) -> str:
    match path.suffix:
        case ".pth":
            value = torch.load(path, weights_only=True)
            return _checksum([value["state_dict"], value.get("optimizer"), value["meta"]["epoch"]])
        case ".npz" if "result" in path.name:  # the preset in it knows how long the run was to be
            with np.load(path) as arrays:
                return _checksum([arrays[name].tolist() for name in ("scores", "labels", "names")])
        case ".zip" | ".pt2":
            return str([(member.filename, member.CRC) for member in zipfile.ZipFile(path).infolist()])
        case ".jsonl":
            records = [json.loads(line) for line in path.read_text().splitlines()]
            kept = [[r["mode"], r["epoch"], r.get("iter"), r.get("loss"), r.get("top1_acc")] for r in records]
            return json.dumps([line for line in kept if line[0] != "resumed"])
        case ".csv":
            frame = pandas.read_csv(path)
            return frame[[name for name in frame if "time" not in name]].to_csv()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _checksum(value: object) -> str:
    """Hash nested dicts, lists, numbers, texts and tensors, whatever the archive around them looks like."""
    digest = hashlib.sha256()
    _add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, value: object) -> None:
    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous()
        digest.update(f"tensor {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b"")
    elif isinstance(value, dict):
        for key, each in value.items():
            _add(digest, key)
            _add(digest, each)
    elif isinstance(value, list | tuple):
        digest.update(f"list {len(value)}".encode())
        for each in value:
            _add(digest, each)
    else:
        digest.update(f"{type(value).__name__} {value!r}\n".encode())
