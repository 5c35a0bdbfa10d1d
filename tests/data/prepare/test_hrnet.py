"""2-D annotations: pickles that somebody else has made."""

import json

import numpy as np
import pytest

from stgcn_cli.data.pickles import read_pickle
from stgcn_cli.data.store import open_store
from stgcn_cli.errors import DataError, UsageError
from tests.factories.http_server import Served, running
from tests.factories.prepared import prepare
from tests.factories.records import records_2d, write_pickle


def lists(folder, train: int = 6, val: int = 4) -> list:
    """The two lists of MMAction2."""
    return [
        write_pickle(folder / "ntu60_xsub_train.pkl", records_2d(train)),
        write_pickle(folder / "ntu60_xsub_val.pkl", records_2d(val, first=train)),
    ]


def equal(ours: dict, theirs: dict) -> bool:
    """Values, types and bytes of two records."""
    assert set(ours) == set(theirs)
    arrays = ("keypoint", "keypoint_score")
    return all(
        ours[key].tobytes() == np.ascontiguousarray(theirs[key]).tobytes() and ours[key].dtype == theirs[key].dtype
        if key in arrays
        else ours[key] == theirs[key]
        for key in theirs
    )


def test_lists_become_one_file_with_every_record_as_it_was(tmp_path):
    summary = prepare("ntu60-2d", lists(tmp_path), tmp_path / "out.pkl")
    whole = read_pickle(tmp_path / "out.pkl")
    wanted = records_2d(6) + records_2d(4, first=6)
    assert all(equal(*pair) for pair in zip(whole["annotations"], wanted, strict=True))
    names = [record["frame_dir"] for record in wanted]
    assert whole["split"] == {"xsub_train": names[:6], "xsub_val": names[6:]}
    assert summary.split_sizes == {"xsub_train": 6, "xsub_val": 4} and not summary.set_aside


def test_real_records_come_back_out_of_the_store_with_scores_and_splits(shared, tmp_path):
    sources = [shared / "data" / f"uiprmd_2d_{split}.pkl" for split in ("train", "val")]
    prepare("ntu60-2d", sources, tmp_path / "x.pkl")
    store = open_store(tmp_path / "x.pkl", tmp_path / "cache")
    assert store.has_score and store.frames.dtype == np.float16 and len(store) == 1000
    assert len(store.indices("xsub_train")) == len(store.indices("xsub_val")) == 500
    for ours, theirs in zip(
        read_pickle(tmp_path / "x.pkl")["annotations"], read_pickle(sources[0]) + read_pickle(sources[1]), strict=True
    ):
        assert equal(ours, theirs)


def test_the_other_dialect_keeps_every_split_it_has(tmp_path):
    annotations = records_2d(8)
    names = [record["frame_dir"] for record in annotations]
    splits = {"xsub_train": names[:5], "xsub_val": names[5:7], "xview_train": names[2:], "xview_val": names[:2]}
    source = write_pickle(tmp_path / "ntu60_hrnet.pkl", {"split": splits, "annotations": annotations})
    prepare("ntu60-2d", [source], tmp_path / "x.pkl")
    whole = read_pickle(tmp_path / "x.pkl")
    assert whole["split"] == splits and len(whole["annotations"]) == 8
    prepare("ntu60-2d", [source], tmp_path / "x.pkl", splits=["xsub"])
    whole = read_pickle(tmp_path / "x.pkl")
    assert whole["split"] == {name: splits[name] for name in ("xsub_train", "xsub_val")}
    assert [record["frame_dir"] for record in whole["annotations"]] == names[:7]
    prepare("ntu60-2d", [source], tmp_path / "lists", format="list")
    for split, members in splits.items():
        found = read_pickle(tmp_path / "lists" / f"{split.replace('_', '/')}.pkl")
        assert [record["frame_dir"] for record in found] == members


