"""Answers while frames come in: one JSON object a line -> what each person does, and segments as soon as they are final.

Shapes: W frames of a window, V joints, C values of a joint. Windows lie as in `windows`, so that a recorded file gives the same
timeline. Memory: a window for each person who is there.
"""

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.data.readers import openpose
from stgcn_cli.data.readers.persons import PERSONS, Person, persons_in
from stgcn_cli.data.readers.tracking import ABSENT, Detection, Track, nearest_tracks
from stgcn_cli.data.records import Clip
from stgcn_cli.errors import DataError
from stgcn_cli.evaluation import metrics
from stgcn_cli.evaluation.predict import Predictor
from stgcn_cli.evaluation.windows import Segment, Timeline, WindowOptions, window_starts
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.io.text import printable

LONGEST = 10_000_000  # characters of a line
_NUMBERS = ("frame", "frame_id", "frame_index")
_SOURCE = Path("stdin")
_TOLD = 10  # unreadable lines that are reported one by one


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """An answer when it changes, and every `every` frames (0: only when it changes)."""

    windows: WindowOptions
    every: int = 0
    image_size: tuple[int, int] | None = None


class Body:
    """One person who is there: the last W frames (None where not seen), the timeline, and the last answer."""

    def __init__(self, options: WindowOptions) -> None:
        self.frames: deque[np.ndarray | None] = deque(maxlen=options.window)
        self.timeline = Timeline(options)
        self.answer: int | None = None
        self.asked = False


class Identities:
    """Ids of persons that come without one: whoever is near to where a person was is that person."""

    def __init__(self) -> None:
        self.tracks: dict[int, Track] = {}
        self.next = 0

    def of(self, loose: list[Detection], frame: int) -> list[str]:
        """An id, "#0", "#1", …, for each person of a frame."""
        self.tracks = {key: track for key, track in self.tracks.items() if frame - track.last <= ABSENT}
        keys = {id(track): key for key, track in self.tracks.items()}
        found = []
        for seen, track in zip(loose, nearest_tracks(loose, list(self.tracks.values())), strict=True):
            key = self.next if track is None else keys[id(track)]
            if track is None:
                track, self.next = self.tracks.setdefault(key, Track()), self.next + 1
            track.add(frame, seen)
            track.seen.clear()  # a track of a file remembers all frames
            found.append(f"#{key}")
        return found


