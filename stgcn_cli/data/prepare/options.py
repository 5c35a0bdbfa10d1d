"""Options of `stgcn prepare`, and what every data set has in common: places, summary, report."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgcn_cli.data.ntu.names import benchmark_name
from stgcn_cli.data.output import RecordWriter, open_writer, place_splits
from stgcn_cli.data.summary import PrepareSummary, report_path
from stgcn_cli.errors import UsageError
from stgcn_cli.io.files import is_stream
from stgcn_cli.io.outputs import OutputRule
from stgcn_cli.io.text import nearest


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """What to prepare from which sources, and where to. `format`: "single" or "list".

    `out` is a file with all splits, or for lists a folder; `splits`: benchmarks or splits (None: all); `max_bad`: the
    share of bad clips above which nothing is written. `workers`: processes, for NTU only; the bytes do not depend on it.
    """

    dataset: str
    sources: Sequence[Path]
    out: Path
    format: str = "single"
    splits: Sequence[str] | None = None
    workers: int = 1
    max_bad: float = 0.5
    raw: bool = False  # coordinates of the camera, bodies chosen as PYSKL does; for NTU only
    force: bool = False  # write over files that `prepare` did not make

    @property
    def _rule(self) -> OutputRule:
        return OutputRule(inputs=self.sources, command="prepare", force=self.force)

    @property
    def report_path(self) -> Path | None:
        """Where the report goes: none beside a stream."""
        return None if is_stream(self.out) else report_path(self.dataset, self.out, self.format != "single")

    def check_place(self) -> None:
        """Raise UsageError when the output cannot go to `out`, before anything is read."""
        if self.format == "single" and self.out.is_dir():
            raise UsageError(f"{self.out} is a folder.", f"Give a file: --out {self.out / self.dataset}.pkl")
        self.paths(())
        self._rule.check(*filter(None, [self.report_path]))

    def paths(self, splits: Sequence[str]) -> Mapping[str, Path]:
        """The file of each split, or one file under the name "". Raises DataError and UsageError."""
        return place_splits(self.out, self.format, splits, self._rule)

    def summary(self, splits: Sequence[str], official: Mapping[str, int], **more: Any) -> PrepareSummary:
        """A summary with nothing counted yet. Raises as `paths` does."""
        return PrepareSummary(
            dataset=self.dataset,
            official=official,
            members={split: [] for split in splits},
            outputs=[str(path) for path in self.paths(splits).values()],
            report=str(self.report_path or ""),
            **more,
        )

    @contextlib.contextmanager
    def writer(self, summary: PrepareSummary, none: str = "there are no records") -> Iterator[RecordWriter]:
        """Take the records that the block counts in `summary`; then write the pickles and the report.

        Raises DataError when too many clips are bad or none is left (`none`: why); then only the report is written.
        """
        with open_writer(self.paths(list(summary.members)), summary.members) as writer:
            yield writer
            summary.check_bad(self.sources, self.max_bad, none)
        summary.write_report()


def choose_splits(dataset: str, available: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """Return the available splits, each once, whose name or benchmark is in `wanted` (None: all). Raises UsageError."""
    available = list(dict.fromkeys(available))
    if wanted is None:
        return available
    known = list(dict.fromkeys([*(split.rpartition("_")[0] or split for split in available), *available]))
    chosen = [benchmark_name(name) for name in wanted]
    for name in chosen:
        if name not in known:
            message = f"{dataset} has no split {name!r} here.{nearest(name, known)}"
            raise UsageError(message, f"It has {', '.join(known)}.")
    if not chosen:
        raise UsageError("--splits names no split.", f"{dataset} has {', '.join(known)}.")
    return [split for split in available if split in chosen or split.rpartition("_")[0] in chosen]
