import random

import numpy as np
import pytest

from stgcn_cli.data.ntu import strict_parser
from stgcn_cli.data.ntu.parser import read_regular, read_skeleton
from stgcn_cli.errors import DataError
from tests.factories.skeletons import ONE_FRAME, golden_texts, text

WORDS = [b"nan", b"-inf", b"1e5", b"1e-05", b"-1.5E+3", b"1.2.3", b"--1", b"1e", b".5", b"5.", b"-", b"1e999", b"0x1",
         b"1_0", b"9" * 30, b"-0", b"0.12345678901234567", b"1-2", b"25", b"1e5.3", b"1e5e5", b"", b"\xff", b"1\x1c2"]  # fmt: skip


def one_frame() -> bytes:
    return golden_texts()[ONE_FRAME]


def with_word(line: int, word: int, new: bytes, old: bytes | None = None) -> bytes:
    """The text with one word replaced; lines count from 1, words from 0."""
    lines = (old or text([1, 1])).split(b"\r\n")
    words = lines[line - 1].split(b" ")
    words[word] = new
    lines[line - 1] = b" ".join(words)
    return b"\r\n".join(lines)


def both(content: bytes) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The coordinates by the quick and by the careful reader; None for a text that is refused or in doubt."""
    quick = read_regular(content) if content else None
    try:
        careful = strict_parser.read_lines(content)
    except DataError as error:
        assert len(error.message) < 300 and error.message.isprintable()
        return None if quick is None else quick.xyz, None
    if quick is not None:
        assert np.array_equal(quick.places, careful.places) and quick.frames == careful.frames
    return None if quick is None else quick.xyz, careful.xyz


@pytest.mark.parametrize("name", golden_texts())
def test_the_quick_reader_reads_every_regular_text_as_the_careful_one(name):
    quick, careful = both(golden_texts()[name])
    assert quick is not None and careful is not None and np.ascontiguousarray(careful).tobytes() == quick.tobytes()


def test_the_quick_reader_reads_all_reference_texts(shared):
    for archive in ("raw60.zip", "raw120.zip"):
        for content in golden_texts(shared / "golden" / "prepare" / archive).values():
            quick, careful = both(content)
            assert np.ascontiguousarray(careful).tobytes() == quick.tobytes()


def test_numbers_are_converted_as_python_converts_them():
    rng = np.random.default_rng(0)
    formats = ["{:.7g}", "{:.5f}", "{:.0f}", "{:.12f}", "{:.3e}"]
    numbers = [rng.choice(formats).format(x) for x in rng.normal(0, 1, 75) * 10.0 ** rng.integers(-6, 3, 75)]
    rows = "\n".join(" ".join(numbers[3 * joint : 3 * joint + 3]) + " 0 0 0 0 0 0 0 0 2" for joint in range(25))
    bodies = read_skeleton(f"1\n1\n1 0 0 0 0 0 0 0 0 2\n25\n{rows}\n".encode())
    assert bodies.reshape(-1).tolist() == [float(number) for number in numbers]


def test_what_is_damaged_at_random_is_refused_by_both_or_read_alike():
    rng = random.Random(0)
    for _ in range(400):
        content = bytearray(one_frame())
        at = rng.randrange(len(content))
        start, end = content.rfind(b" ", 0, at) + 1, content.find(b" ", at) % (len(content) + 1)
        content[start:end] = rng.choice(
            [*WORDS, content[at : at + 1], content[start:end] * 2, b"\r\n", content[start:at]]
        )
        quick, careful = both(bytes(content))
        assert quick is None or quick.tobytes() == np.ascontiguousarray(careful).tobytes()


@pytest.mark.parametrize("change", [
    lambda t: t.replace(b"\r\n", b"\n"),
    lambda t: t.replace(b"\n", b"\r\n") if b"\r" not in t else t,
    lambda t: t + b"\r\n \r\n\n",
    lambda t: t.rstrip(),
    lambda t: with_word(5, 4, b"NaN", t),
    lambda t: with_word(5, 11, b"-inf", t),
    lambda t: with_word(3, 8, b"1.5e-3", t),
])  # fmt: skip
def test_line_ends_blank_ends_and_columns_that_are_not_kept_do_not_matter(change):
    plain = text([1, 2, 0])
    assert np.array_equal(read_skeleton(change(plain)), read_skeleton(plain))


def test_bodies_stand_where_they_stood_and_at_most_four_are_kept():
    bodies = read_skeleton(text([0, 6, 2]))
    assert bodies.shape == (4, 3, 25, 3)
    assert [[bool(bodies[body, frame].any()) for frame in range(3)] for body in range(4)] == [
        [False, True, True], [False, True, True], [False, True, False], [False, True, False]
    ]  # fmt: skip
    assert read_skeleton(b"2\n0\n0\n").shape == (0, 2, 25, 3)


LAST = 1 + 2 * 28
BAD = {
    "empty": (b"", "empty"),
    "blank": (b" \r\n\r\n", "empty"),
    "no frames": (b"0\r\n", "no frames"),
    "no frame count": (b"\r\n" + text([1]), "line 1: the number of frames should be here"),
    "truncated in a line": (text([1, 1])[:-40], f"line {LAST} (frame 2 of 2): the line of a joint has"),
    "truncated after a line": (
        b"\r\n".join(text([1, 1]).split(b"\r\n")[:-5]),
        "the text ends where the line of a joint",
    ),
    "more frames claimed": (
        text([1, 1]).replace(b"2", b"3", 1),
        f"line {LAST + 1} (frame 3 of 3): the text ends where",
    ),
    "fewer frames claimed": (text([1, 1]).replace(b"2", b"1", 1), "line 30: text after the last of 1 frames"),
    "absurd frame count": (b"999999999\r\n0\r\n", "999999999 frames, more than"),
    "endless frame count": (b"9" * 4000 + b"\r\n0\r\n", "line 1: the number of frames should be here"),
    "negative count": (
        text([1]).replace(b"1\r\n1\r\n", b"1\r\n-1\r\n", 1),
        "line 2 (frame 1 of 1): the number of bodies",
    ),
    "more bodies claimed": (
        text([1, 1]).replace(b"\r\n1\r\n", b"\r\n2\r\n", 1),
        "line 30 (frame 1 of 2): the line of a body",
    ),
    "fewer bodies claimed": (
        text([1, 1]).replace(b"\r\n1\r\n", b"\r\n0\r\n", 1),
        "line 3 (frame 2 of 2): the number of bodies",
    ),
    "absurd body count": (
        text([1]).replace(b"\r\n1\r\n", b"\r\n99999999\r\n", 1),
        "line 30 (frame 1 of 1): the text ends",
    ),
    "24 joints": (text([1]).replace(b"\r\n25\r\n", b"\r\n24\r\n", 1), "line 4 (frame 1 of 1): 24 joints instead of 25"),
    "a word": (with_word(5, 1, b"left"), "line 5 (frame 1 of 2): 'left' is not a number"),
    "a word in another column": (with_word(6, 9, b"1.2.3"), "line 6 (frame 1 of 2): '1.2.3' is not a number"),
    "NaN": (with_word(5, 0, b"nan"), "line 5 (frame 1 of 2): coordinates that are not finite"),
    "infinity": (with_word(LAST, 2, b"-inf"), f"line {LAST} (frame 2 of 2): coordinates that are not finite"),
    "too large for float": (with_word(5, 0, b"1e999"), "not finite"),
    "too large for float32": (with_word(5, 0, b"1e30"), "not finite"),
    "eleven numbers": (
        with_word(7, 3, b"").replace(b"  ", b" "),
        "line 7 (frame 1 of 2): the line of a joint has 11 words",
    ),
    "junk after the end": (text([1]) + b"bye\x1b[31m\r\n", "line 30: text after the last of 1 frames: 'bye\\x1b[31m"),
    "binary": (bytes(range(256)) * 50, "line 1: the number of frames should be here"),
    "one endless line": (b"1 " * 50_000, "line 1: a line of more than 4096 characters"),
    "a zip": (b"PK\x03\x04" + bytes(500), "line 1: the number of frames should be here, found 'PK\\x03\\x04"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_text_is_refused_with_the_line_and_the_cause(case):
    content, cause = BAD[case]
    with pytest.raises(DataError) as caught:
        read_skeleton(content)
    assert cause in caught.value.message
    assert caught.value.message.isprintable() and len(caught.value.message) < 200
