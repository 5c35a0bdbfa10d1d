"""BABEL's release to records: equal to the reference's, every split exact, what is bad set aside and named."""

import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

from stgcn_cli.data.pickles import read_pickle
from stgcn_cli.data.store import open_store
from stgcn_cli.errors import DataError, UsageError
from tests.cli.runner import environment
from tests.factories.prepared import prepare
from tests.factories.releases import golden_records, golden_release, made_up, names_of, write_archive, write_split


def equal(ours: dict, theirs: dict) -> bool:
    """To the bit, and with plain contiguous arrays."""
    x, y = ours.pop("keypoint"), theirs.pop("keypoint")
    assert type(x) is np.ndarray and x.flags.c_contiguous and x.dtype == y.dtype and x.shape == y.shape
    return x.tobytes() == y.tobytes() and ours == theirs


def test_golden_clips_become_golden_records(tmp_path):
    release, wanted = golden_release(), golden_records()
    summary = prepare("babel60", [write_split(tmp_path / "in", "train", release)], tmp_path / "babel60.pkl")
    whole = read_pickle(tmp_path / "babel60.pkl")
    names = [record["frame_dir"] for record in wanted]
    assert whole["split"] == {"train": names[1:]}  # clip 0 holds 7e4
    assert all(equal(*pair) for pair in zip(whole["annotations"], wanted[1:], strict=True))
    ((place, reason),) = summary.set_aside
    assert place == f"train_ntu_sk_60.npy[0]: {names[0]}" and "70000, beyond what float16 can hold" in reason
    assert (summary.clips, summary.frames, summary.split_sizes) == (2, 300, {"train": 2})


@pytest.mark.parametrize("classes", [60, 120])
def test_the_lists_of_the_reference_are_met_record_by_record(shared, tmp_path, classes):
    place = shared / "golden" / "babel"
    prepare(f"babel{classes}", [place], tmp_path / "out", format="list")
    for split in ("train", "val"):
        ours = pickle.loads((tmp_path / "out" / f"{split}.pkl").read_bytes())
        theirs = pickle.loads((place / f"babel{classes}_{split}.pkl").read_bytes())
        assert len(ours) == len(theirs) - 1
        assert all(equal(*pair) for pair in zip(ours, theirs[1:], strict=True))


def test_real_clips_come_back_out_of_the_store_with_their_splits(shared, tmp_path):
    place = shared / "data" / "babel-layout"
    for classes in (60, 120):
        folder = tmp_path / str(classes)
        folder.mkdir()
        for file in place.iterdir():
            shutil.copy(file, folder / file.name.replace("_60", f"_{classes}"))
        summary = prepare(f"babel{classes}", [folder], tmp_path / f"{classes}.pkl")
        store = open_store(tmp_path / f"{classes}.pkl", tmp_path / "cache")
        assert summary.split_sizes == {"train": 201, "val": 200} and store.frames.dtype == np.float16
        for split, first in (("train", 0), ("val", 201)):
            assert store.indices(split).tolist() == list(range(first, first + summary.split_sizes[split]))
            labels = read_pickle(place / f"{split}_label_60.pkl")[1][0]
            assert store.labels[store.indices(split)].tolist() == labels


def test_one_clip_under_several_labels_is_kept_and_reported(tmp_path):
    release = made_up(6)
    for column in ("segments", "sequences", "chunks", "annotators"):
        release[column][3] = release[column][1]
    write_split(tmp_path / "in", "train", release)
    summary = prepare("babel60", [tmp_path / "in"], tmp_path / "x.pkl")
    name = names_of(release)[1]
    assert summary.census.several_labels == {name: [1, 3]} and summary.clips == summary.split_sizes["train"] == 6
    assert json.loads((tmp_path / "x.report.json").read_text())["several_labels"] == {name: [1, 3]}
    store = open_store(tmp_path / "x.pkl", tmp_path / "cache")
    assert store.labels[store.indices("train")].tolist() == [0, 1, 2, 3, 4, 5]


