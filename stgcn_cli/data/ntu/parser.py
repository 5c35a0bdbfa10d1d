"""One NTU `.skeleton` text -> joint coordinates. Bodies are identified by their place in the frame; only x y z are kept.

Two readers agree on every text. The one here processes all characters of a regular text at once, as arrays, in half the
time of splitting it into words. `strict_parser` reads line by line, takes over ten times as long, and locates errors; it
reads every text that the first does not recognise as regular.

Shapes: M bodies, T frames, V = 25 joints, C = 3 (x y z in metres, in the camera's coordinates).
"""

import re

import numpy as np

from stgcn_cli.data.ntu.strict_parser import (
    BODY_WORDS,
    JOINT_WORDS,
    JOINTS,
    MAX_BODIES,
    MAX_FRAMES,
    MAX_METRES,
    Blocks,
    read_lines,
)

_NEWLINE, _RETURN, _SPACE, _MINUS, _POINT, _ZERO = b"\n\r -.0"
_REGULAR_BYTES = 4 << 20  # the arrays take some ten times the text
_BODY_SPAN = BODY_WORDS + 1 + JOINTS * JOINT_WORDS  # words of one body in one frame
_LONGEST = 15  # characters of a coordinate: its digits are exact in float64
_TEN_TO = 10.0 ** np.arange(_LONGEST + 1)
_EXPONENT = re.compile(rb"(?<=[0-9])[eE][-+]?[0-9]{1,4}(?=\s)")


def read_skeleton(text: bytes) -> np.ndarray:
    """(M, T, 25, 3) float64 coordinates; M is the most bodies in any frame, at most 4; absent bodies are zeros.

    Raises DataError with the line and the cause: empty, truncated, a wrong count, a word that is not a number,
    coordinates that are not finite, no frames, text after the last frame.
    """
    blocks = read_regular(text) if 0 < len(text) <= _REGULAR_BYTES else None
    return stack_bodies(blocks or read_lines(text))


def stack_bodies(blocks: Blocks) -> np.ndarray:
    """(M, T, 25, 3) float64; absent bodies are zeros."""
    body, frame = blocks.places
    bodies_CMTV = np.zeros((3, body.max(initial=-1) + 1, blocks.frames, JOINTS))
    bodies_CMTV[:, body, frame] = blocks.xyz
    return bodies_CMTV.transpose(1, 2, 3, 0)  # channels stay first in memory, as `normalize` needs them


def read_regular(text: bytes) -> Blocks | None:
    """The coordinates in a text of plain numbers in regular lines; None for any other text."""
    char = np.frombuffer(text, np.uint8)
    words = _find_words(_without_exponents(text, char))
    walk = None if words is None else _find_bodies(text, words)
    if words is None or walk is None or not _have_25_joints(char, words[walk[1] + BODY_WORDS]):
        return None
    counts, bodies, places = walk
    frames, kept = len(counts), places[0] < MAX_BODIES
    joints = bodies[:, None] + BODY_WORDS + 1 + JOINT_WORDS * np.arange(JOINTS)
    starts = words[np.concatenate([counts, bodies, bodies + BODY_WORDS, joints.ravel()])]
    newline = char[: words[-2]] == _NEWLINE
    if np.count_nonzero(newline) != len(starts) or not newline[starts - 1].all():
        return None  # each line begins where it should, and there are no others
    first = words[joints[kept].ravel() + np.arange(4)[:, None]]  # (4, blocks * V): each joint's first four words
    values = _to_numbers(text, char, first[:3].ravel(), first[1:].ravel() - 1)
    if values is None or np.abs(values).max(initial=0) > MAX_METRES:
        return None
    return Blocks(values.reshape(3, -1, JOINTS), places[:, kept], frames)


def _without_exponents(text: bytes, char: np.ndarray) -> np.ndarray:
    """The characters with each e-05 written 0005: equivalent for recognising plain numbers, and simpler."""
    if b"e" not in text and b"E" not in text:
        return char
    char = char.copy()
    for at in np.flatnonzero((char == ord("e")) | (char == ord("E"))).tolist():
        if exponent := _EXPONENT.match(text, at):
            char[at : exponent.end()] = _ZERO
    return char