def test_one_record_in_lists_of_two_benchmarks_is_written_once(tmp_path):
    both = records_2d(4)
    sources = [write_pickle(tmp_path / f"ntu60_{name}.pkl", part) for name, part in (
        ("xsub_train", both[:3]), ("xsub_val", both[3:]), ("xview_train", both[1:]), ("xview_val", both[:1]))]  # fmt: skip
    summary = prepare("ntu60-2d", sources, tmp_path / "x.pkl")
    whole, names = read_pickle(tmp_path / "x.pkl"), [record["frame_dir"] for record in both]
    assert len(whole["annotations"]) == summary.clips == 4 and not summary.set_aside
    assert whole["split"]["xview_train"] == names[1:] and whole["split"]["xview_val"] == names[:1]
    prepare("ntu60-2d", sources, tmp_path / "lists", format="list")
    assert len(read_pickle(tmp_path / "lists" / "xview" / "train.pkl")) == 3


@pytest.mark.parametrize(("change", "cause"), [
    (lambda r: r.pop("keypoint_score"), "expected (M, T, 17, 2) and a score"),
    (lambda r: r.update(keypoint=r["keypoint"][:, :, :16], keypoint_score=r["keypoint_score"][:, :, :16]), "16, 2)"),
    (lambda r: r.update(keypoint=np.zeros((1, 6, 25, 3)), keypoint_score=None), "shape (1, 6, 25, 3) and no keypoint_score"),
    (lambda r: r.update(keypoint_score=r["keypoint_score"][:, :2]), "keypoint_score has shape"),
    (lambda r: r["keypoint"].__setitem__((0, 1, 2, 0), np.nan), "NaN or infinite"),
    (lambda r: r["keypoint_score"].__setitem__((0, 1, 2), np.inf), "NaN or infinite"),
    (lambda r: r.update(label=60), "its label 60 is none of the 60 classes"),
    (lambda r: r.update(label=None), "its label is missing"),
    (lambda r: r.update(label="walk"), "label is 'walk'"),
    (lambda r: r.update(total_frames=99), "total_frames is 99"),
    (lambda r: r.update(total_frames=0), "total_frames is 0"),
    (lambda r: r.update(keypoint=[1, 2]), "keypoint is a list"),
    (lambda r: r.update(img_shape=1080), "its image has the shape 1080"),
    (lambda r: r.pop("frame_dir"), "frame_dir is missing"),
    (lambda r: r.update(records_2d(1)[0]), "a second record of this name"),
    (lambda r: r.update(frame_dir=records_2d(1)[0]["frame_dir"]), "a second record of this name"),
])  # fmt: skip
def test_a_bad_record_is_set_aside_and_named(tmp_path, change, cause):
    records = records_2d(6)
    change(records[3])
    source = write_pickle(tmp_path / "ntu60_xsub_train.pkl", records)
    summary = prepare("ntu60-2d", [source], tmp_path / "x.pkl")
    ((place, reason),) = summary.set_aside
    assert cause in reason and place == f"{source}: {records[3].get('frame_dir', 'record 3')}"
    whole = read_pickle(tmp_path / "x.pkl")
    names = [record["frame_dir"] for index, record in enumerate(records_2d(6)) if index != 3]
    assert whole["split"]["xsub_train"] == [record["frame_dir"] for record in whole["annotations"]] == names
    assert json.loads((tmp_path / "x.report.json").read_text())["set_aside"] == [[place, reason]]


def test_names_without_a_record_are_reported(tmp_path):
    records = records_2d(2)
    splits = {"xsub_train": [records[0]["frame_dir"]], "xsub_val": [records[1]["frame_dir"], "gone", "lost"]}
    source = write_pickle(tmp_path / "ntu60_hrnet.pkl", {"split": splits, "annotations": records})
    summary = prepare("ntu60-2d", [source], tmp_path / "x.pkl")
    assert any("2 names in the splits" in warning and "gone" in warning for warning in summary.warnings)
    assert read_pickle(tmp_path / "x.pkl")["split"]["xsub_val"] == [records[1]["frame_dir"]]