def test_splits_stay_exact_when_a_name_stands_in_two_of_them(tmp_path):
    train, val = made_up(4, "a"), made_up(3, "a", seed=1)  # the first three names are the same
    train["segments"][3], train["sequences"][3] = "a000", "100_0_who-0@val"  # and one is in the way
    for split, release in (("train", train), ("val", val)):
        write_split(tmp_path / "in", split, release)
    summary = prepare("babel60", [tmp_path / "in"], tmp_path / "x.pkl")
    store = open_store(tmp_path / "x.pkl", tmp_path / "cache")
    assert store.indices("train").tolist() == [0, 1, 2, 3] and store.indices("val").tolist() == [4, 5, 6]
    assert store.names[:4] == names_of(train) and store.names[5:] == [f"{name}@val" for name in names_of(val)[1:]]
    assert len(set(store.names)) == 7 and "3 clips have the name of a clip in another split" in summary.warnings[0]
    prepare("babel60", [tmp_path / "in"], tmp_path / "lists", format="list")
    lists = [read_pickle(tmp_path / "lists" / f"{split}.pkl") for split in ("train", "val")]
    assert [[record["frame_dir"] for record in records] for records in lists] == [names_of(train), names_of(val)]


def test_clips_that_cannot_be_used_are_set_aside_and_named(tmp_path):
    release = made_up(8)
    for clip, value in ((0, np.nan), (1, np.inf), (2, -65_520.0), (3, 65_519.0)):
        release["clips"][clip, 1, 2, 3, 0] = value
    release["labels"][4:7] = [60, "walk", -2]
    write_split(tmp_path / "in", "val", release)
    summary = prepare("babel60", [tmp_path / "in"], tmp_path / "x.pkl", max_bad=0.8)
    reasons = dict(summary.set_aside)
    for clip, cause in ((0, "NaN"), (1, "NaN or infinite"), (2, "-65520, beyond"), (4, "60 is none of the 60 classes"),
                        (5, "'walk' is none"), (6, "-2 is none")):  # fmt: skip
        assert cause in reasons[f"val_ntu_sk_60.npy[{clip}]: {names_of(release)[clip]}"]
    kept = read_pickle(tmp_path / "x.pkl")["annotations"]
    assert [record["label"] for record in kept] == [3, 7] and kept[0]["keypoint"].max() == 65_504
    with pytest.raises(DataError, match="6 of 8 records are bad"):
        prepare("babel60", [tmp_path / "in"], tmp_path / "y.pkl")
    assert not (tmp_path / "y.pkl").exists() and (tmp_path / "y.report.json").exists()


def test_the_counts_are_compared_with_the_official_ones_bad_clips_included(tmp_path):
    write_split(tmp_path / "in", "train", made_up(3))
    (result,) = prepare("babel60", [tmp_path / "in"], tmp_path / "x.pkl").warnings
    assert "not the official ones (train has 3 clips, officially 45,473)" in result
    whole = np.lib.format.open_memmap(
        tmp_path / "in" / "train_ntu_sk_60.npy", "w+", np.float16, (45_473, 3, 1, 25, 1)
    )  # all zeros
    whole[7] = np.nan
    del whole
    columns = ([f"s{i}" for i in range(45_473)], ([i % 60 for i in range(45_473)], *[[0] * 45_473] * 3))
    (tmp_path / "in" / "train_label_60.pkl").write_bytes(pickle.dumps(columns))
    summary = prepare("babel60", [tmp_path / "in"], tmp_path / "x.pkl")
    assert summary.clips == 45_472 and not any("official" in warning for warning in summary.warnings)


def test_splits_can_be_chosen_and_come_from_several_sources(tmp_path):
    for split in ("train", "val"):
        write_split(tmp_path / split, split, made_up(3, split))
    sources = [tmp_path / "train", tmp_path / "val"]
    prepare("babel60", sources, tmp_path / "x.pkl")
    assert list(read_pickle(tmp_path / "x.pkl")["split"]) == ["train", "val"]
    prepare("babel60", sources, tmp_path / "x.pkl", splits=["val"])
    assert list(read_pickle(tmp_path / "x.pkl")["split"]) == ["val"]
    with pytest.raises(UsageError, match=r"'vla'.*Did you mean 'val'"):
        prepare("babel60", sources, tmp_path / "x.pkl", splits=["vla"])
    with pytest.raises(DataError, match="'val' is in two sources"):
        prepare("babel60", [*sources, tmp_path / "val"], tmp_path / "x.pkl")


