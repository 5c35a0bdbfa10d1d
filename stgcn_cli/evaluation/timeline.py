"""Timeline of a person: probabilities of overlapping windows, averaged per frame, as segments of one class.

Shapes: W frames of a window, C classes. Windows start at 0, stride, 2 stride, … and the last one ends where the recording ends; a
shorter recording is one window. Windows without the person are left out.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from stgcn_cli.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class WindowOptions:
    """`stride` 0: a quarter of the window. `smooth`: windows of a person whose probabilities are averaged around each.

    Frames below `min_score` have no class.
    """

    window: int
    stride: int = 0
    smooth: int = 1
    min_score: float = 0.0
    fps: float = 30.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "stride", self.stride or max(1, self.window // 4))
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
