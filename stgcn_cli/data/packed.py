"""Packed files looked at before they are unpacked: a few kilobytes can claim, or hold, any number of bytes."""

import zipfile
from pathlib import Path

_TIMES, _FREE = 200, 256 << 20  # a packed skeleton is some ten times smaller; as much as this needs no thought


def check_packed(path: Path) -> None:
    """Raise ValueError when what is in the zip (or .npz) at `path` unpacks to far more than such files hold.

    zipfile itself reads no more of a member than its directory declares. Raises OSError and zipfile.BadZipFile, too.
    """
    with zipfile.ZipFile(path) as archive:
        total = sum(member.file_size for member in archive.infolist())
    if total > max(_FREE, _TIMES * path.stat().st_size):
        raise ValueError(f"it claims to hold {total:,} bytes, over {_TIMES} times its own size")
