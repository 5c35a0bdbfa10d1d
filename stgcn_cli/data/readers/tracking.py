"""Who is who from frame to frame: persons seen one picture at a time -> persons over a clip.

Where a tracker gave ids, they decide. Else each person goes on as the nearest one before: pairs of centres are joined, the
nearest first, within one body size and a second of absence (30 frames); who is left begins a track. The persons seen in most
frames come first. Simple on purpose: two people who cross may be exchanged; a tracker's ids are better.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from stgcn_cli.data.readers.parsing import MAX_VALUES, Options

ABSENT = 30  # frames a person may be gone and still be the same
_REACH = 1.0  # body sizes a centre may move between two frames


class Detection(NamedTuple):
    """A person in one frame: joints (V, C), scores (V,), and the tracker's id where there is one."""

    joints: np.ndarray
    scores: np.ndarray
    track: int | str | None

    @property
    def is_empty(self) -> bool:
        """Whether no joint was found."""
        return not (np.isfinite(self.joints).all(axis=1) & (self.joints != 0).any(axis=1)).any()


def track_of(value: object) -> int | str | None:
    """The id a tracker gave: a number, a text or a list of one of them. Estimators write -1 where no tracker ran."""
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    if isinstance(value, str):
        word = value.strip()
        try:
            value = float(word)
        except ValueError:
            return word or None
        if not math.isfinite(value):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return int(value) if value == value // 1 else None


class Track:
    """One person up to now: where seen (frame -> Seen), and how to know them again."""

    def __init__(self) -> None:
        self.seen: dict[int, Detection] = {}
        self.centre, self.size, self.last = np.zeros(0), 0.0, 0

    def add(self, frame: int, seen: Detection) -> None:
        """Take in what was seen in a frame; of two in one frame, the first counts."""
        self.seen.setdefault(frame, seen)
        self.centre, size = place_of(seen)
        self.size, self.last = max(self.size, size), frame


def clip_of(frames: Sequence[Sequence[Detection]], options: Options, joints: int) -> dict[str, Any]:
    """keypoint (M, T, V, C), keypoint_score (M, T, V) and img_shape of a clip; a frame without anybody is zeros.

    Persons without a joint do not count: they take no part in telling the others apart.

    `joints` is V of a clip without a person; it has one person of zeros. Raises ValueError when persons differ in
    the number of joints, or there is no frame.
    """
    if not frames:
        raise ValueError("it has no frames")
    shapes = {seen.joints.shape for frame in frames for seen in frame}
    if len(shapes) > 1:
        raise ValueError(f"its persons have different numbers of joints: {', '.join(map(str, sorted(shapes)))}")
    v, c = shapes.pop() if shapes else (len(options.layout.joints) if options.layout else joints, 2)
    there = [[seen for seen in frame if not seen.is_empty] for frame in frames]
    tracks = _most_seen(follow(there))[: options.most_persons]
    if max(1, len(tracks)) * len(frames) * v * c > MAX_VALUES:
        raise ValueError(f"{len(frames)} frames of {v} joints are too much for one clip")
    keypoint = np.zeros((max(1, len(tracks)), len(frames), v, c), np.float32)
    score = np.zeros(keypoint.shape[:3], np.float32)
    for person, track in enumerate(tracks):
        for frame, seen in track.seen.items():
            keypoint[person, frame], score[person, frame] = seen.joints, seen.scores
    size = {"img_shape": options.image_size} if options.image_size else {}
    return {"keypoint": keypoint, "keypoint_score": score, **size}


def follow(frames: Sequence[Sequence[Detection]]) -> list[Track]:
    """Every person of the clip, in the order they appear."""
    tracks: list[Track] = []
    by_id: dict[int | str, Track] = {}
    trusted = _ids_differ(frames)
    for number, frame in enumerate(frames):
        loose = []
        for seen in frame:
            if seen.track is None or not trusted or number in by_id.get(seen.track, Track()).seen:
                loose.append(seen)
            else:
                if seen.track not in by_id:
                    tracks.append(by_id.setdefault(seen.track, Track()))
                by_id[seen.track].add(number, seen)
        known = set(map(id, by_id.values()))
        open_tracks = [t for t in tracks if id(t) not in known and number - t.last <= ABSENT]
        for seen, track in zip(loose, nearest_tracks(loose, open_tracks), strict=True):
            if track is None:
                tracks.append(track := Track())
            track.add(number, seen)
    return tracks


def _ids_differ(frames: Sequence[Sequence[Detection]]) -> bool:
    """Whether ids tell the persons of a frame apart: where no tracker ran, some estimators give all the same."""
    crowded = [[seen.track for seen in frame] for frame in frames if len(frame) > 1]
    same = sum(any(count > 1 for track, count in Counter(ids).items() if track is not None) for ids in crowded)
    return 2 * same < max(1, len(crowded))


def nearest_tracks(loose: Sequence[Detection], tracks: Sequence[Track]) -> list[Track | None]:
    """For each person seen the track it goes on with, each track once, the nearest pairs first."""
    chosen: list[Track | None] = [None] * len(loose)
    centres = [place_of(seen)[0] for seen in loose]
    pairs = [
        (float(np.linalg.norm(centre - track.centre)), a, b)
        for a, centre in enumerate(centres)
        for b, track in enumerate(tracks)
    ]
    taken: set[int] = set()
    for distance, a, b in sorted(pairs):
        if chosen[a] is None and b not in taken and distance <= _REACH * tracks[b].size:
            chosen[a] = tracks[b]
            taken.add(b)
    return chosen


def place_of(seen: Detection) -> tuple[np.ndarray, float]:
    """The middle of the joints that were found, of which there is one, and the diagonal of the box around them."""
    found = seen.joints[np.isfinite(seen.joints).all(axis=1) & (seen.joints != 0).any(axis=1)].astype(np.float64)
    return found.mean(axis=0), float(np.linalg.norm(found.max(axis=0) - found.min(axis=0)))


def _most_seen(tracks: list[Track]) -> list[Track]:
    """Those in most frames first; of equals the one with the better scores, then the earlier one."""

    def rank(track: Track) -> tuple[int, float]:
        return -len(track.seen), -float(np.mean([np.nan_to_num(seen.scores).mean() for seen in track.seen.values()]))

    return sorted(tracks, key=rank)
