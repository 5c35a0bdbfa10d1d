"""Which clips train and which validate: as the data say, by subject, by a list, or by a share. Nothing depends on the order."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stgcn_cli.data.convert.labels import read_list
from stgcn_cli.data.convert.spool import Spooled
from stgcn_cli.data.name_index import NameIndex
from stgcn_cli.errors import DataError, UsageError
from stgcn_cli.io.text import natural, nearest, one_line, some

_STRAY = 0.2  # share of clips without a subject that are left out of a division by subject
AS_THEY_WERE = "as they were"  # splits that clips bring along
FRACTION = 0.2  # validation share by default
Splits = list[tuple[str, ...]]


@dataclass(frozen=True)
class Division:
    """How to divide; at most one of the first four is given."""

    val_subjects: tuple[str, ...] = ()
    val_names: tuple[str, ...] = ()
    val_fraction: float | None = None
    only: str | None = None  # all clips into the split of this name
    seed: int = 0
    as_they_are: bool = False  # the splits that clips bring along, even if none does

    @property
    def is_default(self) -> bool:
        """Whether the user asked for nothing."""
        return not (self.val_subjects or self.val_names or self.only) and self.val_fraction is None


def division(
    subjects: str | None, listed: Path | None, fraction: float | None, only: str | None, seed: int
) -> Division:
    """What the user's words ask for. Raises UsageError when they contradict each other, or a list cannot be read."""
    given = {"--val-subjects": subjects, "--val-list": listed, "--val-fraction": fraction, "--split": only}
    options = [name for name, value in given.items() if value is not None]
    if len(options) > 1:
        raise UsageError(f"{' and '.join(options)} contradict each other.", "Give one of them.")
    if fraction is not None and not 0 < fraction < 1:
        raise UsageError(f"--val-fraction {fraction:g} leaves nothing on one side.", "Give a share such as 0.2")
    persons = tuple(plain for word in (subjects or "").split(",") if (plain := plain_subject(word)))
    if subjects is not None and not persons:
        raise UsageError("--val-subjects lists no subject.", "For example: --val-subjects 6,7,8")
    return Division(persons, tuple(read_list(listed)) if listed else (), fraction, only, seed)


def divide(clips: Sequence[Spooled], labels: Sequence[int | None], wish: Division) -> tuple[Splits, str]:
    """The splits of each clip, "train" and "val" unless the clips bring their own, and how it was done in words.

    Raises DataError when a subject or name is not there, or a split would be empty.
    """
    usable = (
        [label is not None for label in labels] if any(label is not None for label in labels) else [True] * len(clips)
    )
    if wish.only:
        return _trainable([(wish.only,)] * len(clips), usable), f"all in {wish.only}"
    if wish.val_subjects:
        chosen = _subjects(clips, wish)
        usable = [each and clip.subject is not None for each, clip in zip(usable, clips, strict=True)]
        return _checked([clip.subject in chosen for clip in clips], usable, "by subject")
    if wish.val_names:
        listed = _listed(clips, wish.val_names)
        return _checked([clip.name in listed for clip in clips], usable, "by a list of names")
    if wish.as_they_are or (wish.val_fraction is None and any(clip.splits for clip in clips)):
        return _trainable([clip.splits for clip in clips], usable), AS_THEY_WERE
    fraction = FRACTION if wish.val_fraction is None else wish.val_fraction
    subjects = {clip.subject for clip in clips} - {None}
    unknown = sum(clip.subject is None for clip in clips)
    if len(subjects) > 1 and unknown <= _STRAY * len(clips):
        chosen = _share(sorted(map(str, subjects), key=natural), fraction, wish.seed)
        words = f"{100 * fraction:.0f} % of the subjects validate: {', '.join(sorted(chosen, key=natural))}"
        usable = [each and clip.subject is not None for each, clip in zip(usable, clips, strict=True)]
        return _checked([clip.subject in chosen for clip in clips], usable, words)
    if len(subjects) > 1:
        raise DataError(
            f"The subject of {unknown:,} of {len(clips):,} clips is not known, so a subject could be in both splits: "
            f"{some([clip.name for clip in clips if clip.subject is None])}.",
            "Give the subjects with --labels (name,label,subject), or name the clips to validate: --val-list FILE",
        )
    labelled = [index for index, each in enumerate(usable) if each]
    names = _share_of_each_class(
        [clips[index] for index in labelled], [labels[index] for index in labelled], fraction, wish.seed
    )
    known = "there is only one subject" if subjects and not unknown else "the subjects are not known"
    words = f"{100 * fraction:.0f} % of each class validate; {known}"
    return _checked([clip.name in names for clip in clips], usable, words)


