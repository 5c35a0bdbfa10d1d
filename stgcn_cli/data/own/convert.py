"""`stgcn data convert`: clips of any format -> annotation pickles, with labels, splits and a preset.

One clip is in memory at a time (of a JSON, CSV or .npz file all of its clips are); the others wait on disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from stgcn_cli.data.inputs import expand, read_inputs
from stgcn_cli.data.own.class_names import number
from stgcn_cli.data.own.dividing import Division, divide
from stgcn_cli.data.own.fitting import some
from stgcn_cli.data.own.handing import Handed, Ready, hand_over
from stgcn_cli.data.own.spool import spool_in
from stgcn_cli.data.own.taking import Rules, Taking
from stgcn_cli.data.own.target import Target
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.screen import SILENT, Screen
from stgcn_cli.wording import nearest, one_line

PRE_NORMALIZE = ("auto", "ntu", "none")


@dataclass(frozen=True)
class Wish:
    """What the user asked for."""

    inputs: Sequence[str]
    target: Target
    rules: Rules = field(default_factory=Rules)
    division: Division = field(default_factory=Division)
    names: Sequence[str] | None = None  # of the classes, in the order of the labels
    format: str | None = None  # that every file is read as
    skip_bad: bool = False


def convert(wish: Wish, screen: Screen = SILENT) -> Handed:
    """Read, settle, write. Raises UsageError before anything is read, DataError naming the clip and the cause."""
    if wish.rules.pre_normalize not in PRE_NORMALIZE:
        close = nearest(wish.rules.pre_normalize, PRE_NORMALIZE)
        said = f"There is no --pre-normalize {wish.rules.pre_normalize!r}.{close}"
        raise UsageError(said, f"Known: {', '.join(PRE_NORMALIZE)}.")
    wish.target.check([path for path in expand(wish.inputs) if path.is_file()])
    with spool_in(wish.target.out.parent) as spool:
        taking, left_out = Taking(wish.rules, spool), _LeftOut(wish.skip_bad)
        for found in read_inputs(wish.inputs, screen, wish.rules.options, wish.format, left_out.add_file):
            try:
                taking.take(found)
            except DataError as error:
                left_out.add_file(one_line(found.record["frame_dir"]), error)
        taking.finish()
        labels, names = number(spool.clips, wish.names)
        splits, divided = divide(spool.clips, labels, wish.division)
        ready = Ready(
            spool,
            labels,
            names,
            splits,
            divided,
            taking.known_shape,
            taking.pre_normalize,
            left_out.found,
            _said(taking),
        )
        return hand_over(ready, wish.target, screen)


@dataclass
class _LeftOut:
    """What cannot be used: an error, or with --skip-bad a line in the summary."""

    allowed: bool
    found: list[tuple[str, str]] = field(default_factory=list)

    def add_file(self, place: str, error: DataError) -> None:
        if not self.allowed:
            raise DataError(
                error.message, error.hint or "Correct it, or leave out what cannot be used: --skip-bad"
            ) from error
        self.found.append((place, error.message))


def _said(taking: Taking) -> list[str]:
    said, clips = [], len(taking.spool.clips)
    if taking.empty:
        said.append(f"Nobody is in {len(taking.empty):,} of {clips:,} clips, kept as zeros: {some(taking.empty)}.")
    if taking.without_score:
        said.append(
            f"No network here takes x, y, z and a score: the score was left out, in {taking.without_score:,} of {clips:,} clips."
        )
    return said
