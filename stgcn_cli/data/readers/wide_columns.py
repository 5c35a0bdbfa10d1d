"""Names of columns -> joints and their values, in the spellings of the programs that write a row a frame.

x1 x_1 x[1] 1_x 1x L0_x kp0:x nose_x nose.x Nose-X nose(x) x_nose x(nose) noseX left_hip_score person1_nose_x ('nose', 'x')
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stgcn_cli.config.skeletons import LAYOUTS, Layout, layout_for
from stgcn_cli.data.readers.parsing import NAMES

_SCORES = "score|scores|confidence|conf|likelihood|visibility|vis|probability|prob|c|v|p|s"
_AXES = f"x|y|z|{_SCORES}"
_GAP = r"[\s_.\-/:|]"
_UNIT = re.compile(r"\s*[(\[]\s*(?:px|pixels?|mm|cm|m|normali[sz]ed|norm|%)\s*[)\]]", re.IGNORECASE)
_WORDS = "pos|position|coords?|coordinate|pixels?|px|screen|img|image|2d|3d"
_BESIDE = re.compile(  # words beside an axis that say no more: pos_x, x_px, xcoord, x2d
    rf"(?<![a-z])(?:{_WORDS})[\s_.\-]*(?=[xyzuv](?![a-z]))|(?<=(?<![a-z])[xyzuv])[\s_.\-]*(?:{_WORDS})(?![a-z])", re.IGNORECASE
)  # fmt: skip
_PAIRS = (("u", "v"), ("col", "row"), ("column", "row"), ("cx", "cy"), ("px", "py"), ("kx", "ky"), ("xs", "ys"))  # x, y
_TUPLE = re.compile(r"\(\s*'([^']+)'\s*,\s*'([^']+)'\s*\)")
_SPELLINGS = [
    re.compile(spelling)
    for spelling in (
        rf"(?i:(?P<joint>.+?)(?:{_GAP}+|(?={_GAP}*[(\[]))[\s(\[]*(?P<axis>{_AXES})[)\]]?)",  # nose_x nose(x)
        rf"(?i:(?P<axis>{_AXES})(?:{_GAP}+|(?=[(\[]))[(\[]?(?P<joint>[^)\]]+)[)\]]?)",  # x_nose x(nose) x[1]
        rf"(?i:(?P<axis>{_AXES})(?P<joint>\d+))",  # x1
        rf"(?i:(?P<joint>[a-z]*\d+)(?P<axis>{_AXES}))",  # 1x kp1x
        r"(?P<joint>.*[a-z0-9])(?P<axis>[XYZ]|Score|Conf|Confidence|Likelihood|Visibility)",  # noseX
    )
]
_INSIDE = re.compile(rf"(?P<joint>.+?){_GAP}(?P<axis>{_AXES}){_GAP}(?P<number>\d+)", re.IGNORECASE)  # landmark_x_0
_PERSON = re.compile(
    rf"(?:person\[(?P<named>[^\]]*)\]\s|(?:person|player|people|human|individual|skeleton|track|pid|body|p){_GAP}*(?P<number>\d+){_GAP}+)"
    r"(?P<joint>.+)",
    re.IGNORECASE,
)
_NO_JOINTS = NAMES["words"]["no_joints"]


Persons = dict[str, dict[str, dict[str, int]]]  # person -> joint -> axis -> index of the column


class Place(NamedTuple):
    """What a column holds: a value ("x", "y", "z", "score") of a joint of a person."""

    person: str
    joint: str
    axis: str


@dataclass(frozen=True)
class Joints:
    """Columns of each joint, by person: `columns[person][v]` has the index of the column of each value."""

    names: tuple[str, ...]
    columns: Mapping[str, Sequence[Mapping[str, int]]]
    has_z: bool
    scored: int  # joints that have a column of scores
    layout: Layout | None  # the built-in one with these names


def with_axes(names: Sequence[str]) -> list[str]:
    """The names of columns with axes called x and y where they are u and v, col and row, pos_x, xcoord and the like."""
    names = [_BESIDE.sub("", _UNIT.sub("", name)) for name in names]
    if any(name.strip().lower() == "x" or ((place := place_of(name)) and place.axis == "x") for name in names):
        return names
    for pair in _PAIRS:
        words = [re.compile(rf"(?<![A-Za-z]){word}(?![A-Za-z])", re.IGNORECASE) for word in pair]
        counts = [sum(bool(word.search(name)) for name in names) for word in words]
        if counts[0] and counts[0] == counts[1]:
            return [words[1].sub("y", words[0].sub("x", name)) for name in names]
    return names


def place_of(name: str) -> Place | None:
    """What the name of a column says; None where it is no value of a joint."""
    name = re.sub(rf"(?<=\w)[\s_.-](?:{_WORDS})$", "", name.strip(), flags=re.IGNORECASE)  # nose_score_position
    if found := _TUPLE.fullmatch(name):
        name = f"{found[1]}_{found[2]}"
    if (found := _PERSON.fullmatch(name)) and (inner := _value(found["joint"])):
        return Place(found["named"] or found["number"], inner.joint, inner.axis)
    return _value(name)


def _value(name: str) -> Place | None:
    number = ""
    if found := _INSIDE.fullmatch(name):
        number = found["number"]
    else:
        found = next((each for spelling in _SPELLINGS if (each := spelling.fullmatch(name))), None)
    if found is None:
        return None
    axis = found["axis"].lower()
    joint = re.sub(rf"{_GAP}+", " ", found["joint"]).strip()
    joint = " ".join(re.sub(rf"[\[\]]| (?:{_WORDS})$", " ", joint, flags=re.IGNORECASE).split()) or joint
    if number:
        joint = f"{joint}#{number}"
    return Place("", joint, axis if axis in ("x", "y", "z") else "score")


def joints_in(names: Sequence[str], given: Layout | None) -> Joints | None:
    """The joints that the names of columns tell, in the order of their numbers or of the skeleton that has such names.

    None where there are none. Raises ValueError for a column that stands twice, for persons with different joints, and for
    names and numbers that fit no skeleton where their count would fit one.
    """
    names = with_axes(names)
    there = set(names)  # pandas: x, y, x.1, y.1
    names = [f"{name}.0" if f"{name}.1" in there and "." not in name else name for name in names]
    persons: Persons = {}
    spelled: dict[str, str] = {}
    for index, name in enumerate(names):
        place = place_of(name)
        if place is None:
            continue
        joint = spelled.setdefault(place.joint.lower(), place.joint)
        values = persons.setdefault(place.person, {}).setdefault(joint, {})
        if place.axis in values and place.axis != "score":
            raise ValueError(f"two columns hold {place.axis} of {place.joint}: {names[values[place.axis]]} and {name}")
        values.setdefault(place.axis, index)
    persons = _with_numbered_persons(persons)
    for person, joints in persons.items():
        complete = {joint: values for joint, values in joints.items() if {"x", "y"} <= values.keys()}
        persons[person] = _without_corners({k: v for k, v in complete.items() if not _is_no_joint(k)})
    persons = {person: joints for person, joints in persons.items() if joints}
    if not persons:
        return None
    first = next(iter(persons.values()))
    if odd := [person or "without a name" for person, joints in persons.items() if joints.keys() != first.keys()]:
        raise ValueError(f"person {odd[0]} has columns of other joints than person {next(iter(persons))}")
    every = [values for joints in persons.values() for values in joints.values()]
    has_z, scored = all("z" in values for values in every), sum("score" in values for values in first.values())
    if not has_z and any("z" in values for values in every):
        raise ValueError("some joints have a column z, others have none")
    order, layout = order_of(list(first), (3 if has_z else 2,), given)
    columns = {person: [joints[joint] for joint in order] for person, joints in persons.items()}
    return Joints(tuple(order), columns, has_z, scored, layout)


def _is_no_joint(name: str) -> bool:
    """Whether a name with x and y is that of a box, an image, or of the rotation or speed of a joint."""
    return name.lower() in _NO_JOINTS or not joint_words(name).isdisjoint(NAMES["words"]["quantities"])


def _with_numbered_persons(persons: Persons) -> Persons:
    """Names with a number behind the axis: of one word the number is the joint, of several the person."""
    inside = {joint.partition("#")[0] for joints in persons.values() for joint in joints if "#" in joint}
    changed: Persons = {}
    for person, joints in persons.items():
        for joint, values in joints.items():
            word, _, number = joint.partition("#")
            if number and len(inside) > 1:
                changed.setdefault(number, {})[word] = values
            else:
                changed.setdefault(person, {})[number or joint] = values
    return changed


def _without_corners(joints: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Without x1, y1, x2, y2 beside joints with names: the corners of a box."""
    numbered = [joint for joint in joints if joint.isdecimal()]
    if 0 < len(numbered) <= 2 and len(joints) > len(numbered) + 2:
        return {joint: values for joint, values in joints.items() if joint not in numbered}
    return joints


