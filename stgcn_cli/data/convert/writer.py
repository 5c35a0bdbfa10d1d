"""The last step of `convert` and `merge`: spooled clips -> annotation pickles, a preset beside them, and what to say."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stgcn_cli.config import presets
from stgcn_cli.config.skeletons import Layout, Shape, channels_of, words
from stgcn_cli.data.axes import summaries
from stgcn_cli.data.census import UNSIZED, Census
from stgcn_cli.data.clips import KINECT
from stgcn_cli.data.convert.preset_template import Facts, pair_of, preset_text
from stgcn_cli.data.convert.split import Splits
from stgcn_cli.data.convert.spool import Spool
from stgcn_cli.data.output import Target, open_writer
from stgcn_cli.io.files import atomic_write, is_stream
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.io.text import some


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Clips with everything settled: (N,) labels and splits in the order of the spool."""

    spool: Spool
    labels: Sequence[int | None]
    names: Sequence[str] | None  # of the classes
    splits: Splits
    divided: str  # how the splits came about, in words
    shape: Shape
    layout: Layout | None  # the skeleton, where it is known
    pre_normalize: str  # "ntu" or "none"
    census: Census
    left_out: list[tuple[str, str]] = field(default_factory=list)

    @property
    def num_classes(self) -> int:
        """Of the names, else up to the highest label; 0 when all are hidden."""
        return len(self.names) if self.names else max((n for n in self.labels if n is not None), default=-1) + 1

    def members(self) -> dict[str, list[str]]:
        """The names of the clips in each split, each once."""
        members: dict[str, dict[str, None]] = {}
        for clip, splits in zip(self.spool.clips, self.splits, strict=True):
            for split in splits:
                members.setdefault(split, {})[clip.name] = None
        return {split: list(names) for split, names in members.items()}


@dataclass(frozen=True, kw_only=True)
class ConversionResult:
    """What was written; for people, and as JSON."""

    clips: int
    classes: list[str]  # names, or numbers where there are none
    class_counts: list[int]
    skeleton: str
    layout: str | None
    axes: list[str]
    splits: dict[str, int]
    divided: str
    frames: tuple[int, int, int]  # min, median, max
    persons: int  # the most in any clip
    files: list[str]
    next: str
    left_out: list[tuple[str, str]]  # what, why
    warnings: list[str]


def write_dataset(ready: Dataset, target: Target, reporter: Reporter, warnings: Sequence[str]) -> ConversionResult:
    """Write the clips to their files, and the preset; `warnings` come first in the result. Raises DataError, UsageError, RunError."""
    layout, members = ready.layout, ready.members()
    paths = target.checked_paths(members)
    with reporter.progress("write clips", len(ready.labels)) as advance, open_writer(paths, members) as add:
        ready.spool.write(add, ready.labels, ready.splits, advance)
    files = list(paths.values())
    preset, missing = _write_preset(ready, target, layout, list(members))
    lengths = sorted(ready.census.lengths)
    counts = Counter(ready.labels)
    return ConversionResult(
        clips=len(lengths),
        classes=list(ready.names or map(str, range(ready.num_classes))),
        class_counts=[counts[index] for index in range(ready.num_classes)],
        skeleton=words(ready.shape),
        layout=layout.name if layout else None,
        axes=summaries(ready.census.understood),
        splits={split: len(names) for split, names in members.items()},
        divided=ready.divided,
        frames=(lengths[0], lengths[len(lengths) // 2], lengths[-1]),
        persons=max(ready.census.persons),
        files=[str(path) for path in [*files, *([preset] if preset else [])]],
        next=_next(files, preset),
        left_out=ready.left_out,
        warnings=[*warnings, *_untrained(ready), *missing],
    )


def _write_preset(
    ready: Dataset, target: Target, layout: Layout | None, splits: Sequence[str]
) -> tuple[Path | None, list[str]]:
    """The preset's path, or None and why there is none."""
    if not target.preset or is_stream(target.out):
        return None, []
    pair, channels = pair_of(splits), channels_of(ready.shape)
    if layout is None and channels:
        found = (
            "These are not Kinect's joints in its order"
            if ready.shape[:2] == KINECT
            else f"No built-in skeleton has {words(ready.shape)}"
        )
        return None, [f"{found}, so no preset was written: give the skeleton with --layout my.toml"]
    if layout is None or channels is None:
        return None, [f"No preset was written: none takes {words(ready.shape)}."]
    if pair is None or not ready.num_classes:
        lacks = "labels" if pair else "a split to train on and one to validate on"
        return None, [f"No preset was written: that needs {lacks}."]
    facts = Facts(
        dataset=target.out.stem, lengths=ready.census.lengths, persons=list(ready.census.persons.elements()),
        sized=bool(ready.census.sizes.keys() - {UNSIZED}), shape=ready.shape, layout=layout, train=pair[0], val=pair[1],
        num_classes=ready.num_classes, names=ready.names, pre_normalize=ready.pre_normalize,
        train_clips=sum(pair[0] in splits for splits in ready.splits),
    )  # fmt: skip
    text = preset_text(facts)
    presets.from_text(text.encode(), str(target.preset_path), target.out.stem)  # what we write can be read
    with atomic_write(target.preset_path, "w") as stream:
        stream.write(text)
    return target.preset_path, []


def _next(files: Sequence[Path], preset: Path | None) -> str:
    """The command to type next."""
    if preset is None:
        return f"stgcn data validate {shlex.quote(str(files[0]))}"
    data = " ".join(f"--data {shlex.quote(str(path))}" for path in files)
    return f"stgcn train --preset {shlex.quote(str(preset))} {data}"


def _untrained(ready: Dataset) -> list[str]:
    """Classes that some other split has and the training split has not."""
    if (pair := pair_of(list(ready.members()))) is None:
        return []
    there: Mapping[str, set[int | None]] = {split: set() for split in pair}
    for label, splits in zip(ready.labels, ready.splits, strict=True):
        for split in splits:
            if split in there:
                there[split].add(label)
    lost = sorted(label for label in there[pair[1]] - there[pair[0]] if label is not None)
    names = [ready.names[label] if ready.names else str(label) for label in lost]
    return [f"Classes without a clip to train on: {some(names)}."] if lost else []
