"""Answers while frames come in: one JSON object per line in, the action of each person and final segments out.

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
from stgcn_cli.data.clips import Clip
from stgcn_cli.data.joint_values import Plan
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.readers.person_frames import detection_of, plan_of
from stgcn_cli.data.readers.persons import Person
from stgcn_cli.data.records import REFERENCE_SIZE
from stgcn_cli.errors import DataError
from stgcn_cli.evaluation import metrics
from stgcn_cli.evaluation.frames import Frame, Identities, frame_of
from stgcn_cli.evaluation.predict import Predictor
from stgcn_cli.evaluation.timeline import Segment, Timeline, WindowOptions, window_starts
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.io.text import printable

LONGEST = 10_000_000  # characters of a line
_SOURCE = Path("stdin")
_REPORTED = 10  # unreadable lines that are reported one by one
_AS_THEY_LOOK = Options()


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """An answer when it changes, and every `every` frames (0: only when it changes)."""

    windows: WindowOptions
    every: int = 0
    reading: Options = _AS_THEY_LOOK


class Body:
    """One person who is there: the last W frames (None where not seen), the timeline, and the last answer."""

    def __init__(self, options: WindowOptions, missed: int) -> None:
        self.frames: deque[Person | None] = deque([None] * min(missed, options.window), maxlen=options.window)
        self.timeline = Timeline(options)
        self.answer: int | None = None
        self.asked = False
        self.last = 0  # frame in which the person was seen


class Live:
    """The state of a stream: `take(read(value))` for each frame and `end()` yield answers and segments as dicts."""

    def __init__(self, predictor: Predictor, options: LiveOptions) -> None:
        self.predictor, self.options, self.windows = predictor, options, options.windows
        self.joints = len(presets.layout_of(predictor.preset).joints)
        self.plan: Plan | None = None  # what the values of joints are, as those of the first window tell
        self.form: tuple[int, bool, bool] | None = None  # values of a joint; scores beside them; is_exact of the frames
        self.bodies: dict[Any, Body] = {}
        self.identities = Identities(len(predictor.preset.data.channels.removesuffix("s")))
        self.warnings: list[str] = []  # warnings about the first window, until they are reported
        self.count = 0  # frames so far, those that are missing between numbers included
        self.number: int | None = None  # of the newest frame, as the input counts
        self.times: deque[float | None] = deque(maxlen=2 * self.windows.window * max(2, self.windows.smooth))

    def read(self, value: Any) -> Frame:
        """The frame in a JSON value; the state stays as it is. Raises ValueError for one that does not fit."""
        frame = frame_of(value, self.options.reading.layout)
        for person, form in zip(frame.persons, forms := _forms(frame), strict=True):
            if len(person.values) != self.joints:
                raise ValueError(f"a person has {len(person.values)} joints, expected {self.joints}")
            if form != (self.form or forms[0]):
                raise ValueError(f"a person has {form[0]} values a joint, in another form than the persons before")
        return frame

    def take(self, frame: Frame) -> Iterator[dict[str, Any]]:
        """Take in a frame. Raises DataError where the values of joints are not those that the model expects."""
        began, most = time.perf_counter(), 2 * self.windows.window
        self.form = self.form or next(iter(_forms(frame)), None)
        missing = 0 if frame.number is None or self.number is None else max(0, frame.number - self.number - 1)
        for _ in range(min(missing, most)):
            yield from self._add({}, None, began)
        if missing > most:  # the person has left
            self.count += missing - most
            self.times.clear()
        self.number = frame.number
        yield from self._add(self.identities.of(frame.persons, self.count), frame.t, began)

    def end(self) -> Iterator[dict[str, Any]]:
        """The window at the end, where none ended there, and the segments that are left."""
        frames, began = self.count, time.perf_counter()
        if frames and not self._ends_window(frames):
            yield from self._ask(window_starts(frames, self.windows)[-1], began, min(frames, self.windows.window))
        for key, body in self.bodies.items():
            yield from (self._segment(key, each) for each in body.timeline.finish())

    def _ends_window(self, frames: int) -> bool:
        window, stride = self.windows.window, self.windows.stride
        return frames >= window and (frames - window) % stride == 0

    def _add(self, there: dict[Any, Person], t: float | None, began: float) -> Iterator[dict[str, Any]]:
        window, every = self.windows.window, self.options.every
        for key in there:
            if key not in self.bodies:
                self.bodies[key] = Body(self.windows, self.count)
        for key, body in self.bodies.items():
            body.frames.append(there.get(key))
            body.last = self.count if key in there else body.last
        self.count += 1
        self.times.append(t)
        if self._ends_window(self.count):
            yield from self._ask(self.count - window, began, window)
        for key in [key for key, body in self.bodies.items() if body.last < self.count - window]:
            yield from (self._segment(key, each) for each in self.bodies.pop(key).timeline.finish())
        if every and self.count % every == 0:
            yield from (self._answer(key, body, began) for key, body in self.bodies.items() if body.timeline.given)

    def _ask(self, start: int, began: float, frames: int) -> Iterator[dict[str, Any]]:
        """Compute the newest window of everybody in it; changed answers and final segments."""
        there = {key: body for key, body in self.bodies.items() if body.last >= start}
        if not there:
            return
        is_first = self.plan is None
        self.plan = self.plan or self._planned([each for body in there.values() for each in body.frames if each])
        windows = {key: list(body.frames)[-frames:] for key, body in there.items()}
        scores, facts = self.predictor.answer([self._clip(persons) for persons in windows.values()])
        self.warnings += self.predictor.oddities(facts) if is_first else []
        for (key, body), share in zip(there.items(), metrics.probabilities(scores), strict=True):
            final = body.timeline.add(start, share, np.array([each is not None for each in windows[key]]))
            answer = self._label(body)
            if not body.asked or answer != body.answer:
                yield self._answer(key, body, began)
            body.asked, body.answer = True, answer
            yield from (self._segment(key, each) for each in final)

    def _planned(self, persons: list[Person]) -> Plan | None:
        assert self.form is not None  # a person is present
        values, _, is_exact = self.form
        return Plan(values, None, "") if is_exact else plan_of(persons, self.options.reading)

    def _clip(self, persons: list[Person | None]) -> Clip:
        """What a file of these frames of one person would hold."""
        assert self.plan is not None and self.form is not None  # a person is present
        values = np.zeros((len(persons), self.joints, self.form[0]), np.float32)
        scores = np.zeros(values.shape[:2], np.float32) if self.form[1] else None
        for index, person in enumerate(persons):
            if person is not None:
                values[index] = person.values
                if scores is not None:
                    scores[index] = person.scores
        size = self.options.reading.image_size or (REFERENCE_SIZE if self.plan.is_shares else None)
        found = detection_of(Person(values, scores), self.plan, size or REFERENCE_SIZE)
        record: dict[str, Any] = {
            "frame_dir": "the stream",
            "total_frames": len(persons),
            "keypoint": found.joints[None],
        }
        record |= {"keypoint_score": found.scores[None]} if self.form[1] or self.plan.score is not None else {}
        record |= {"img_shape": size} if size else {}
        return Clip(record=record, source=_SOURCE, raw=True)

    def _label(self, body: Body) -> int | None:
        share = body.timeline.smoothed()
        return int(share.argmax()) if share.max() >= self.windows.min_score else None

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
        return round(given if given is not None else frame / self.windows.fps, 3)


def _forms(frame: Frame) -> list[tuple[int, bool, bool]]:
    return [(person.values.shape[1], person.scores is not None, frame.is_exact) for person in frame.persons]


def stream(live: Live, lines: Iterable[str], reporter: Reporter) -> Iterator[dict[str, Any]]:
    """Answers and segments for JSON lines; lines that are no frame are reported and skipped. Ends with the lines.

    Raises DataError where the values of joints are not those that the model expects.
    """
    wrong = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if len(line) > LONGEST:
                raise ValueError(f"it has {len(line):,} characters")
            frame = live.read(json.loads(line))
        except (ValueError, DataError, RecursionError) as error:
            wrong += 1
            if wrong <= _REPORTED:
                more = " Further ones are only counted." if wrong == _REPORTED else ""
                reporter.warn(f"Line {number} is skipped: {printable(str(error))[:200]}.{more}")
            continue
        yield from live.take(frame)
        while live.warnings:
            reporter.warn(live.warnings.pop(0))
    yield from live.end()
    if wrong > _REPORTED:
        reporter.warn(f"{wrong:,} lines were skipped.")
