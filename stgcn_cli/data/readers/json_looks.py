"""What JSON with persons in it looks like: the format of a text by its first bytes."""

import re

from stgcn_cli.data.readers.parsing import NAMES
from stgcn_cli.data.readers.persons import JOINTS

_ULTRALYTICS = re.compile(rb'"keypoints"\s*:\s*\{\s*"x"\s*:\s*\[')
_ANY = re.compile(rb'"(?:' + "|".join(JOINTS).encode() + rb')"\s*:\s*[\[{n]')
_OF_CLIPS = re.compile(  # keys with frames or with the joints of several frames, and what only clips have
    rb'"(?:' + "|".join(NAMES["keys"]["frames"][:-1]).encode() + rb')"\s*:\s*[\[{]|"(?:' + "|".join(JOINTS).encode() + rb')"\s*:\s*\[\s*\[\s*\[|"(?:fps|'
    + "|".join(NAMES["keys"]["labels"]).encode() + rb')"\s*:'
)  # fmt: skip
_ARRAYS = re.compile(rb"\s*\[\s*\[\s*\[[\s\[]*(?:null|[-+\d.])")
_MAP = re.compile(rb'\s*\{\s*"[^"]*\d[^"]*"\s*:\s*[\[{]')
_MAP_OF_NUMBERS = re.compile(rb'\s*\{\s*"[^"]*\d[^"]*"\s*:\s*\[[\s\[]*[-\d]')
_ONE_ENTRY = re.compile(rb"\s*\[\s*\{[^{}]*\}\s*\]\s*")  # a list of one object
_LINES = re.compile(rb"\}[ \t]*\r?\n[ \t]*\{\s*\"")


def fits(head: bytes) -> bool:
    """Whether a text begins like JSON with persons in it, or with nested lists of numbers."""
    return _ARRAYS.match(head) is not None or (head.lstrip()[:1] in (b"[", b"{") and _ANY.search(head) is not None)


def is_frame(head: bytes) -> bool:
    """Whether a file that fits is an object with the persons of one frame, not with those of a clip."""
    single = head.lstrip()[:1] == b"{" or _ONE_ENTRY.fullmatch(head)
    return bool(single) and not (_OF_CLIPS.search(head) or _LINES.search(head))


def is_map(head: bytes) -> bool:
    """Whether a text begins like a map from names with a number to persons, as AlphaPose's maps do."""
    return bool(_MAP_OF_NUMBERS.match(head) or (_MAP.match(head) and _ANY.search(head)))


def is_ultralytics(head: bytes) -> bool:
    """Whether a text begins like a list that ultralytics has written."""
    return head.lstrip()[:1] == b"[" and _ULTRALYTICS.search(head) is not None


def is_ultralytics_frame(head: bytes) -> bool:
    """Whether it is the list of a single frame."""
    return re.match(rb"\s*\[\s*(?:\{(?![^\[]*\"frame)|\])", head) is not None
