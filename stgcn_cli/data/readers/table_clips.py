"""Rows of a text table -> clips: which rows belong to one, their frames, persons and labels; and what their values are.

Shapes: R rows; (…, V, C) of C coordinates, (…, V) of scores, V is there where a row has all joints.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stgcn_cli.data import joint_values
from stgcn_cli.data.readers import frames as frame_names
from stgcn_cli.data.readers.parsing import MAX_VALUES, Options, frame_span
from stgcn_cli.data.readers.table_text import Table, is_missing, parsed, refuse, seconds, whole_numbers
from stgcn_cli.data.records import REFERENCE_SIZE
from stgcn_cli.io.text import one_line

_NO_UNIT = 2  # z of MediaPipe's landmarks is below; metres from a camera are above
_FULL = 1.1  # estimators go a little above 1
_WHOLE = re.compile(r"-?[0-9]{1,9}(\.0*)?")  # a label that is a number, as spreadsheets write it


class Group(NamedTuple):
    """The rows of one clip: its name, None for that of the file, and the rows' places in the table."""

    name: str | None
    rows: np.ndarray


@dataclass(frozen=True)
class Rows:
    """What tells the clips of a table of R rows: words, and frame numbers (R,)."""

    clip: np.ndarray | None
    frame: np.ndarray
    label: np.ndarray | None
    subject: np.ndarray | None
    split: np.ndarray | None = None
    notes: tuple[str, ...] = ()  # on times

    def groups(self, stem: str) -> tuple[list[Group], tuple[str, ...]]:
        """The clips, and notes on how they were separated. Raises ValueError."""
        everything = np.arange(len(self.frame))
        if self.clip is not None:
            words, first = np.unique(self.clip, return_index=True)
            in_order = words[np.argsort(first)]
            return [Group(str(word), np.flatnonzero(self.clip == word)) for word in in_order], self.notes
        if self.label is None or len(set(self.label) - {""}) < 2:
            return [Group(None, everything)], self.notes
        order = np.argsort(self.frame, kind="stable")
        starts = np.flatnonzero(np.r_[True, self.label[order][1:] != self.label[order][:-1]])
        frames = len(np.unique(self.frame))
        if len(starts) > frames / 2:
            changes = f"the label changes {len(starts) - 1} times in {frames} frames"
            raise ValueError(f"{changes}: these are poses, not clips. A column clip says which rows belong together")
        groups = [Group(f"{stem}_{i:03d}", np.sort(rows)) for i, rows in enumerate(np.split(order, starts[1:]))]
        note = f"The label changes inside {one_line(stem)}: each run of rows with one label is a clip ({len(groups)})."
        return groups, (*self.notes, note)

    def words(self, index: np.ndarray) -> dict[str, Any]:
        """Label, subject and splits of a clip, where they are known. Raises ValueError."""
        found = {"label": self.label, "subject": self.subject, "splits": self.split}
        words_of = {key: the_word(words[index], key) for key, words in found.items() if words is not None}
        return {key: (word,) if key == "splits" else word for key, word in words_of.items() if word is not None}


def rows_of(table: Table, roles: dict[str, int], person: np.ndarray) -> Rows:
    """What tells the clips of a table; `person` (R,) are words. Raises ValueError naming the line."""
    words = {}
    for key in {"clip", "label", "subject", "split"} & roles.keys():
        words[key] = np.where(is_missing(table.columns[roles[key]]), "", table.words(roles[key]).to_numpy(object))
    clip, frame, notes = words.get("clip"), None, tuple[str, ...]()
    if "frame" in roles:
        column = table.columns[roles["frame"]]
        if np.isnan(parsed(column)).all() and not is_missing(column).any():
            clip, frame = _of_pictures(table.words(roles["frame"]).to_numpy(object), clip, "frame")
        else:
            frame = whole_numbers(table, roles["frame"], "frame")
    elif clip is not None and len(set(clip)) == len(clip) > 2:
        clip, frame = _of_pictures(clip, None, table.names[roles["clip"]])
    elif "time" in roles:
        frame, notes = _in_order(table, roles["time"], clip)
    else:
        frame = _counted(clip, person)
    return Rows(clip, frame, words.get("label"), words.get("subject"), words.get("split"), notes)


