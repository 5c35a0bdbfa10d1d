"""Checksums of a store: CRC-32 of every block of every file, in sums.json.

Small files are checked whole whenever a store is opened, of large ones the ends and some blocks, others each time.
"""

import json
import random
import zlib
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np

from stgcn_cli.io.own_files import open_own_regular, read_regular

NAME = "sums.json"
_BLOCK, _SAMPLED = 1 << 18, 16  # bytes; blocks looked at when a store is opened: some milliseconds
_MOST = 1 << 28  # bytes of sums.json
_AHEAD = 2  # calls of `write` that wait
_THREADS, _TOGETHER = 2, 64  # threads that read back; blocks for one at a time


class Summed:
    """A stream that another thread writes to and sums, while this one makes what comes next.

    The arrays that are written must stay as they are. When the block ends, `sums` is [size, CRC-32 of each block].
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.sums, self._free = stream, [0], 0
        self._thread, self._waiting = ThreadPoolExecutor(1), deque[Future[None]]()

    def __enter__(self) -> "Summed":
        return self

    def __exit__(self, failed: Any, *rest: Any) -> None:
        with self._thread:
            while self._waiting and not failed:
                self._waiting.popleft().result()
            self._thread.shutdown(cancel_futures=True)

    def write(self, arrays: Sequence[np.ndarray]) -> None:
        """Write contiguous arrays, one after the other. Raises OSError of this or an earlier call."""
        self._waiting.append(self._thread.submit(self._write, arrays))
        if len(self._waiting) > _AHEAD:
            self._waiting.popleft().result()

    def _write(self, arrays: Sequence[np.ndarray]) -> None:
        for array in arrays:
            data, start = array.reshape(-1).view(np.uint8).data, 0
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
    sums = json.loads(read_regular(folder / NAME, _MOST, own=True))
    if missing := set(files) - sums.keys():
        raise ValueError(f"its {min(missing)} has no checksum")
    parts = []
    for name, (size, *blocks) in sums.items():
        path = folder / Path(name).name
        if path.stat().st_size != size or len(blocks) != -(-size // _BLOCK):
            raise ValueError(f"its {name} has another size")
        chosen = _chosen(len(blocks), whole)
        parts += [(path, blocks, chosen[start : start + _TOGETHER]) for start in range(0, len(chosen), _TOGETHER)]
    with ThreadPoolExecutor(_THREADS) as pool:
        for path, is_equal in pool.map(lambda part: (part[0], _are_equal(*part)), parts):
            if not is_equal:
                raise ValueError(f"its {path.name} has other bytes than were written")


def _are_equal(path: Path, sums: Sequence[int], indices: Sequence[int]) -> bool:
    """Whether these blocks of the file have the sums."""
    block = memoryview(bytearray(_BLOCK))
    with open(path, "rb", buffering=0, opener=open_own_regular) as stream:
        for index in indices:
            stream.seek(index * _BLOCK)
            if zlib.crc32(block[: stream.readinto(block)]) != sums[index]:
                return False
    return True


def _chosen(count: int, whole: bool) -> list[int]:
    if whole or count <= _SAMPLED:
        return list(range(count))
    return [0, count - 1, *random.sample(range(1, count - 1), _SAMPLED - 2)]
