"""What `prepare` did, counted while it runs; for people, for scripts, and for the report beside the output."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stgcn_cli.io.files import atomic_write

Count = tuple[str, int, int | None]


@dataclass(frozen=True, kw_only=True)
class PrepareSummary:
    """Counts of what was written and of what was not, and why. What one kind of data set adds is in a subclass."""

    dataset: str
    clips: int
    frames: int
    classes: int  # that occur
    split_sizes: dict[str, int]
    official: dict[str, int]  # what is known of the whole data set, by the names of these counts and of the splits
    found_sizes: dict[str, int] = field(default_factory=dict)  # of the splits, bad clips too
    set_aside: list[tuple[str, str]] = field(default_factory=list)  # (file or record, reason)
    empty_clips: list[str] = field(default_factory=list)  # nobody in any frame; kept
    notes: list[str] = field(default_factory=list)  # what else the user should know
    outputs: list[str] = field(default_factory=list)
    report: str = ""
    seconds: float = 0.0

    @property
    def counts(self) -> list[Count]:
        """(what, how many here, how many officially where that is known)."""
        sizes = {"clips": self.clips, **self.split_sizes, "classes": self.classes}
        return [(name, count, self.official.get(name)) for name, count in sizes.items()]

    @property
    def warnings(self) -> list[str]:
        """What the user should know before training on this."""
        found = list(self.notes)
        sizes = self.found_sizes or self.split_sizes
        if wrong := [name for name, size in sizes.items() if size != self.official.get(name, size)]:
            first = f"{wrong[0]} has {sizes[wrong[0]]:,} clips, officially {self.official[wrong[0]]:,}"
            found.append(
                f"The counts are not the official ones ({first}). That is right only for a part of the data set."
            )
        if empty := [name for name, size in self.split_sizes.items() if size == 0]:
            found.append(f"No clips in {', '.join(empty)}.")
        if self.set_aside:
            found.append(f"Files that are not used: {len(self.set_aside):,}. Each with its reason: {self.report}")
        if self.empty_clips:
            found.append(f"Nobody is in any frame of {_some(self.empty_clips)}; kept, as zeros.")
        return found

    def as_dict(self) -> dict[str, object]:
        """Everything, for JSON."""
        return {**asdict(self), "warnings": self.warnings}


def report_path(dataset: str, out: Path, is_folder: bool) -> Path:
    """Beside an output file, inside an output folder."""
    return out / f"{dataset}.report.json" if is_folder else out.with_name(f"{out.stem}.report.json")


def write_report(summary: PrepareSummary) -> None:
    """The whole summary as JSON at `summary.report`."""
    with atomic_write(Path(summary.report), "w") as stream:
        json.dump(summary.as_dict(), stream, indent=1)
        stream.write("\n")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
