"""Names of pictures -> videos: which number in "walk/frame_0012_1080p.jpg" is the frame, and what tells the video.

A name is cut at its numbers. What stands beside them (folder, words, other numbers) tells the video; the number that varies is
the frame. Where several vary, words decide ("frame 12 cam 2"), else the last one. Names that decide nothing are refused.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stgcn_cli.data.readers.parsing import NAMES
from stgcn_cli.io.text import one_line

_SUFFIXES = frozenset(NAMES["words"]["suffixes"])
# The latter of Roboflow's.
_TAIL = re.compile(r"[._-]?(keypoints|keypoints3d|pose)$|_(jpe?g|png)\.rf\.\w+$", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)")
_FRAME = re.compile(r"(?<![A-Za-z])(frames?|frm|fr|f|images?|imgs?|im|pics?|pictures?)[\W_]*$", re.IGNORECASE)
_VIDEO = re.compile(
    r"(?<![A-Za-z])(cam|camera|c|views?|v|videos?|vid|clips?|seq|sequence|takes?|trials?|reps?|persons?|p|s|subj?|subject"
    r"|scenes?|actions?|a|day|d|session|actor|setup|rgb)[\W_]*$",
    re.IGNORECASE,
)
_TIME = re.compile(r"(?:19|20)\d\d[-_.]?\d\d[-_.]?\d\d[-_ .T]*\d\d[-_.:h]?\d\d[-_.:m]?\d\d(?:[.,]\d+)?")
_FAR = 20  # frames from one picture of a video to the next, at most, in the middle of all
VIDEO_KEYS, TIME_KEYS = NAMES["keys"]["videos"], NAMES["keys"]["times"]  # in lists of frames, images or detections
_GAP = 2.5  # usual times from frame to frame: frames are missing


class Cut(NamedTuple):
    """A name cut at its numbers: the folder, the texts around the numbers, and the digits."""

    folder: str
    texts: tuple[str, ...]
    digits: tuple[str, ...]


@dataclass(frozen=True)
class Video:
    """The pictures of one video: `items` are their places in the list of names, in the order of `numbers`.

    `name` is what the names have in common, "" where that is nothing. A picture without a number has the number 0.
    """

    name: str
    numbers: tuple[int, ...]
    items: tuple[int, ...]
    numbered: bool = True


def cut(name: str, whole: bool = False) -> Cut:
    """Cut a name at its numbers, without suffixes of pictures and videos; `whole` also cuts its folders."""
    folder, _, base = re.sub(r"/+", "/", name.replace("\\", "/")).removeprefix("./").rpartition("/")
    while (parts := base.rpartition("."))[0] and parts[2].lower() in _SUFFIXES:
        base = parts[0]
    base = _TAIL.sub("", base) or base
    if whole:
        folder, base = "", f"{folder}/{base}"
    pieces = _NUMBER.split(base)
    return Cut(folder, tuple(pieces[::2]), tuple(pieces[1::2]))


def videos_of(names: Sequence[str]) -> list[Video]:
    """Group names, which differ from each other, by video, in the order of their first names. Raises ValueError."""
    found = _grouped(names, whole=False)
    if len(found) == len(names) > 1:  # a folder for each frame?
        whole = _grouped(names, whole=True)
        found = whole if len(whole) < len(found) else found
    twice = {video.name for i, video in enumerate(found) if video.name in [other.name for other in found[:i]]}
    return [Video(names[v.items[0]], v.numbers, v.items, v.numbered) if v.name in twice else v for v in found]


def video_of(names: Sequence[str], what: str) -> list[Video]:
    """The same for a list of pictures that has to be of videos; `what` is the key that holds the names. Raises ValueError."""
    found = videos_of(names)
    if bare := [names[video.items[0]] for video in found if not video.numbered]:
        raise ValueError(f"{what} is {bare[0]!r:.60}: no frame number, and nothing else tells the order of frames")
    if len(found) == len(names) > 1:
        raise ValueError(
            f"{what} is {names[0]!r:.60}, {names[1]!r:.60}, …: {len(names)} pictures with nothing in common, not frames of a video; "
            "video_id and frame_id in the list of images say which video each is of"
        )
    for video in found:
        check_near(video.numbers, what)
    return found


def note_on(videos: Sequence[Video], stem: str) -> tuple[str, ...]:
    """A note on how the videos of a file were distinguished, where there are several."""
    named = ", ".join(one_line(video.name) for video in videos[:3]) + (", …" if len(videos) > 3 else "")
    said = f"{stem}: {len(videos)} videos by what stands beside the frame number in names: {named}."
    return (said,) if len(videos) > 1 else ()


def places_of_times(times: np.ndarray, what: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The place (R,) of each time (R,) among those that differ, and a word on gaps: frames count, not seconds."""
    unique, places = np.unique(times, return_inverse=True)
    steps = np.diff(unique)
    usual = float(np.median(steps)) if len(steps) else 0.0
    gaps = int((steps > _GAP * usual).sum())
    if not gaps:
        return places, ()
    return places, (
        f"{what} has {gaps} gaps, the longest of {steps.max():.4g} where {usual:.4g} is usual: frames are taken one after the "
        "other. A column or key frame would keep the gaps.",
    )


