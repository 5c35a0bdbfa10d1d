"""The strict reader of NTU `.skeleton` texts: line by line, with the line and cause of every error.

The text: a frame count; per frame a body count; per body a line of 10 numbers (id, flags, lean, state), a joint count,
and per joint 12 numbers (x y z, depth x y, colour x y, orientation w x y z, state).
"""

import io
from array import array
from dataclasses import dataclass

import numpy as np

from stgcn_cli.errors import DataError

JOINTS = 25
BODY_WORDS, JOINT_WORDS = 10, 12
MAX_BODIES = 4  # a fifth and sixth body are read and dropped, as in the reference
MAX_FRAMES = 30_000  # over a quarter of an hour; bounds the memory that a text of empty frames can ask for
MAX_METRES = 1e18  # its square still fits float32
_LINE_BYTES = 4096


@dataclass(frozen=True)
class Blocks:
    """What a text holds: the coordinates of each body in each frame, and where each block belongs."""

    xyz: np.ndarray  # (C, blocks, V) float64, metres
    places: np.ndarray  # (2, blocks): which body of its frame, which frame
    frames: int


def read_lines(text: bytes) -> Blocks:
    """The coordinates in `text`; raises DataError with the line, the frame and the cause when anything is wrong."""
    lines, values, places = _Lines(text), array("d"), []
    frames = lines.count("the number of frames")
    if not 0 < frames <= MAX_FRAMES:
        raise DataError(f"it claims {frames} frames, more than {MAX_FRAMES}" if frames else "it has no frames")
    for frame in range(frames):
        lines.place = f" (frame {frame + 1} of {frames})"
        for body in range(lines.count("the number of bodies")):
            block = _read_body(lines, kept=body < MAX_BODIES)
            if body < MAX_BODIES:
                values.extend(block)
                places.append((body, frame))
    lines.end(frames)
    xyz = np.array(values, dtype=np.float64).reshape(-1, JOINTS, 3)
    return Blocks(xyz.transpose(2, 0, 1), np.array(places, dtype=np.intp).reshape(-1, 2).T, frames)


def _read_body(lines: "_Lines", kept: bool) -> list[float]:
    """The 75 coordinates of the next body, joint by joint; checked to be finite if they are kept."""
    lines.numbers(BODY_WORDS, "the line of a body")
    joints = lines.count("the number of joints")
    if joints != JOINTS:
        raise lines.error(f"{joints} joints instead of {JOINTS}")
    block: list[float] = []
    for _ in range(JOINTS):
        xyz = lines.numbers(JOINT_WORDS, "the line of a joint")[:3]
        if kept and not all(abs(value) <= MAX_METRES for value in xyz):  # NaN, too, fails this
            raise lines.error(f"coordinates that are not finite: {xyz}")
        block += xyz
    return block


class _Lines:
    """The lines of a text, one after the other; errors name the line."""

    def __init__(self, text: bytes) -> None:
        if not text.strip():
            raise DataError("it is empty")
        self._stream, self._number, self.place = io.BytesIO(text), 0, ""

    def error(self, cause: str) -> DataError:
        return DataError(f"line {self._number}{self.place}: {cause}")

    def _words(self, wanted: str) -> list[bytes]:
        line = self._stream.readline(_LINE_BYTES + 1)
        self._number += 1
        if not line:
            raise self.error(f"the text ends where {wanted} should be")
        if len(line) > _LINE_BYTES:
            raise self.error(f"a line of more than {_LINE_BYTES} characters: {_shown(line)}")
        return line.split()

    def count(self, wanted: str) -> int:
        """The next line, which is expected to hold one whole number."""
        words = self._words(wanted)
        if len(words) != 1 or not words[0].isdigit() or len(words[0]) > 9:
            raise self.error(f"{wanted} should be here, found {_shown(b' '.join(words))}")
        return int(words[0])

    def numbers(self, wanted: int, what: str) -> list[float]:
        """The next line, which is expected to hold `wanted` numbers."""
        words = self._words(what)
        if len(words) != wanted:
            raise self.error(f"{what} has {len(words)} words instead of {wanted}: {_shown(b' '.join(words))}")
        return [self._float(word) for word in words]

    def _float(self, word: bytes) -> float:
        try:
            if b"_" in word:  # only Python reads 1_000 as a number
                raise ValueError
            return float(word)
        except ValueError:
            raise self.error(f"{_shown(word)} is not a number") from None

    def end(self, frames: int) -> None:
        """Nothing but blank lines may follow."""
        self.place = ""
        while line := self._stream.readline(_LINE_BYTES):
            self._number += 1
            if line.strip():
                raise self.error(f"text after the last of {frames} frames: {_shown(line)}")


def _shown(words: bytes) -> str:
    """File contents fit for a message: short, and without control characters."""
    return repr(words[:24])[1:] + ("..." if len(words) > 24 else "")