def plain_subject(word: object) -> str | None:
    """7 for 7, "7" and "007", so that a name and a list mean the same person; None where empty."""
    text = "" if word is None else str(word).strip()
    return (text.lstrip("0") or "0") if text.isdecimal() else text or None


def _subjects(clips: Sequence[Spooled], wish: Division) -> set[str]:
    there = {clip.subject for clip in clips if clip.subject is not None}
    if not there:
        raise DataError(
            f"The subject of {one_line(clips[0].name)} and all other clips is not known.",
            "Subjects come from NTU names (P007), a CSV's column subject, or --labels with name,label,subject.",
        )
    for subject in wish.val_subjects:
        if subject not in there:
            known = one_line(", ".join(sorted(there, key=natural)))
            raise DataError(f"Subject {subject!r} not found.", f"Subjects: {known[:300]}")
    return set(wish.val_subjects)


def _listed(clips: Sequence[Spooled], names: Sequence[str]) -> set[str]:
    there = list(dict.fromkeys(clip.name for clip in clips))
    index, listed = NameIndex(there), set()
    for name in names:
        if (found := index.find(name)) is None:
            raise DataError(f"The list names {one_line(name)!r}, but no clip has this name.{nearest(name, there)}")
        listed.add(found)
    return listed


def _share(sorted_words: Sequence[str], fraction: float, seed: int) -> set[str]:
    """At least one, and not all."""
    count = min(max(1, round(fraction * len(sorted_words))), len(sorted_words) - 1)
    chosen = np.random.default_rng(seed).permutation(len(sorted_words))[:count]
    return {sorted_words[index] for index in chosen}


def _share_of_each_class(
    clips: Sequence[Spooled], labels: Sequence[int | None], fraction: float, seed: int
) -> set[str]:
    by_class: dict[int | None, dict[str, None]] = {}
    seen: set[str] = set()
    for clip, label in zip(clips, labels, strict=True):
        if clip.name not in seen:  # of a clip with several labels, the first decides
            by_class.setdefault(label, {})[clip.name] = None
            seen.add(clip.name)
    chosen: set[str] = set()
    for names in by_class.values():
        if len(names) > 1:
            chosen |= _share(sorted(names), fraction, seed)
    return chosen


def _trainable(splits: Splits, usable: Sequence[bool]) -> Splits:
    """The splits, from which clips without a label are left out where a model is trained on them."""
    return [
        found if each else tuple(split for split in found if split.rpartition("_")[2] != "train")
        for found, each in zip(splits, usable, strict=True)
    ]


def _checked(validates: list[bool], usable: list[bool], words: str) -> tuple[Splits, str]:
    """The split of each clip; none of those without a label, or without a subject in a division by subject."""
    parts = {part for part, each in zip(validates, usable, strict=True) if each}
    if len(parts) < 2:
        raise DataError(
            f"The split {'val' if False in parts else 'train'!r} would have no clip.",
            "Choose other clips to validate, or put all into one split: --split train",
        )
    chosen: Splits = [("val",) if each else ("train",) for each in validates]
    return [split if each else () for split, each in zip(chosen, usable, strict=True)], words