def check_near(numbers: Sequence[int], what: str) -> None:
    """Raise ValueError where pictures are numbered so far apart that they are no frames of a video."""
    gaps = sorted(b - a for a, b in itertools.pairwise(numbers))
    middle = gaps[len(gaps) // 2] if gaps else 0
    if middle >= _FAR:
        listed = ", ".join(map(str, numbers[:3]))
        raise ValueError(
            f"{len(numbers)} pictures have the numbers {listed}, … in {what}: so far apart they are no frames of a video. "
            "Number the frames of a video one by one; unrelated pictures hold no motion"
        )


def _grouped(names: Sequence[str], whole: bool) -> list[Video]:
    alike: dict[tuple[str, tuple[str, ...]], list[tuple[tuple[str, ...], int]]] = {}
    for index, name in enumerate(names):
        pieces = cut(name, whole)
        alike.setdefault((pieces.folder, pieces.texts), []).append((pieces.digits, index))
    found = [video for (folder, texts), rows in alike.items() for video in _videos(folder, texts, rows, names)]
    return sorted(found, key=lambda video: min(video.items))


def _videos(
    folder: str, texts: tuple[str, ...], rows: list[tuple[tuple[str, ...], int]], names: Sequence[str]
) -> Iterator[Video]:
    """The videos of names that have the same folder and texts; `rows` are digits and places."""
    varying = [column for column in range(len(texts) - 1) if len({row[column] for row, _ in rows}) > 1]
    if not varying:
        yield from _alone(folder, texts, rows)
        return
    if len(varying) > 1 and _is_time(names[rows[0][1]], texts, rows[0][0], varying):
        order = sorted(rows, key=lambda row: [int(row[0][column]) for column in varying])
        digits = {column: "" for column in varying}
        name = _name(folder, texts, rows[0][0], digits)
        yield Video(name, tuple(range(len(order))), tuple(index for _, index in order))
        return
    frame = _frame_column(texts, varying)
    others = [column for column in varying if column != frame]
    groups: dict[tuple[int, ...], list[tuple[tuple[str, ...], int]]] = {}
    for row in rows:
        groups.setdefault(tuple(int(row[0][column]) for column in others), []).append(row)
    if others and len(groups) == len(rows):  # all vary together, as a number and the time it stands for
        if len({int(row[frame]) for row, _ in rows}) < len(rows):
            examples = f"{names[rows[0][1]]!r:.60}, {names[rows[1][1]]!r:.60}, …"
            raise ValueError(f"{examples}: which of the numbers in such names is the frame is not known")
        groups = {(): rows}
    for group in groups.values():
        order = sorted(group, key=lambda row: int(row[0][frame]))
        numbers = tuple(int(row[frame]) for row, _ in order)
        if again := next((a for a, b in itertools.pairwise(numbers) if a == b), None):
            raise ValueError(
                f"two names of a video have the frame number {again}: {names[order[0][1]]!r:.60} and others"
            )
        gone = {frame: ""} | ({column: "" for column in others} if len(groups) == 1 else {})
        yield Video(_name(folder, texts, order[0][0], gone), numbers, tuple(index for _, index in order))


def _alone(folder: str, texts: tuple[str, ...], rows: list[tuple[tuple[str, ...], int]]) -> Iterator[Video]:
    """Names that are equal but for their suffixes: each is by itself."""
    for digits, index in rows:
        last = len(digits) - 1
        name = _name(folder, texts, digits, {last: ""} if digits else {})
        yield Video(name, (int(digits[last]) if digits else 0,), (index,), numbered=bool(digits))


def _frame_column(texts: tuple[str, ...], varying: Sequence[int]) -> int:
    """Which of the numbers that vary is the frame: the one called so, else the last one that is not called a video."""
    called = [column for column in varying if _FRAME.search(texts[column])]
    if called:
        return called[-1]
    return ([column for column in varying if not _VIDEO.search(texts[column])] or list(varying))[-1]


def _is_time(name: str, texts: tuple[str, ...], digits: tuple[str, ...], varying: Sequence[int]) -> bool:
    """Whether the numbers that vary are those of a date and time of day."""
    base = "".join(text + number for text, number in zip(texts, (*digits, ""), strict=True))
    found = _TIME.search(base)
    if not found:
        return False
    starts = [len("".join(t + d for t, d in zip(texts[:c], digits[:c], strict=True)) + texts[c]) for c in varying]
    return all(found.start() <= start < found.end() for start in starts)


def _name(folder: str, texts: tuple[str, ...], digits: tuple[str, ...], gone: dict[int, str]) -> str:
    """What is left of a name without the numbers in `gone`: the name of its video."""
    left = texts[0]
    for column, number in enumerate(digits):
        after = texts[column + 1]
        if column in gone:
            left = _FRAME.sub("", left).rstrip("_-. ")
            left += after if left else after.lstrip("_-. ")
        else:
            left += number + after
    left = left.strip("_-. /")
    return f"{folder}/{left}".strip("/")