_NUMBERED = re.compile(r"(?P<word>.*?)\s?(?P<number>\d+)")


def order_of(
    joints: Sequence[str], coordinates: Sequence[int], given: Layout | None
) -> tuple[list[str], Layout | None]:
    """The joints in the order of their numbers, else of the layout that has their names, else as they come.

    Raises ValueError where a skeleton has as many joints, but other names.
    """
    found = [_NUMBERED.fullmatch(joint) for joint in joints]
    if all(found) and len({each["word"].lower() for each in found if each}) == 1:
        numbers = {joint: int(each["number"]) for joint, each in zip(joints, found, strict=True) if each}
        return _by_number(numbers, given)
    counted = [re.sub(r"^\d+ ", "", joint) for joint in joints]  # 0_nose
    words = [joint_words(joint) for joint in (counted if len(set(counted)) == len(joints) else joints)]
    shared = frozenset.intersection(*words) - _BODY if len(words) > 1 else frozenset()  # PoseLandmark.NOSE
    keys = {key - shared: joint for key, joint in zip(words, joints, strict=True)}
    if len(keys) == len(joints):
        for layout in [given] if given else LAYOUTS.values():
            if fitting := _fitting(keys, layout, bool(given)):
                return fitting, layout
    suggested = next((fit for c in coordinates if (fit := layout_for((len(joints), c, False)))), None)
    if given is None and suggested is not None:
        raise ValueError(
            f"its {len(joints)} joints are called {', '.join(joints[:3])}, …, not as those of {suggested.name}; say which "
            f"skeleton it is: --layout {suggested.name} where the order is the same, or --layout my.toml"
        )
    return list(joints), None