def test_memory_is_flat(tmp_path):
    """Twenty times the clips, some 200 MB of them, and no more memory."""
    peaks = []
    for count in (200, 4000):
        folder = write_split(tmp_path / str(count), "train", made_up(1) | {"clips": np.zeros((1, 3, 1, 25, 1))})
        np.lib.format.open_memmap(folder / "train_ntu_sk_60.npy", "w+", np.float32, (count, 3, 150, 25, 1))
        columns = ([f"s{i}" for i in range(count)], tuple([0] * count for _ in range(4)))
        (folder / "train_label_60.pkl").write_bytes(pickle.dumps(columns))
        code = (
            "from pathlib import Path; from tests.factories.prepared import prepare\n"
            f"prepare('babel60', [Path({str(folder)!r})], Path({str(tmp_path / 'x.pkl')!r}))\n"
            "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(tmp_path))
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 16_000  # kB


@pytest.mark.parametrize("place", ["tar", ".", "release", "babel_v1.0"])
def test_the_command_finds_the_release_and_says_what_it_did(stgcn, tmp_path, place):
    folder = tmp_path / "in" if place == "tar" else tmp_path / "data" / place
    release = made_up(8)
    release["clips"][2] = 1e6
    for split in ("train", "val"):
        write_split(folder, split, release | {"segments": [f"{split}{i}" for i in range(8)]})
    if place == "tar":
        write_archive(tmp_path / "data" / "babel_feats_labels.tar.gz", folder)
    result = stgcn("prepare", "babel60")
    assert result.code == 0, result.err
    for word in (
        "train",
        "45,473",
        "data/babel60.pkl",
        "data/babel60.report.json",
        "1e+06, beyond what float16 can hold",
    ):
        assert word in result.out
    assert (
        "officially 45,473" in result.err and len(read_pickle(tmp_path / "data" / "babel60.pkl")["annotations"]) == 14
    )
    as_json = json.loads(stgcn("prepare", "babel60", "--json", "--format", "list").out)
    assert as_json["outputs"] == ["data/babel60/train.pkl", "data/babel60/val.pkl"] and as_json["clips"] == 14


@pytest.mark.parametrize(("words", "code", "causes"), [
    (["babel60"], 3, ["https://babel.is.tue.mpg.de", "human-movement.is.tue.mpg.de/babel_feats_labels.tar.gz", "into data as",
                      "train_ntu_sk_60.npy, train_label_60.pkl", "--source"]),
    (["babel120"], 3, ["train_ntu_sk_120.npy", "stgcn prepare babel120 --source"]),
    (["babel120", "--source", "in"], 3, ["train_ntu_sk_120.npy not found in in."]),
    (["babel60", "--source", "gone.tar.gz"], 3, ["gone.tar.gz cannot be read: No such file or directory."]),
    (["babel60", "--source", "half"], 3, ["half has train_ntu_sk_60.npy but no train_label_60.pkl."]),
    (["babel60", "--source", "in", "--splits", "test"], 2, ["babel60 has no split 'test' here.", "It has train."]),
    (["babel60", "--source", "in", "--out", "in"], 2, ["in is a folder."]),
    (["babel60", "--download"], 2, ["babel60 cannot be downloaded", "https://babel.is.tue.mpg.de"]),
    (["babel61"], 2, ["Did you mean 'babel60'?"]),
])  # fmt: skip
def test_invalid_calls_are_refused(stgcn, tmp_path, words, code, causes):
    write_split(tmp_path / "in", "train", made_up(3))
    write_split(tmp_path / "half", "train", made_up(3), labels=False)
    result = stgcn("prepare", *words)
    assert result.code == code and all(cause in result.err for cause in causes), result.err
