"""One file that a server has, and how tests ask for it."""

import dataclasses
import hashlib
import random
from pathlib import Path

import pytest

from stgcn_cli.errors import NetworkError
from stgcn_cli.io.download import Wanted, fetch
from stgcn_cli.io.reporter import SILENT

CONTENT = random.Random(0).randbytes(700_001)
PREFIX = hashlib.sha256(CONTENT).hexdigest()[:8]
QUICK = (0.0, 0.01, 0.02)


def wanted(mirror, target, **changes) -> Wanted:
    return dataclasses.replace(Wanted(f"{mirror.base}/file.pth", target, 10_000_000, PREFIX), **changes)


def refused(mirror, target, served, **changes) -> str:
    """What the error says when `served` is fetched; nothing may lie under the final name."""
    mirror.files["/file.pth"] = served
    with pytest.raises(NetworkError) as caught:
        fetch(wanted(mirror, target, **changes), SILENT, QUICK)
    assert not target.exists()
    return str(caught.value)


def left(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()}
