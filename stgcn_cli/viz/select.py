"""One clip out of an input that may hold many: the first, or that of a name or an index."""

import itertools

from stgcn_cli.data.clips import Clip
from stgcn_cli.data.readers.inputs import read_inputs, read_unit
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.readers.units import Unit, list_units
from stgcn_cli.errors import DataError
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.io.text import nearest

_ONE_CLIP = ("skeleton", "openpose")  # formats whose files are one clip each


def choose(word: str, wanted: str | None, options: Options, reporter: Reporter) -> tuple[Clip, str]:
    """The clip called `wanted`, or with this index (from 0), in the file or folder `word`; None: the first.

    With it, in words, how many there were to choose from ("200 clips"); "" for the only one and for a chosen one.
    Raises DataError naming the clip that comes nearest.
    """
    units = list_units([word], options)
    if wanted is None:
        return _first(word, units)
    if unit := _at_once(units, wanted):
        return next(read_unit(unit)), ""
    names = []
    for index, clip in enumerate(read_inputs([word], reporter, options)):
        if wanted in (clip.name, str(index)):
            return clip, ""
        names.append(clip.name)
    count = f"{len(names):,} clip{'s' * (len(names) != 1)}"
    raise DataError(f"{word} holds no clip {wanted!r}. It holds {count}, numbered from 0.{nearest(wanted, names)}")


def _first(word: str, units: list[Unit]) -> tuple[Clip, str]:
    clips = itertools.chain.from_iterable(map(read_unit, units))
    first = next(clips, None)
    if first is None:
        raise DataError(f"{word} holds no clips.")
    if len(units) > 1:
        return first, f"{len(units):,} {'clips' if _are_single(units) else 'files'}"
    count = 1 + sum(1 for _ in clips)
    return first, f"{count:,} clips" if count > 1 else ""


def _at_once(units: list[Unit], wanted: str) -> Unit | None:
    """The unit that is the clip, where it is known without reading all before it."""
    if not _are_single(units):
        return None
    named = next((unit for unit in units if wanted in (unit.name, unit.name.rsplit("/", 1)[-1])), None)
    if named or not wanted.isdecimal() or int(wanted) >= len(units):
        return named
    return units[int(wanted)]


def _are_single(units: list[Unit]) -> bool:
    return all(unit.format in _ONE_CLIP for unit in units)
