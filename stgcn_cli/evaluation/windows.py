"""What happens when in a recording: a model's answers for overlapping windows, averaged per frame, as segments of each person.

Shapes: W frames of a window, M persons, C classes. A window holds one person. Windows start at 0, stride, 2 stride, … and the last
one ends where the recording ends; a shorter recording is one window. Windows without the person are left out.
"""

import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stgcn_cli.data.readers.inputs import expand, read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.records import Clip
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.evaluation import metrics
from stgcn_cli.evaluation.predict import Predictor, load
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.runs.resolve import EvalOptions

_AT_A_TIME = 256  # windows computed together, of all persons and inputs


@dataclass(frozen=True, kw_only=True)
class WindowOptions:
    """`smooth`: windows of a person whose probabilities are averaged around each; frames below `min_score` have no class."""

    window: int
    stride: int
    smooth: int = 1
    min_score: float = 0.0
    fps: float = 30.0

    def __post_init__(self) -> None:
        if not self.smooth % 2:
            raise UsageError(f"--smooth {self.smooth} has no middle; expected an odd number of windows.")
        if self.stride > self.window:
            raise UsageError(f"--stride {self.stride} leaves frames out between windows of {self.window} frames.")


@dataclass(frozen=True)
class Segment:
    """Frames `start` up to, not including, `end` of one person with one class; `score` is the mean probability."""

    start: int
    end: int
    label: int
    score: float


@dataclass(frozen=True, kw_only=True)
class Track:
    """The timeline of one person of a clip, of `frames` frames; persons count from 0."""

    clip: str
    person: int
    frames: int
    segments: list[Segment]


@dataclass(frozen=True)
class Timelines:
    """The timelines of all persons of all inputs."""

    tracks: list[Track]
    classes: list[str]
    options: WindowOptions


def window_starts(frames: int, options: WindowOptions) -> list[int]:
    """First frames of all windows of a recording."""
    last = max(0, frames - options.window)
    return [*range(0, last, options.stride), last]


class Timeline:
    """Windows of one person, in their order, to segments; holds the frames that later windows may still change."""

    def __init__(self, options: WindowOptions) -> None:
        self.options, self.half = options, options.smooth // 2
        self.given: deque[tuple[int, np.ndarray, np.ndarray]] = deque()  # windows that smoothing still needs
        self.done = 0  # of those: how many are added to the frames
        self.base = 0  # first frame that is open
        self.sums: deque[np.ndarray | None] = deque()
        self.counts: deque[int] = deque()
        self.run: tuple[int, int, int, float] | None = None  # start, end, label, sum of scores
        self.last = -1

    def add(self, start: int, probabilities: np.ndarray, present: np.ndarray) -> list[Segment]:
        """Take in a window: probabilities (C,), `present` (W,) where the person is seen. Returns segments that are final."""
        found = self.finish() if self.given and start > self.last + self.options.stride else []
        self.last = start
        self.given.append((start, probabilities, present))
        if len(self.given) - self.done > self.half:
            found += self._add_to_frames(self.done)
        return found

    def finish(self) -> list[Segment]:
        """The segments that are left; later windows begin a new timeline."""
        found = []
        while self.done < len(self.given):
            found += self._add_to_frames(self.done)
        found += self._close(self.base + len(self.sums)) + self._end_run()
        self.given.clear()
        self.done = 0
        return found

    def smoothed(self) -> np.ndarray:
        """The mean of the newest windows, (C,): the answer at this moment."""
        newest = list(self.given)[-self.options.smooth :]
        return np.mean([probabilities for _, probabilities, _ in newest], axis=0)

    def _add_to_frames(self, index: int) -> list[Segment]:
        start, _, present = self.given[index]
        near = list(self.given)[max(0, index - self.half) : index + self.half + 1]
        mean = np.mean([probabilities for _, probabilities, _ in near], axis=0)
        found = self._close(start)
        if not self.sums:
            self.base = start
        for offset, seen in enumerate(present, start - self.base):
            if offset == len(self.sums):
                self.sums.append(None)
                self.counts.append(0)
            if seen:
                sums = self.sums[offset]
                self.sums[offset] = mean if sums is None else sums + mean
                self.counts[offset] += 1
        self.done += 1
        while self.done > max(self.half, self.options.smooth):  # what no later mean needs
            self.given.popleft()
            self.done -= 1
        return found

    def _close(self, end: int) -> list[Segment]:
        """Frames before `end` get their class."""
        found = []
        while self.sums and self.base < end:
            sums, count = self.sums.popleft(), self.counts.popleft()
            mean = None if sums is None else sums / count
            label = -1 if mean is None else int(mean.argmax())
            score = 0.0 if mean is None else float(mean[label])
            label = label if score >= self.options.min_score else -1
            if self.run is None or self.run[2] != label or self.run[1] != self.base:
                found += self._end_run()
                self.run = (self.base, self.base + 1, label, score)
            else:
                self.run = (self.run[0], self.base + 1, label, self.run[3] + score)
            self.base += 1
        return found

    def _end_run(self) -> list[Segment]:
        run, self.run = self.run, None
        if run is None or run[2] < 0:
            return []
        return [Segment(run[0], run[1], run[2], run[3] / (run[1] - run[0]))]


