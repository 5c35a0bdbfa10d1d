"""Timelines of recordings: the windows of all persons of all inputs, computed together, and their files.

Shapes: W frames of a window, M persons, C classes. A window holds one person; where windows lie: `timeline`.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from stgcn_cli.data.clips import Clip
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.errors import DataError
from stgcn_cli.evaluation import metrics
from stgcn_cli.evaluation.input_checks import Facts
from stgcn_cli.evaluation.predict import Predictor, opened
from stgcn_cli.evaluation.predictions import table_text
from stgcn_cli.evaluation.timeline import Segment, Timeline, WindowOptions, window_starts
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.io.text import json_text, one_line
from stgcn_cli.runs.resolve import EvalOptions

_AT_A_TIME = 256  # windows computed together, of all persons and inputs


@dataclass(kw_only=True)
class Track:
    """The timeline of one person of a clip, of `frames` frames; persons count from 0."""

    clip: str
    person: int
    frames: int
    segments: list[Segment] = field(default_factory=list)


@dataclass(frozen=True)
class Timelines:
    """The timelines of all persons of all inputs; what is odd about these, and how the axes of arrays were understood."""

    tracks: list[Track]
    classes: list[str]
    options: WindowOptions
    warnings: list[str]
    axes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Window:
    """One person in some frames of a clip; `present` (W,) says where the person is seen. `key`: numbers of clip and person."""

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
    request: EvalOptions,
    options: WindowOptions,
    reporter: Reporter,
    reading: Options | None = None,
) -> Timelines:
    """The timelines of every person in the inputs. Raises StgcnError as `predict` does."""
    predictor, inputs = opened(words, request, reporter, reading)
    found = timelines(predictor, inputs, options)
    return dataclasses.replace(found, warnings=inputs.warnings() + found.warnings, axes=inputs.axes())


def timelines(predictor: Predictor, clips: Iterable[Clip], options: WindowOptions) -> Timelines:
    """The timelines of clips, whose windows are computed in batches over all of them. Raises DataError where there are none."""
    tracks: dict[tuple[int, int], Track] = {}
    lines: dict[tuple[int, int], Timeline] = {}
    facts: dict[int, Facts] = {}  # of the first window of each clip

    def windows() -> Iterator[Window]:
        for number, clip in enumerate(clips):
            for person, frames in enumerate(clip.frames[:, :, 0, 0]):
                tracks[number, person] = Track(clip=clip.name, person=person, frames=len(frames))
            yield from windows_of(clip, number, options)

    source = windows()
    while some := list(itertools.islice(source, _AT_A_TIME)):
        scores, about = predictor.answer([each.clip for each in some])
        for window, share, fact in zip(some, metrics.probabilities(scores), about, strict=True):
            line = lines.setdefault(window.key, Timeline(options))
            tracks[window.key].segments += line.add(window.start, share, window.present)
            facts.setdefault(window.key[0], fact)
    if not tracks:
        raise DataError("No clips found in the input.")
    for key, line in lines.items():
        tracks[key].segments += line.finish()
    seen = [track for key, track in tracks.items() if key in lines]
    return Timelines(seen, predictor.classes, options, predictor.oddities(list(facts.values())))


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


_COLUMNS = ["clip", "person", "start", "end", "start_s", "end_s", "class", "name", "score"]


def as_dict(found: Timelines) -> dict[str, object]:
    """Everything, for JSON."""
    tracks = [{"clip": track.clip, "person": track.person, "frames": track.frames} for track in found.tracks]
    options = dataclasses.asdict(found.options)
    return {"options": options, "tracks": tracks, "segments": rows(found), "warnings": found.warnings}


def as_srt(found: Timelines) -> str:
    """Subtitles in the order of time; with several persons or clips each line names its own."""
    clips, fps = len({track.clip for track in found.tracks}), found.options.fps
    pairs = [(track, segment) for track in found.tracks for segment in track.segments]
    pairs.sort(key=lambda pair: (pair[0].clip if clips > 1 else "", pair[1].start, pair[0].person))
    blocks = []
    for number, (track, segment) in enumerate(pairs, 1):
        who = [one_line(track.clip)] * (clips > 1) + [f"person {track.person}"] * (len(found.tracks) > clips)
        text = f"{', '.join(who)}: " if who else ""
        times = f"{_clock(segment.start / fps)} --> {_clock(segment.end / fps)}"
        name = found.classes[segment.label]
        blocks.append(f"{number}\n{times}\n{text}{name} ({100 * segment.score:.0f} %)\n")
    return "\n".join(blocks)


def _clock(seconds: float) -> str:
    thousandths = round(1000 * seconds)
    minutes, thousandths = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{thousandths // 1000:02},{thousandths % 1000:03}"


WRITERS: dict[str, Callable[[Timelines], str]] = {
    ".json": lambda found: json_text(as_dict(found)) + "\n", ".srt": as_srt,
    ".csv": lambda found: table_text(rows(found), _COLUMNS),
}  # fmt: skip
