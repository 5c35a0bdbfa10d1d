"""`.skeleton` texts: two readers that must agree on every text, or refuse it with the line and the cause."""

import random
from pathlib import Path

import numpy as np

from stgcn_cli.data.ntu.parser import read_regular, stack_bodies
from stgcn_cli.data.ntu.strict_parser import read_lines
from stgcn_cli.errors import DataError
from tests.factories.skeletons import golden_texts, text
from tests.fuzz.mutate import some_bytes, some_words
from tests.fuzz.target import Target, refused

_SHORT = 4


def _seeds() -> list[bytes]:
    """Real texts cut to a few frames, and made-up ones with none to six bodies."""
    real = [_first_frames(content, 1 + i % 3) for i, content in enumerate(golden_texts().values())]
    shapes = ([1], [1, 1], [2], [0, 1], [1, 0, 1], [0], [6], [5, 1], [3, 2], [1, 2, 1])
    made = [text(shape, seed) for seed, shape in enumerate(shapes)]
    made += [
        made[1].replace(b"\r\n", b"\n"),
        made[3].replace(b"\r\n", b"\n") + b"\n \n",
        made[0].replace(b"0.", b"1.5e-1", 3),
    ]
    return real[:8] + made


def _first_frames(content: bytes, frames: int) -> bytes:
    lines = content.split(b"\n")
    at, frames = 1, min(frames, int(lines[0]))
    for _ in range(frames):
        at += 1 + 27 * int(lines[at])
    return b"\n".join([str(frames).encode() + b"\r" * lines[0].endswith(b"\r"), *lines[1:at], b""])


def _mutate(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    if rng.random() < 0.1:
        return some_bytes(rng, data, seeds)
    changed = some_words(rng, data, seeds)
    if rng.random() < 0.25:  # the frame count follows, so that what lies behind is reached
        lines = changed.split(b"\n")
        lines[0] = str(rng.choice((1, 2, 3, max(1, len(lines) // 28)))).encode()
        changed = b"\n".join(lines)
    return changed


def _attempt(data: bytes, folder: Path) -> str:
    quick = read_regular(data) if data else None
    try:
        careful = read_lines(data)
    except DataError as error:
        assert quick is None, "the quick reader takes what the careful one refuses"
        assert len(error.message) < 300 and error.message.isprintable()
        return refused(error)
    if quick is not None:
        assert np.array_equal(quick.places, careful.places) and quick.frames == careful.frames
        assert quick.xyz.tobytes() == np.ascontiguousarray(careful.xyz).tobytes(), "the readers disagree"
    bodies = stack_bodies(quick or careful)
    assert bodies.shape[0] <= _SHORT and bodies.shape[2:] == (25, 3) and np.isfinite(bodies).all()
    return "read by both" if quick is not None else "read by the careful one only"


def _early(outcome: str) -> bool:
    return outcome.startswith(("line 1:", "it is empty", "it claims", "it has no frames"))


TARGET = Target("parser", _seeds, _mutate, _attempt, ("parser.py", "strict_parser.py"), early=_early)