@dataclass(frozen=True)
class Window:
    """One person in some frames of a clip; `present` (W,) says where the person is seen. `key` tells clip and person."""

    key: tuple[int, int]
    start: int
    clip: Clip
    present: np.ndarray


def windows_of(clip: Clip, number: int, options: WindowOptions) -> Iterator[Window]:
    """The windows of all persons of a clip, person by person."""
    persons, frames = clip.frames.shape[:2]
    for person, start in itertools.product(range(persons), window_starts(frames, options)):
        window = slice(start, min(frames, start + options.window))
        keypoint = clip.record["keypoint"][person : person + 1, window]
        present = keypoint[0].any(axis=(1, 2))
        if not present.any():
            continue
        score = clip.record.get("keypoint_score")
        parts = {"keypoint": keypoint, "total_frames": keypoint.shape[1]}
        parts |= {} if score is None else {"keypoint_score": score[person : person + 1, window]}
        yield Window((number, person), start, clip.changed(**parts), present)


def predict_windows(
    words: Sequence[str],
    wishes: EvalOptions,
    options: WindowOptions,
    reporter: Reporter,
    reading: Options | None = None,
) -> Timelines:
    """The timelines of every person in the inputs. Raises StgcnError as `predict` does."""
    expand(words)
    reading = reading or Options()
    wishes = dataclasses.replace(wishes, image_size=reading.image_size)
    predictor = load(wishes.checkpoint, wishes.device, reporter, wishes)
    return timelines(predictor, read_inputs(words, reporter, predictor.reading(reading)), options)


def timelines(predictor: Predictor, clips: Iterable[Clip], options: WindowOptions) -> Timelines:
    """The timelines of clips, whose windows are computed in batches over all of them. Raises DataError where there are none."""
    about: list[tuple[str, int, int]] = []  # name, persons, frames
    lines: dict[tuple[int, int], Timeline] = {}
    segments: dict[tuple[int, int], list[Segment]] = {}

    def windows() -> Iterator[Window]:
        for number, clip in enumerate(clips):
            about.append((clip.name, *clip.frames.shape[:2]))
            yield from windows_of(clip, number, options)

    source = windows()
    while some := list(itertools.islice(source, _AT_A_TIME)):
        shares = metrics.probabilities(predictor.scores([each.clip for each in some]))
        for window, share in zip(some, shares, strict=True):
            line = lines.setdefault(window.key, Timeline(options))
            segments.setdefault(window.key, []).extend(line.add(window.start, share, window.present))
    if not about:
        raise DataError("There are no clips in the input.")
    for key, line in lines.items():
        segments[key] += line.finish()
    tracks = [
        Track(clip=name, person=person, frames=frames, segments=segments[number, person])
        for number, (name, persons, frames) in enumerate(about)
        for person in range(persons)
        if (number, person) in segments
    ]
    return Timelines(tracks, predictor.classes, options)


def rows(found: Timelines) -> list[dict[str, object]]:
    """A row for each segment: clip, person, frames, seconds, class, score."""
    fps = found.options.fps
    return [
        {
            "clip": track.clip, "person": track.person, "start": segment.start, "end": segment.end,
            "start_s": round(segment.start / fps, 3), "end_s": round(segment.end / fps, 3), "class": segment.label,
            "name": found.classes[segment.label], "score": round(segment.score, 6),
        }
        for track in found.tracks
        for segment in track.segments
    ]  # fmt: skip


def as_dict(found: Timelines) -> dict[str, object]:
    """Everything, for JSON."""
    tracks = [{"clip": track.clip, "person": track.person, "frames": track.frames} for track in found.tracks]
    return {"options": dataclasses.asdict(found.options), "tracks": tracks, "segments": rows(found)}


def as_csv(found: Timelines) -> str:
    """A line for each segment, under a header."""
    import csv
    import io

    stream = io.StringIO()
    names = ("clip", "person", "start", "end", "start_s", "end_s", "class", "name", "score")
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(found))
    return stream.getvalue()


def as_srt(found: Timelines) -> str:
    """Subtitles in the order of time; with several persons or clips each line names its own."""
    several_clips = len({track.clip for track in found.tracks}) > 1
    several_persons = len(found.tracks) > len({track.clip for track in found.tracks})
    ordered = sorted(
        rows(found), key=lambda row: (str(row["clip"]) if several_clips else "", row["start"], row["person"])
    )
    blocks = []
    for number, row in enumerate(ordered, 1):
        who = [str(row["clip"])] * several_clips + [f"person {row['person']}"] * several_persons
        text = f"{', '.join(who)}: " if who else ""
        times = f"{_clock(float(str(row['start_s'])))} --> {_clock(float(str(row['end_s'])))}"
        blocks.append(f"{number}\n{times}\n{text}{row['name']} ({100 * float(str(row['score'])):.0f} %)\n")
    return "\n".join(blocks)


def _clock(seconds: float) -> str:
    thousandths = round(1000 * seconds)
    minutes, thousandths = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{thousandths // 1000:02},{thousandths % 1000:03}"


def _as_json(found: Timelines) -> str:
    import json

    return json.dumps(as_dict(found), indent=2, ensure_ascii=False) + "\n"


WRITERS: dict[str, Callable[[Timelines], str]] = {".json": _as_json, ".csv": as_csv, ".srt": as_srt}
