"""What `validate` finds, `convert`, `train` and `predict` say in the same words, from the same table; or they refuse it."""

import pickle

import numpy as np
import pytest

from stgcn_cli.config import presets
from stgcn_cli.data import preflight
from stgcn_cli.data.checks import RecordChecker
from stgcn_cli.data.convert.convert import ConvertOptions, convert
from stgcn_cli.data.facts import take_census
from stgcn_cli.data.findings import Findings
from stgcn_cli.data.output import Target
from stgcn_cli.data.splits import Split, open_stores
from stgcn_cli.errors import DataError
from stgcn_cli.evaluation import predict as predicting
from stgcn_cli.io.reporter import SILENT
from stgcn_cli.runs.resolve import EvalOptions
from tests.factories import bodies, checkpoints

SETTINGS = ("data.num_person=1", "data.channels=xy", "model.num_classes=4", "data.clip_len=8")
PRESET = presets.load("ntu60-xsub-2d", SETTINGS)


def records(count=8):
    """Sound 2-D clips of four classes."""
    return [
        {
            "frame_dir": f"c{i}",
            "label": i % 4,
            "img_shape": (720, 1280),
            "keypoint": bodies.flat(40, seed=i)[None],
            "total_frames": 40,
        }
        for i in range(count)
    ]


def put(index, **changes):
    return lambda records, splits: records[index].update(changes)


def values(index, change):
    def changed(records, splits):
        keypoint = change(records[index]["keypoint"].copy())
        records[index].update(keypoint=keypoint, total_frames=keypoint.shape[1])

    return changed


def in_all(change):
    return lambda records, splits: [change(record) for record in records]


def listed(split, name):
    return lambda records, splits: splits[split].append(name)


def with_nan(keypoint):
    keypoint[0, 3, 5] = np.nan
    return keypoint


def mostly_empty(keypoint):
    keypoint[:, 1:30] = 0
    return keypoint


def of_other_joints(keypoint):
    return np.concatenate([keypoint, keypoint[:, :, :1]], axis=2)


# problem, words of the finding; what refuses it instead, or has no use for it: predict reads neither labels nor splits
FINDINGS = {
    "no record": (
        lambda records, splits: records.__setitem__(7, "text"),
        "a str; expected a dict",
        {"convert", "train", "predict"},
    ),
    "name": (put(7, frame_dir=None), "frame_dir: missing", set()),
    "label": (put(7, label="walk"), "label: 'walk'", {"convert", "train", "predict"}),
    "hidden": (put(7, label=None), "label: hidden", {"predict"}),
    "array": (put(7, keypoint=[1]), "keypoint: a list", {"convert", "train", "predict"}),
    "infinite": (values(7, lambda x: x * np.inf), "NaN or infinite", {"train", "predict"}),
    "NaN": (values(7, with_nan), "NaN", {"train"}),
    "joints": (values(7, of_other_joints), "18 joints", {"convert", "train", "predict"}),
    "length": (put(7, total_frames=99), "total_frames: 99", {"convert", "train", "predict"}),
    "unused frames": (put(7, total_frames=30), "keypoint holds 40 frames", set()),
    "crowd": (values(7, lambda x: np.repeat(x[:, :2], 9, axis=0)), "more persons than frames", set()),
    "all zeros": (values(7, lambda x: x * 0), "all zeros", {"predict"}),  # worded with what it means for the answer
    "one frame": (values(7, lambda x: x[:, :1]), "a single frame", set()),
    "empty frames": (values(7, mostly_empty), "no person in 29 of 40 frames", set()),
    "twice": (values(7, lambda x: bodies.flat(40, seed=0)[None]), "the same values as c0", set()),
    "no size": (put(7, img_shape=None), "img_shape: missing", {"predict"}),
    "no such size": (put(7, img_shape="large"), "img_shape: 'large'", set()),
    "outside": (put(7, img_shape=(64, 64)), "outside of an image", set()),
    "fractions": (in_all(lambda r: r.update(keypoint=r["keypoint"] / 1300)), "fractions of the image", set()),
    "from 1": (in_all(lambda r: r.update(label=r["label"] % 3 + 1)), "counted from 1", {"predict"}),
    "gap": (in_all(lambda r: r.update(label=r["label"] * 3 % 7)), "but none is", {"train", "predict"}),
    "one class": (in_all(lambda r: r.update(label=2)), "all are 2", {"predict"}),
    "name twice": (put(7, frame_dir="c3"), "2 records of this name", {"predict"}),
    "not there": (
        listed("val", "lost"),
        "'lost' has no record",
        {"convert", "predict"},
    ),  # the new file's splits are sound
    "listed twice": (listed("val", "c7"), "'c7' is listed more than once", {"convert", "predict"}),
    "leak": (listed("val", "c0"), "the figures would be too good", {"predict"}),
    "empty split": (
        lambda records, splits: splits.update(test=[]),
        "no clip is in it",
        {"convert", "train", "predict"},
    ),
    "in no split": (lambda records, splits: splits["val"].remove("c7"), "it is in no split", {"predict"}),
}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    path = tmp_path_factory.mktemp("checks") / "a.pth"
    return predicting.load(EvalOptions(checkpoint=str(checkpoints.made(path, "ntu60-xsub-2d", SETTINGS)), device="cpu"))


def train(path):
    store = open_stores([path])[0]
    splits = [Split(name, store, store.indices(name)) for name in ("train", "val")]
    said = preflight.check(PRESET, splits[0], training=True) + preflight.check(PRESET, splits[1], training=False)
    return said + preflight.findings(PRESET, splits)


@pytest.mark.parametrize("problem", FINDINGS)
def test_what_validate_finds_the_others_say(problem, tmp_path, predictor, monkeypatch):
    monkeypatch.setattr(predicting, "load", lambda *given: predictor)
    change, words, otherwise = FINDINGS[problem]
    clips = records()
    splits = {"train": [f"c{i}" for i in range(4)], "val": [f"c{i}" for i in range(4, 8)]}
    change(clips, splits)
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"split": splits, "annotations": clips}))
    commands = {
        "validate": lambda: [each.line() for each in take_census(str(path)).finish().found],
        "convert": lambda: convert(ConvertOptions(inputs=[str(path)], target=Target(tmp_path / "b.pkl"))).warnings,
        "train": lambda: train(path),
        "predict": lambda: predicting.predict([str(path)], EvalOptions(checkpoint="a.pth"), SILENT).warnings,
    }
    for command, run in commands.items():
        try:
            said = " ".join(run())
        except DataError:
            assert command in otherwise, command
            continue
        assert (words in said) != (command in otherwise), (command, said)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("problem", [name for name in FINDINGS if name != "no record"])
def test_together_records_are_checked_as_they_are_alone(problem, dtype):
    clips, splits = records(), {"train": ["c0"], "val": ["c7"]}
    FINDINGS[problem][0](clips, splits)
    for clip in clips:
        if isinstance(clip["keypoint"], np.ndarray):
            clip["keypoint"] = clip["keypoint"].astype(dtype)
    alone, together = (RecordChecker(Findings("a.pkl"), has_splits=True) for _ in range(2))
    frames = [alone.look_at(clip) for clip in clips]
    checked, _ = together.look_at_all(clips)
    assert together.finish().found == alone.finish().found
    for (same, is_finite), expected in zip(checked, frames, strict=True):
        np.testing.assert_array_equal(same, expected)
        assert not is_finite or np.isfinite(expected).all()
