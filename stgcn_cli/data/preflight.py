"""Seconds before hours: do the data fit the preset? Answered with what was found, what was expected, what to type."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from stgcn_cli.config import presets
from stgcn_cli.config.schema import Preset
from stgcn_cli.data.findings import Findings
from stgcn_cli.data.records import name_of
from stgcn_cli.data.splits import Split
from stgcn_cli.errors import DataError
from stgcn_cli.io.text import one_line, some

_MID_SPINE = 1  # a joint
_AT_ORIGIN, _BEFORE_SENSOR = 0.5, 1.0  # metres: a clip was moved to the origin; a person in front of a camera
_SAMPLED = 200  # clips that are looked at


def check(preset: Preset, split: Split, *, training: bool) -> list[str]:
    """Raise DataError when `split` cannot be used with `preset`; returns warnings about what is odd but possible."""
    _check_skeleton(preset, split, training)
    _check_labels(preset, split, training)
    _check_lengths(preset, split, training)
    _check_raw(preset, split)
    return _warnings(preset, split)


def _check_skeleton(preset: Preset, split: Split, training: bool) -> None:
    joints, values = split.store.frames.shape[1:]
    expected, wanted = len(presets.layout_of(preset).joints), preset.data.channels
    if (joints, values, split.store.has_score) == (expected, len(wanted), wanted == "xys"):
        return
    found, wants = _words(joints, values, split.store.has_score), _words(expected, len(wanted), wanted == "xys")
    raise DataError(
        f"{split.store.source} has {found}; the preset {preset.name} expects {wants}.{_mix_up(preset, split)}",
        _better_preset(preset, split, training),
    )


def _check_raw(preset: Preset, split: Split) -> None:
    """Raise DataError for raw Kinect clips where pre-normalised ones are expected, and the other way round."""
    data, store = preset.data, split.store
    expects_raw = data.normalize == "body" and data.layout == "ntu"
    if data.layout != "ntu" or not (expects_raw or data.pre_normalize == "ntu"):
        return
    chosen = split.indices[:: max(1, len(split.indices) // _SAMPLED)]
    first = store.frames[[row for row in store.starts[chosen, 0] if row]]
    first = first[first.any((1, 2)), _MID_SPINE].astype(np.float32)
    if not len(first):
        return
    is_centred = bool(np.median(np.abs(first).max(-1)) <= _AT_ORIGIN)
    depth, name = float(np.median(first[:, 2])), data.dataset.removesuffix("-raw")
    known = name in ("ntu60", "ntu120")
    if expects_raw and is_centred:
        make = f"Make raw ones: stgcn prepare {name} --raw" if known else "Use --set data.normalize=none"
        raise DataError(
            f"{store.source} holds pre-normalised clips (the middle of the spine is at the origin); the preset {preset.name} "
            "expects raw coordinates.",
            make,
        )
    if depth > _BEFORE_SENSOR and not expects_raw:
        make = f"Make pre-normalised ones: stgcn prepare {name}" if known else "Use --set data.pre_normalize=none"
        raise DataError(
            f"{store.source} holds raw coordinates (the middle of the spine is {depth:.1f} m away); the preset "
            f"{preset.name} expects pre-normalised clips.",
            f"{make}\nOr give it a preset for raw clips: --preset ntu60-xsub-3d-uniform",
        )


def _words(joints: int, values: int, has_score: bool) -> str:
    return f"{joints} joints x {values} values = {joints * values} channels{' with scores' if has_score else ''}"


def _mix_up(preset: Preset, split: Split) -> str:
    flat = split.store.has_score or split.store.frames.shape[2] == 2
    if flat and preset.data.channels == "xy" and split.store.has_score:
        return " There is a keypoint_score: use --set data.channels=xys"
    if flat == (preset.data.channels != "xyz"):
        missing = flat and preset.data.channels == "xys" and not split.store.has_score
        return " The keypoint_score is missing: use --set data.channels=xy" if missing else ""
    return f" This is a 2-D/3-D mix-up: {'2' if flat else '3'}-D data with a {'3' if flat else '2'}-D preset."


def _better_preset(preset: Preset, split: Split, training: bool) -> str:
    """The command with the preset beside the data, else a published one of this skeleton and these classes."""
    verb, source = "train" if training else "eval CHECKPOINT", split.store.source
    own = source.with_suffix(".toml")
    if own.is_file() and preset.name != own.stem:
        return f"Type: stgcn {verb} --preset {own} --data {source}"
    convert = f"For data of your own, convert writes a preset: stgcn data convert {source} --out own.pkl"
    classes = int(split.store.labels.max(initial=-1)) + 1
    joints, values = split.store.frames.shape[1:]
    for other in presets.published_for(joints, values - split.store.has_score, split.store.has_score):
        if classes == other.model.num_classes:
            return (
                f"{convert}\nFor clips of {other.data.dataset} ({other.model.num_classes} classes): "
                f"stgcn {verb} --preset {other.name} --data {source}"
            )
    return convert


def _check_labels(preset: Preset, split: Split, training: bool) -> None:
    labels, classes = split.labels, preset.model.num_classes
    if training and (labels < 0).any():
        first = split.names([int(np.argmax(labels < 0))])[0]
        raise DataError(
            f"{split.store.source}: {(labels < 0).sum()} clips of {split.name!r} have no label, the first is {first}."
        )
    if (labels < 0).all():
        return
    if labels.max() >= classes:
        worst = int(labels.argmax())
        based = " Are the labels counted from 1?" if labels.max() == classes and labels[labels >= 0].min() >= 1 else ""
        raise DataError(
            f"{split.store.source}: {split.names([worst])[0]} has label {labels[worst]}, but the model has {classes} classes "
            f"(labels 0 to {classes - 1}).{based}",
            f"Use --set model.num_classes={int(labels.max()) + 1}, or correct the labels.",
        )


def _check_lengths(preset: Preset, split: Split, training: bool) -> None:
    lengths = split.store.lengths[split.indices]
    if training and preset.data.clip_len is None and lengths.min() != lengths.max():
        raise DataError(
            f"{split.store.source}: clips of {split.name!r} have {lengths.min()} to {lengths.max()} frames, "
            f"but the preset {preset.name} takes clips as long as stored, all alike.",
            f"Use --set data.clip_len={int(np.median(lengths))}",
        )


def _warnings(preset: Preset, split: Split) -> list[str]:
    crowded = (split.store.starts[split.indices, preset.data.num_person :] > 0).any(axis=1)
    if not crowded.any():
        return []
    return [
        f"{crowded.sum()} clips of {split.name!r} have more than {preset.data.num_person} persons; the others are dropped: "
        f"{some(split.names(np.flatnonzero(crowded).tolist()))}."
    ]


def findings(preset: Preset, splits: Sequence[Split]) -> list[str]:
    """One line for each kind of problem that `validate` lists for the files of `splits`; not for clips of other splits."""
    lines: list[str] = []
    unused = () if preset.data.normalize in ("image", "half-image") else ("missing, so",)  # sizes of images
    for store in {id(split.store): split.store for split in splits}.values():
        if not store.findings.found:
            continue
        chosen = [split for split in splits if split.store is store]
        used = {store.names[clip] for split in chosen for clip in split.indices}
        others = {store.names[clip] for clips in store.splits.values() for clip in clips} - used
        others |= {f"split {name}" for name in store.splits} - {f"split {split.name}" for split in chosen}
        hidden = {name_of({"frame_dir": name}, 0) for name in others} | {one_line(name) for name in others}
        found = [each for each in store.findings.found if each.where not in hidden]
        lines += Findings(str(store.source), len(store), found).kinds(*unused)
    return lines


def check_pair(train: Split, val: Split) -> list[str]:
    """Warnings about a training and a validation split taken together."""
    lines = []
    shared = {train.store.names[i] for i in train.indices} & {val.store.names[i] for i in val.indices}
    if shared and (train.store is not val.store or train.name.removesuffix("train") != val.name.removesuffix("val")):
        lines.append(f"{len(shared)} clips are in {train.name!r} and in {val.name!r}, for instance {min(shared)}.")
    if len(np.unique(train.labels)) < 2:
        lines.append(f"All clips of {train.name!r} are of one class.")
    unseen = sorted(set(val.labels.tolist()) - set(train.labels.tolist()) - {-1})
    if unseen:
        lines.append(
            f"{len(unseen)} classes of {val.name!r} have no training clip: {', '.join(map(str, unseen[:10]))}."
        )
    return lines


def with_counts(preset: Preset, train: Split) -> Preset:
    """The preset with loss.class_counts = "data" replaced by the training clips of each class."""
    if preset.loss.class_counts != "data":
        return preset
    counts = tuple(np.bincount(train.labels, minlength=preset.model.num_classes).tolist())
    return dataclasses.replace(preset, loss=dataclasses.replace(preset.loss, class_counts=counts))