def _of_pictures(names: np.ndarray, clip: np.ndarray | None, what: str) -> tuple[np.ndarray | None, np.ndarray]:
    """Videos and frame numbers out of the names of pictures. Raises ValueError."""
    unique, place = np.unique(names, return_inverse=True)
    frame, video = np.zeros(len(unique), np.int64), np.zeros(len(unique), object)
    found = frame_names.video_of(list(map(str, unique)), what)
    for each in found:
        frame[list(each.items)], video[list(each.items)] = each.numbers, each.name
    return (clip if clip is not None or len(found) == 1 else video[place].astype(object)), frame[place]


def _in_order(table: Table, index: int, clip: np.ndarray | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """The places of the times of rows among those of their clip, and a word on gaps. Raises ValueError naming the line."""
    times = seconds(table, index)
    refuse(table, index, np.isnan(times), "the time is", "")
    frame, notes = np.zeros(len(times), np.int64), dict[str, None]()
    for name in [None] if clip is None else dict.fromkeys(clip):
        rows = np.arange(len(times)) if name is None else np.flatnonzero(clip == name)
        what = one_line(table.names[index] if name is None else f"{table.names[index]} of {name}")
        frame[rows], found = frame_names.places_of_times(times[rows], what)
        notes |= dict.fromkeys(found)
    return frame, tuple(notes)


def _counted(clip: np.ndarray | None, person: np.ndarray) -> np.ndarray:
    """The number of each row among those of its clip and person."""
    seen: Counter[Any] = Counter()
    frame = np.zeros(len(person), np.int64)
    for row, key in enumerate(person if clip is None else zip(clip, person, strict=True)):
        frame[row] = seen[key]
        seen[key] += 1
    return frame


def the_word(words: np.ndarray, key: str) -> str | int | None:
    """The word all rows of a clip agree on, a label that is a number as one; None when they are empty."""
    found = sorted({word for word in words if word})
    if len(found) > 1:
        raise ValueError(f"it has more than one {key}: {', '.join(found)[:80]}")
    word = str(found[0]) if found else None
    return int(float(word)) if word and key == "label" and _WHOLE.fullmatch(word) else word


@dataclass(frozen=True)
class Values:
    """Values of the joints of R rows, (R, V, C) and perhaps scores (R, V), with the size of their image."""

    keypoint: np.ndarray
    score: np.ndarray | None
    size: tuple[int, int] | None
    notes: tuple[str, ...] = ()  # what was changed


def values_of(xyz: np.ndarray, score: np.ndarray | None, options: Options) -> Values:
    """Pixels or metres of coordinates (R, V, C) and scores (R, V), in which NaN is a joint not seen."""
    score, notes = _scores(score)
    known = np.where(np.isnan(xyz).any(axis=-1, keepdims=True), np.float32(0), xyz)
    plan, has_z = joint_values.plan(known[..., :2]), xyz.shape[-1] == 3
    flat = plan.is_shares and (not has_z or np.abs(known[..., 2]).max(initial=0) < _NO_UNIT)
    if has_z and not flat:
        return Values(xyz, score, None, notes)
    if not flat:
        return Values(xyz, score, options.image_size, notes)
    size = options.image_size or REFERENCE_SIZE
    keypoint, _ = plan.split(xyz, size)
    left = "; z, which has no unit, is left out" if has_z else ""
    assumed = "" if options.image_size else " (no --image-size was given)"
    said = f"x and y are shares of the image, stored as pixels of {size[1]} x {size[0]}{assumed}{left}."
    return Values(keypoint, score, size, (*notes, said))


def _scores(score: np.ndarray | None) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Scores from 0 to 1 where they were COCO's visibility (0, 1, 2), and what is odd about others."""
    if score is None or not np.isfinite(score).any():
        return score, ()
    high = float(np.nanmax(score))
    if high == 2 and np.isin(score[np.isfinite(score)], (0, 1, 2)).all():
        return (score > 0).astype(np.float32), ("The score is 0, 1 or 2, COCO's visibility: 1 and 2 became 1.",)
    return score, (f"The score is up to {high:.4g}; expected 0 to 1.",) if high > _FULL else ()


@dataclass(frozen=True)
class Entries:
    """Values (E, V, C) of persons or (E, C) of joints: of which row of the table and person they are, whether seen there."""

    row: np.ndarray  # (E,)
    person: np.ndarray  # (E,)
    seen: np.ndarray  # (E,)
    values: Values
    joints: int
    joint: np.ndarray | None = None  # (E,) of which joint they are


def clips_of(
    entries: Entries, rows: Rows, stem: str, options: Options, facts: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """The clips in the order of their first rows; `facts` are those of all. Raises ValueError naming the clip."""
    groups, notes = rows.groups(stem)
    size = {"img_shape": entries.values.size} if entries.values.size else {}
    facts = {**size, **facts, "notes": (*notes, *facts["notes"])}
    for group in groups:
        index = np.flatnonzero(np.isin(entries.row, group.rows))
        try:
            arrays = _arrays(entries, index, rows.frame[entries.row[index]], options)
            record = {**arrays, **facts, "notes": (*facts["notes"], *arrays["notes"]), **rows.words(group.rows)}
        except ValueError as error:
            raise ValueError(f"clip {group.name or stem!r:.60}: {error}") from error
        yield record if group.name is None else {"frame_dir": group.name, **record}


def _arrays(entries: Entries, index: np.ndarray, frame: np.ndarray, options: Options) -> dict[str, Any]:
    """keypoint and keypoint_score of the entries at `index`, in these frames. Raises ValueError."""
    span = frame_span(np.unique(frame).tolist())
    first, frames = span.start, len(span)
    persons, place = _places(entries.person[index], frame, entries.seen[index], options.most_persons)
    shape = (persons, frames, entries.joints, entries.values.keypoint.shape[-1])
    if np.prod(shape) > MAX_VALUES:
        raise ValueError(f"{frames} frames of {entries.joints} joints are too much for one clip")
    kept = place < options.most_persons
    if entries.joint is not None:
        kept &= entries.seen[index]
    index = index[kept]
    at = (place[kept], (frame[kept] - first) // span.step, *([] if entries.joint is None else [entries.joint[index]]))
    _, once, counts = np.unique(np.ravel_multi_index(at, shape[: len(at)]), return_index=True, return_counts=True)
    if (counts > 1).any():
        twice = int(frame[kept][once[counts > 1][0]])
        what = "frame" if entries.joint is None else "a joint of a person in frame"
        raise ValueError(f"{what} {twice} stands twice; is a column missing that tells the person or the clip?")
    record: dict[str, Any] = {"keypoint": np.zeros(shape, np.float32), "notes": ()}
    if span.step > 1:
        record["notes"] = (f"Frames count in steps of {span.step}: these are taken one after the other.",)
    record["keypoint"][at] = entries.values.keypoint[index]
    if entries.values.score is not None:
        record["keypoint_score"] = np.zeros(shape[:3], np.float32)
        record["keypoint_score"][at] = entries.values.score[index]
    return record


def _places(person: np.ndarray, frame: np.ndarray, seen: np.ndarray, most: int) -> tuple[int, np.ndarray]:
    """How many persons are kept, and which of them each row is of, `most` for none: those seen in most frames, in this order."""
    who, code = np.unique(person, return_inverse=True)
    pairs = np.unique(np.stack([code[seen], frame[seen]]), axis=1)[0]
    counts = np.bincount(pairs, minlength=len(who))
    order = sorted(range(len(who)), key=lambda one: -counts[one])[:most]
    order = [one for one in order if counts[one]] or order[:1]
    place = np.full(max(1, len(who)), most)
    place[order] = np.arange(len(order))
    return max(1, len(order)), place[code]