def test_only_bad_records_are_an_error_that_leaves_the_report(tmp_path):
    source = write_pickle(tmp_path / "train.pkl", [None, 7, {"frame_dir": "\x1b[31m"}])
    with pytest.raises(DataError, match="3 of 3 records are bad") as caught:
        prepare("ntu60-2d", [source], tmp_path / "x.pkl")
    assert "\x1b" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.pkl", "x.report.json"]


def test_a_split_never_becomes_a_path_out_of_the_folder(tmp_path):
    records = records_2d(1)
    source = write_pickle(
        tmp_path / "x.pkl", {"split": {"../../up_train": [records[0]["frame_dir"]]}, "annotations": records}
    )
    with pytest.raises(DataError, match="cannot become part of a file name"):
        prepare("ntu60-2d", [source], tmp_path / "lists", format="list")
    folder = tmp_path / "own"
    source = write_pickle(folder / "xsub" / "train.pkl", records)
    with pytest.raises(UsageError, match="is an input"):
        prepare("ntu60-2d", [source], folder, format="list")


@pytest.mark.parametrize("folder", ["data", "data/posec3d"])
def test_the_command_finds_the_published_lists(stgcn, tmp_path, folder):
    lists(tmp_path / folder)
    result = stgcn("prepare", "ntu60-2d")
    assert result.code == 0, result.err
    assert "40,091" in result.out and "data/ntu60-2d.pkl" in result.out and "officially 40,091" in result.err
    assert len(read_pickle(tmp_path / "data" / "ntu60-2d.pkl")["annotations"]) == 10


def test_what_is_not_there_is_downloaded_on_request(stgcn, tmp_path):
    with running() as mirror:
        for path in lists(tmp_path / "there"):
            mirror.files[f"/posec3d/{path.name}"] = Served(path.read_bytes())
        words = ("prepare", "ntu60-2d", "--download", "--base-url", mirror.base, "--json")
        result = stgcn(*words, env={"no_proxy": "127.0.0.1"})
        assert result.code == 0, result.err
        assert json.loads(result.out)["split_sizes"] == {"xsub_train": 6, "xsub_val": 4}
    assert stgcn("prepare", "ntu60-2d", "--source", "there/ntu60_xsub_train.pkl", "--out", "y.pkl").code == 0


@pytest.mark.parametrize(("words", "code", "causes"), [
    (["ntu60-2d"], 3, ["ntu60_xsub_train.pkl and ntu60_xsub_val.pkl in data", "--download", "/mmaction/posec3d/ntu60_"]),
    (["ntu120-2d"], 3, ["ntu120_hrnet.pkl"]),
    (["ntu60-2d", "--source", "gone.pkl"], 3, ["gone.pkl cannot be read"]),
    (["ntu60-2d", "--source", "own.pkl"], 3, ["own.pkl is a list of records without the name of a split"]),
    (["ntu60-2d", "--source", "train.pkl", "--splits", "xsbu"], 2, ["no split 'xsbu' here. Did you mean 'xsub'?"]),
    (["ntu60-2d", "--source", "train.pkl", "--out", "train.pkl"], 2, ["train.pkl is an input"]),
    (["ntu60-2d", "--source", "train.pkl", "--format", "lists"], 2, ["'lists' is not one of 'single', 'list'"]),
    (["ntu60", "--download"], 2, ["ntu60 cannot be downloaded", "rose1.ntu.edu.sg"]),
    (["ntu60-3d"], 2, ["Did you mean 'ntu60-2d'?"]),
])  # fmt: skip
def test_invalid_calls_are_refused(stgcn, tmp_path, words, code, causes):
    write_pickle(tmp_path / "train.pkl", records_2d(3))
    write_pickle(tmp_path / "own.pkl", records_2d(3))
    result = stgcn("prepare", *words)
    assert result.code == code and all(cause in result.err for cause in causes), result.err