def _fitting(keys: Mapping[frozenset[str], str], layout: Layout, may_select: bool) -> list[str] | None:
    """The joints in the order of `layout`, which has all of their names, or only some where it `may_select`; else None.

    Of a few names one may lack a word of the other: "left foot" is "left foot index" where nothing else is called like it.
    """
    wanted = [joint_words(joint) for joint in layout.joints]
    if len(keys) < len(wanted) or (len(keys) > len(wanted) and not may_select):
        return None
    left = [key for key in wanted if key not in keys]
    spare = [key for key in keys if key not in set(wanted)]
    if len(left) > _FEW * len(wanted):
        return None
    found = {key: key for key in wanted if key in keys}
    for key in left:
        near = [other for other in spare if other < key or key < other]
        if len(near) != 1:
            return None
        found[key] = near[0]
    return [keys[found[key]] for key in wanted] if len(set(found.values())) == len(wanted) else None


def _by_number(numbers: Mapping[str, int], given: Layout | None) -> tuple[list[str], None]:
    ordered = sorted(numbers, key=lambda joint: numbers[joint])
    low, high = numbers[ordered[0]], numbers[ordered[-1]]
    if (low not in (0, 1) or high - low >= len(ordered)) and (given is None or len(given.joints) != len(ordered)):
        raise ValueError(
            f"its {len(ordered)} joints have the numbers {low} to {high}; expected all from 0 or 1, or the skeleton: --layout my.toml"
        )
    return ordered, None


_ALIASES, _FILLING = NAMES["words"]["aliases"], NAMES["words"]["filling"]
_BODY = {word for layout in LAYOUTS.values() for joint in layout.joints for word in joint.split()} - {"left", "right"}
_FEW = 0.2  # share of names that may lack a word


def joint_words(name: str) -> frozenset[str]:
    """A joint's name as a set of words: "LShoulder", "shoulder_left" and "Left Shoulder" are the same."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[LR])(?=[A-Z][a-z])", " ", name)
    words = set()
    for word in re.split(r"[\W_]+", spaced.lower()):
        rest = _ALIASES.get(word[1:], word[1:])
        if word[:1] in ("l", "r") and rest in _BODY and word not in _BODY:
            words |= {_ALIASES[word[0]], rest}
        elif word and word not in _FILLING:
            words.add(_ALIASES.get(word, word))
    return frozenset(words)