class Live:
    """The state of a stream: `frame(value)` for each frame and `end()` yield answers and segments as dicts."""

    def __init__(self, predictor: Predictor, options: LiveOptions) -> None:
        self.predictor, self.options = predictor, options
        data = predictor.preset.data
        self.joints = len(presets.layout_of(predictor.preset).joints)
        self.coordinates, self.has_score = len(data.channels.removesuffix("s")), data.channels == "xys"
        self.bodies: dict[Any, Body] = {}
        self.identities = Identities()
        self.count = 0  # frames so far, those that are missing between numbers included
        self.number: int | None = None  # of the newest frame, as the input counts
        self.times: deque[float | None] = deque(maxlen=2 * options.windows.window * max(2, options.windows.smooth))

    def frame(self, value: Any) -> Iterator[dict[str, Any]]:
        """Take in a frame. Raises ValueError for one that is not readable; the state is then as before."""
        began = time.perf_counter()
        t, number = _time(value), _number(value)
        persons = [self._joints(person) for person in _persons(value)]
        there = self._with_ids([(p, who) for p, who in persons if p.any()])
        missing = 0 if number is None or self.number is None else max(0, number - self.number - 1)
        for _ in range(min(missing, 2 * self.options.windows.window)):
            yield from self._take({}, None, began)
        if missing > 2 * self.options.windows.window:  # nobody is there any more
            self.count += missing - 2 * self.options.windows.window
            self.times.clear()
        self.number = number
        yield from self._take(there, t, began)

    def end(self) -> Iterator[dict[str, Any]]:
        """The window at the end, where none ended there, and the segments that are left."""
        frames, began = self.count, time.perf_counter()
        last = window_starts(frames, self.options.windows)[-1]
        if frames and not self._is_regular(frames):
            yield from self._ask(last, began, min(frames, self.options.windows.window))
        for key, body in self.bodies.items():
            yield from (self._segment(key, each) for each in body.timeline.finish())

    def _is_regular(self, frames: int) -> bool:
        window, stride = self.options.windows.window, self.options.windows.stride
        return frames >= window and (frames - window) % stride == 0

    def _take(self, there: dict[Any, np.ndarray], t: float | None, began: float) -> Iterator[dict[str, Any]]:
        window = self.options.windows.window
        for key in there:
            if key not in self.bodies:
                body = self.bodies.setdefault(key, Body(self.options.windows))
                body.frames.extend([None] * min(self.count, window))
        for key, body in self.bodies.items():
            body.frames.append(there.get(key))
        self.count += 1
        self.times.append(t)
        if self._is_regular(self.count):
            yield from self._ask(self.count - window, began, window)
        for key in [key for key, body in self.bodies.items() if not any(each is not None for each in body.frames)]:
            yield from (self._segment(key, each) for each in self.bodies.pop(key).timeline.finish())
        every = self.options.every
        if every and self.count % every == 0:
            for key, body in self.bodies.items():
                if body.timeline.given:
                    yield self._answer(key, body, began)

    def _ask(self, start: int, began: float, frames: int) -> Iterator[dict[str, Any]]:
        """Compute the newest window of everybody in it; changed answers and final segments."""
        there = {key: body for key, body in self.bodies.items() if any(each is not None for each in body.frames)}
        if not there:
            return
        clips = [self._clip(body, frames) for body in there.values()]
        shares = metrics.probabilities(self.predictor.scores(clips))
        for (key, body), share in zip(there.items(), shares, strict=True):
            present = np.array([each is not None for each in list(body.frames)[-frames:]])
            final = body.timeline.add(start, share, present)
            answer = self._label(body)
            if not body.asked or answer != body.answer:
                yield self._answer(key, body, began)
            body.asked, body.answer = True, answer
            yield from (self._segment(key, each) for each in final)

    def _clip(self, body: Body, frames: int) -> Clip:
        shape = (self.joints, self.coordinates + self.has_score)
        values = np.stack(
            [np.zeros(shape, np.float32) if each is None else each for each in list(body.frames)[-frames:]]
        )[None]
        record = {"frame_dir": "live", "keypoint": values[..., : self.coordinates], "total_frames": frames}
        record |= {"keypoint_score": values[..., -1]} if self.has_score else {}
        record |= {"img_shape": self.options.image_size} if self.options.image_size else {}
        return Clip(record=record, source=_SOURCE, raw=True)

    def _label(self, body: Body) -> int | None:
        share = body.timeline.smoothed()
        return int(share.argmax()) if share.max() >= self.options.windows.min_score else None

    def _answer(self, key: Any, body: Body, began: float) -> dict[str, Any]:
        label, share = self._label(body), body.timeline.smoothed()
        return {
            "event": "answer", "person": key, "frame": self.count - 1, "t": self._seconds(self.count - 1),
            "class": None if label is None else self.predictor.classes[label], "score": round(float(share.max()), 4),
            "latency_ms": round(1000 * (time.perf_counter() - began), 2),
        }  # fmt: skip

    def _segment(self, key: Any, found: Segment) -> dict[str, Any]:
        return {
            "event": "segment", "person": key, "start": found.start, "end": found.end,
            "start_s": self._seconds(found.start), "end_s": self._seconds(found.end),
            "class": self.predictor.classes[found.label], "score": round(found.score, 6),
        }  # fmt: skip

    def _seconds(self, frame: int) -> float:
        """The time of a frame as the input gave it, else by the rate."""
        place = frame - (self.count - len(self.times))
        given = self.times[place] if 0 <= place < len(self.times) else None
        return round(given if given is not None else frame / self.options.windows.fps, 3)

    def _joints(self, person: Person) -> tuple[np.ndarray, Any]:
        """(V, C + score) and the id. Raises ValueError for another skeleton."""
        values, scores = person.values, person.scores
        if len(values) != self.joints or values.shape[1] < self.coordinates:
            wanted = f"{self.joints} joints with {self.coordinates} coordinates"
            raise ValueError(f"a person has {len(values)} joints with {values.shape[1]} values, expected {wanted}")
        joints = np.nan_to_num(values[:, : self.coordinates], posinf=0, neginf=0)
        if not self.has_score:
            return joints, person.track
        score = values[:, 2] if values.shape[1] > 2 else scores if scores is not None else joints.any(axis=1)
        joined = np.concatenate([joints, np.nan_to_num(np.asarray(score, np.float32))[:, None]], axis=1)
        return joined * joints.any(axis=1, keepdims=True), person.track

    def _with_ids(self, persons: list[tuple[np.ndarray, Any]]) -> dict[Any, np.ndarray]:
        """By id; of two with one id the first counts."""
        loose = [joints for joints, who in persons if who is None]
        seen = [Detection(each[:, : self.coordinates], np.ones(len(each), np.float32), None) for each in loose]
        named = dict(zip(self.identities.of(seen, self.count), loose, strict=True))
        for joints, who in persons:
            if who is not None:
                named.setdefault(who, joints)
        return named


def _persons(value: Any) -> list[Person]:
    """The persons of a frame, in any form that pose estimators write. Raises ValueError."""
    if isinstance(value, list):
        return persons_in(value)
    if not isinstance(value, dict):
        raise ValueError(f"a frame is a {type(value).__name__}, not an object")
    if wrong := next((key for key in PERSONS if not isinstance(value.get(key, []), list | None)), None):
        raise ValueError(f"{wrong!r} is a {type(value[wrong]).__name__}, not a list")
    people = value.get("people")
    if people and all(isinstance(each, dict) for each in people):  # OpenPose's
        found = [seen for each in people if (seen := openpose.person_of(each))]
        if found:
            return [Person(seen.joints, seen.scores, seen.track) for seen in found]
    return persons_in(value["annotations"] if isinstance(value.get("annotations"), list) else value)


def _time(value: Any) -> float | None:
    t = value.get("t") if isinstance(value, dict) else None
    return float(t) if isinstance(t, int | float) and not isinstance(t, bool) and np.isfinite(t) else None


def _number(value: Any) -> int | None:
    found = (
        next((value[key] for key in _NUMBERS if isinstance(value.get(key), int)), None)
        if isinstance(value, dict)
        else None
    )
    return None if isinstance(found, bool) else found


def stream(live: Live, lines: Iterable[str], reporter: Reporter) -> Iterator[dict[str, Any]]:
    """Answers and segments for JSON lines; lines that are no frame are reported and skipped. Ends with the lines."""
    wrong = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if len(line) > LONGEST:
                raise ValueError(f"it has {len(line):,} characters")
            yield from live.frame(json.loads(line))
        except (ValueError, DataError, RecursionError) as error:
            wrong += 1
            if wrong <= _TOLD:
                more = " Further ones are only counted." if wrong == _TOLD else ""
                reporter.warn(f"Line {number} is skipped: {printable(str(error))[:200]}.{more}")
    yield from live.end()
    if wrong > _TOLD:
        reporter.warn(f"{wrong:,} lines were skipped.")