def _find_words(char: np.ndarray) -> np.ndarray | None:
    """Where each word starts, and the end of the text; None unless each word surely is minus? digits (point digits)?

    So nan, tabs, `.5`, `+5`, letters and junk give None.
    """
    digit, blank, point, minus = char - _ZERO <= 9, char <= _SPACE, char == _POINT, char == _MINUS
    if not (digit | blank | point | minus).all() or not (digit[0] and (digit | blank)[-1]):
        return None
    # With truth values, a > b reads "a and not b".
    if (minus[1:] > blank[:-1]).any() or (point[1:] > digit[:-1]).any() or ((minus | point)[:-1] > digit[1:]).any():
        return None
    marks = char[np.flatnonzero(blank | point)]
    point, plain = marks == _POINT, (marks == _SPACE) | (marks == _NEWLINE) | (marks == _RETURN)
    if (point[1:] & point[:-1]).any() or not (point | plain).all():
        return None  # two points in one word, or control characters
    return np.concatenate([[0], np.flatnonzero(blank[:-1] > blank[1:]) + 1, [len(char)]])


def _find_bodies(text: bytes, words: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The word that counts the bodies of each frame, the word where each body starts, and (2, bodies) its place in the
    frame, its frame.

    None when the counts do not add up, or ten bodies or more are in a frame.
    """
    at, counts = 1, []
    start_of = memoryview(words.data)  # gives Python's own integers, three times faster
    try:
        frames = int(text[: start_of[1]])
        for _ in range(min(frames, MAX_FRAMES + 1)):
            start = start_of[at]
            if not 0 <= text[start] - _ZERO <= 9 or text[start + 1] > _SPACE:
                return None
            counts.append(text[start] - _ZERO)
            at += 1 + counts[-1] * _BODY_SPAN
    except (IndexError, ValueError):
        return None
    if at != len(words) - 1 or not 0 < frames <= MAX_FRAMES:
        return None
    frame = np.repeat(np.arange(frames), counts)
    before = np.cumsum(counts) - counts
    place = np.arange(len(frame)) - np.repeat(before, counts)
    counted = 1 + np.arange(frames) + before * _BODY_SPAN
    return counted, 2 + frame + np.arange(len(frame)) * _BODY_SPAN, np.stack([place, frame])


def _have_25_joints(char: np.ndarray, count: np.ndarray) -> bool:
    """Whether each of these places holds "25"."""
    return bool(((char[count] == ord("2")) & (char[count + 1] == ord("5")) & (char[count + 2] <= _SPACE)).all())


def _to_numbers(text: bytes, char: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray | None:
    """float64 of the words at char[start:end], to the bit what float() gives; None when one is too long.

    A decimal is one whole number over a power of ten. Both are exact, so the one division rounds correctly.
    """
    length, negative = (end - start).astype(np.uint8), char[start] == _MINUS
    width = int((end - start).max(initial=1))
    if width > _LONGEST:
        return None
    place = np.arange(width)[:, None]  # 0 is the last character; arrays are (place, word)
    shown = char[end - 1 - place]
    place = place.astype(np.uint8)
    inside, digits = place < length, shown - _ZERO
    digit, point = (digits <= 9) & inside, (shown == _POINT) & inside
    decimals = (place * point).sum(0, dtype=np.uint8)
    scale = _TEN_TO[decimals]
    # Not a matrix product: BLAS would start threads for it, here in each of many processes.
    whole = (_TEN_TO[:width, None] * (digits * digit)).sum(0)
    # The point took a place among the digits: the digits left of it count ten times too much.
    whole -= np.where(decimals > 0, np.floor(whole / (10 * scale)) * 9 * scale, 0)
    values = np.where(negative, -whole, whole) / scale
    for word in np.flatnonzero((digit | point).sum(0, dtype=np.uint8) + negative != length):  # those with an exponent
        values[word] = float(text[start[word] : end[word]])
    return values
