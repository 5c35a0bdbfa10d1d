"""Checksums of a store: CRC-32 of every block of every file, in sums.json.

Small files are checked whole whenever a store is opened, of large ones the ends and some blocks, others each time.
"""

import json
import os
import random
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

from stgcn_cli.io.own_files import open_own_regular

NAME = "sums.json"
_BLOCK, _SAMPLED = 1 << 18, 16  # bytes; blocks looked at when a store is opened: some milliseconds
_MOST = 1 << 28  # bytes of sums.json


class Summed:
    """A stream whose bytes are summed while they are written."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.sums, self._free = stream, [0], 0

    def write(self, content: Any) -> None:
        """Write bytes, or a contiguous array; `sums` is then [size, CRC-32 of each block]."""
        data, start = memoryview(content), 0
        data = data.cast("B") if data.nbytes else memoryview(b"")  # arrays without values cannot be cast
        self._stream.write(data)
        while start < len(data):
            part = data[start : start + (self._free or _BLOCK)]
            if self._free:
                self.sums[-1] = zlib.crc32(part, self.sums[-1])
            else:
                self.sums.append(zlib.crc32(part))
            self._free = (self._free or _BLOCK) - len(part)
            start += len(part)
        self.sums[0] += len(data)


def write(folder: Path, contents: Mapping[str, bytes], known: Mapping[str, list[int]] | None = None) -> None:
    """Write the sums of the files in `folder`, and of files that are yet to be written with these `contents`.

    `known`: sums that need not be read from the disk.
    """
    sums = dict(known or {})
    sums |= {
        path.name: _sums_of(path.read_bytes()) for path in sorted(folder.iterdir()) if path.name not in (NAME, *sums)
    }
    sums |= {name: _sums_of(content) for name, content in contents.items()}
    (folder / NAME).write_text(json.dumps(sums), "utf-8")


def _sums_of(content: bytes) -> list[int]:
    """[size, CRC-32 of each block]."""
    blocks = (content[start : start + _BLOCK] for start in range(0, len(content), _BLOCK))
    return [len(content), *map(zlib.crc32, blocks)]


def check(folder: Path, files: Collection[str] = (), whole: bool = False) -> None:
    """Raise ValueError naming a file whose bytes are others than those written, OSError for one that cannot be read.

    `files`: those that must have sums. `whole`: look at every block.
    """
    with open(folder / NAME, "rb", opener=open_own_regular) as stream:
        sums = json.loads(stream.read(_MOST))
    if missing := set(files) - sums.keys():
        raise ValueError(f"its {min(missing)} has no checksum")
    block = memoryview(bytearray(_BLOCK))
    for name, (size, *blocks) in sums.items():
        with open(folder / Path(name).name, "rb", buffering=0, opener=open_own_regular) as stream:
            if os.fstat(stream.fileno()).st_size != size or len(blocks) != -(-size // _BLOCK):
                raise ValueError(f"its {name} has another size")
            for index in _chosen(len(blocks), whole):
                stream.seek(index * _BLOCK)
                if zlib.crc32(block[: stream.readinto(block)]) != blocks[index]:
                    raise ValueError(f"its {name} has other bytes than were written")


def _chosen(count: int, whole: bool) -> list[int]:
    if whole or count <= _SAMPLED:
        return list(range(count))
    return [0, count - 1, *random.sample(range(1, count - 1), _SAMPLED - 2)]
