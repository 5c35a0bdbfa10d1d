"""Which built-in skeleton fits an array, and what its values are."""

from collections.abc import Sequence

from stgcn_cli.errors import DataError
from stgcn_cli.skeleton import LAYOUTS, Layout
from stgcn_cli.wording import one_line

_FITS = {(25, 3): "ntu", (17, 2): "coco", (18, 2): "openpose-18", (25, 2): "openpose-25"}  # joints, coordinates

_SHOWN = 5  # names in a message

Shape = tuple[int, int, bool]  # joints, coordinates, whether there is a keypoint_score


def layout_for(shape: Shape, given: Layout | None = None) -> Layout | None:
    """The layout given, else the built-in one that has these joints; None where there is none.

    Raises DataError when the one given has another number of joints.
    """
    if given is None:
        return LAYOUTS[_FITS[shape[:2]]] if shape[:2] in _FITS else None
    if len(given.joints) != shape[0]:
        raise DataError(f"The clips have {shape[0]} joints, the layout {given.name} has {len(given.joints)}.")
    return given


def channels_of(shape: Shape) -> str | None:
    """What a preset calls these values: xyz, xys or xy; None for what no network here takes."""
    return {(3, False): "xyz", (2, True): "xys", (2, False): "xy"}.get(shape[1:])


def some(names: Sequence[str]) -> str:
    """The first few of many names, for people."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(map(one_line, names[:_SHOWN])) + more


def words(shape: Shape) -> str:
    """For people."""
    values = {2: "x, y", 3: "x, y, z"}.get(shape[1], f"{shape[1]} values")
    return f"{shape[0]} joints with {values}{' and a score' if shape[2] else ''}"
