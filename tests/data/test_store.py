import os
import pickle
import platform
import threading

import numpy as np
import pytest

from stgcn_cli.config.presets import load
from stgcn_cli.data import annotations, preflight, store, store_sums
from stgcn_cli.data.locations import find_pickles
from stgcn_cli.data.splits import find_split, open_stores
from stgcn_cli.data.store import open_store
from stgcn_cli.errors import DataError
from stgcn_cli.io import locks
from tests.conftest import make_records


def write(path, value):
    path.write_bytes(pickle.dumps(value))
    return path


def test_a_store_is_built_once_and_again_when_the_pickle_changes(tmp_path):
    path = write(tmp_path / "x.pkl", make_records(4))
    first = open_store(path, tmp_path / "cache")
    built = (first.path / "meta.json").stat().st_mtime_ns
    assert (open_store(path, tmp_path / "cache").path / "meta.json").stat().st_mtime_ns == built
    assert len(open_store(write(path, make_records(5)), tmp_path / "cache")) == 5


def test_a_store_lies_beside_what_prepare_made_and_in_the_cache_else(tmp_path):
    path = write(tmp_path / "x.pkl", make_records(4))
    assert open_store(path, tmp_path / "cache").path.parent == tmp_path / "cache" / "stores"
    (tmp_path / "x.report.json").write_text("{}")
    assert open_store(path, tmp_path / "cache").path == tmp_path / "x.store"


def test_both_dialects_give_their_splits(tmp_path):
    records = make_records(4)
    both = write(
        tmp_path / "both.pkl",
        {"split": {"a_train": ["clip002", "clip000"], "a_val": ["clip003"]}, "annotations": records},
    )
    train, val = write(tmp_path / "train.pkl", records[:3]), write(tmp_path / "my-val.pkl", records[3:])
    assert find_split(open_stores([both]), "a_train").indices.tolist() == [0, 2]
    stores = open_stores([train, val])
    assert len(find_split(stores, "xsub_train").indices) == 3
    assert find_split(stores, "val").names([0]) == ["clip003"]


def test_a_missing_split_is_reported_with_those_that_are_there(tmp_path):
    path = write(tmp_path / "x.pkl", {"split": {"xsub_train": ["clip000"], "none": []}, "annotations": make_records(2)})
    with pytest.raises(DataError, match="split 'xsub_val' not found") as refused:
        find_split(open_stores([path]), "xsub_val")
    assert "xsub_train" in refused.value.hint
    with pytest.raises(DataError, match="has no clips"):
        find_split(open_stores([path]), "none")
    with pytest.raises(DataError, match="cannot be identified"):
        find_split(open_stores([write(tmp_path / "mine.pkl", make_records(2))]), "val")
    assert len(find_split(open_stores([tmp_path / "mine.pkl"]), "val", whole_lists=True).indices) == 2


def broken(**changes):
    record = make_records(1)[0]
    return {key: value for key, value in (record | changes).items() if value is not None or key == "label"}


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (broken(keypoint=None), "keypoint is missing"),
        (broken(keypoint=[1, 2]), "a list, not an array"),
        (broken(keypoint=np.zeros((3, 25, 3))), "expected M T V C"),
        (broken(keypoint=np.array([["a"]])), "type <U1"),
        (broken(keypoint=np.full((1, 4, 25, 3), np.nan), total_frames=4), "NaN"),
        (broken(keypoint=np.full((1, 4, 25, 3), 0x7FF0000000000001, "u8").view("f8"), total_frames=4), "NaN"),
        (broken(keypoint=np.full((1, 4, 25, 3), 1e300), total_frames=4), "infinite"),
        (broken(total_frames=99), "total_frames is 99, but keypoint holds"),
        (broken(total_frames=0), "total_frames is 0"),
        (broken(total_frames="7"), "not a whole number"),
        (broken(label="walk"), "label is 'walk'"),
        (broken(label=-3), "label is -3"),
        (broken(keypoint=np.zeros((1, 4, 17, 3), np.float32), total_frames=4), "17 joints"),
        (broken(keypoint_score=np.zeros((1, 2, 25))), "keypoint_score has shape"),
        ("text", "not a dict"),
        (broken(keypoint=np.zeros((101, 1, 25, 3)), total_frames=1), "keypoint holds 101 persons, more than 100"),
        (broken(keypoint=np.zeros((0, 20_000_000, 25, 3)), total_frames=5), "holds 20,000,000 frames, more than"),
        (broken(keypoint=np.zeros((1, 4, 0, 3)), total_frames=4), "holds 0 joints with 3 values"),
        (broken(keypoint=np.zeros((1, 4, 25, 3), "c8"), total_frames=4), "type complex64"),
        (broken(total_frames=1 << 200), "total_frames is a huge number"),
        (broken(label=10**400), "label is a huge number"),
        (broken(label=True), "label is True, not a whole number"),
        (broken(label=[[1]] * 3), "label is a list, not a whole number"),
        (broken(frame_dir="half \ud800"), "which is no name"),
        (broken(frame_dir="x" * 5000), "which is no name"),
    ],
)
def test_a_record_that_cannot_be_used_is_named(tmp_path, record, told):
    path = write(tmp_path / "x.pkl", [*make_records(2), record])
    with pytest.raises(DataError) as refused:
        open_store(path, tmp_path / "cache")
    assert "1 of 3 records" in refused.value.message and told in refused.value.message
    assert not list((tmp_path / "cache" / "stores").glob("*"))


def test_what_is_odd_but_possible_is_named(tmp_path):
    records = make_records(6, persons=2)
    records[1] |= {"frame_dir": "clip000", "label": 0}  # the same name and label; BABEL has names under several labels
    records[2]["frame_dir"] = "clip003"
    records[4]["keypoint"] *= 0
    records[5]["keypoint"] = np.zeros((0, records[5]["total_frames"], 25, 3), np.float32)
    names = ["clip000", "clip003", "clip004", "clip005", "gone\x1b[31m", "lost"]
    store = open_store(
        write(tmp_path / "x.pkl", {"split": {"a": names, "b": []}, "annotations": records}), tmp_path / "cache"
    )
    split = find_split([store], "a")
    preset = load("ntu60-xsub-3d", ["data.num_person=1"])
    said = "\n".join(preflight.check(preset, split, training=False) + preflight.findings(preset, [split]))
    assert "4 clips of 'a' have more than 1 persons; the others are dropped: clip000, clip000, clip003" in said
    for line in (
        "clip000: frame_dir: 2 records of this name with label 0; expected one.",
        "2 of 6 clips, for instance clip004: keypoint: all zeros",
        "2 times, for instance split a: 'gone\N{REPLACEMENT CHARACTER}[31m' has no record",
    ):
        assert line in said
    with pytest.raises(DataError, match="the split 'b' has no clips"):
        find_split([store], "b")


def test_files_that_do_not_fit_together_are_refused(tmp_path):
    built = open_store(write(tmp_path / "x.pkl", make_records(3)), tmp_path / "cache")
    np.save(built.path / "starts.npy", np.load(built.path / "starts.npy") + 10_000)
    store_sums.write(built.path, {})
    with pytest.raises(DataError, match="its clips do not lie in its frames"):
        store._open(built.path, tmp_path / "x.pkl")


def test_a_flipped_bit_in_any_file_is_found_and_the_store_rebuilt(tmp_path):
    path, told = write(tmp_path / "x.pkl", make_records(3)), []
    built = open_store(path, tmp_path / "cache")
    folder, frames = built.path, np.array(built.frames)
    for file in sorted(folder.iterdir()):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 4
        file.write_bytes(content)
        again = open_store(path, tmp_path / "cache", note=told.append)
        np.testing.assert_array_equal(again.frames, frames)
        assert file.read_bytes() != content, f"{file.name} was not rebuilt"
    assert len(told) == 10 and all("is rebuilt from" in each for each in told)


def test_of_a_large_file_a_sample_is_looked_at_and_all_on_demand(tmp_path):
    (tmp_path / "large").write_bytes(bytes(40 << 18))
    store_sums.write(tmp_path, {})
    with open(tmp_path / "large", "r+b") as stream:
        stream.seek(20 << 18)
        stream.write(b"x")
    with pytest.raises(ValueError, match="large has other bytes"):
        store_sums.check(tmp_path, whole=True)
    found = 0
    for _ in range(100):  # 14 of 38 blocks inside each time
        try:
            store_sums.check(tmp_path)
        except ValueError:
            found += 1
    assert 10 < found < 70


def test_links_and_pipes_in_a_store_are_not_opened(tmp_path):
    path = write(tmp_path / "x.pkl", make_records(3))
    folder = open_store(path, tmp_path / "cache").path
    (folder / "frames.bin").rename(tmp_path / "frames.bin")
    for put in (lambda file: file.symlink_to(tmp_path / "frames.bin"), os.mkfifo):
        (folder / "frames.bin").unlink(missing_ok=True)
        put(folder / "frames.bin")
        with pytest.raises(DataError, match=r"frames\.bin"):
            store._open(folder, path)
    assert len(open_store(path, tmp_path / "cache")) == 3 and (tmp_path / "frames.bin").exists()


def test_who_builds_a_store_keeps_only_those_waiting_who_want_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_S", 0.1)
    one, other = (write(tmp_path / name, make_records(count)) for name, count in (("a.pkl", 3), ("b.pkl", 4)))
    told = []
    lock = tmp_path / "cache" / "stores" / f"{store.fingerprint(one)}.lock"
    with locks.locked(lock):
        assert len(open_store(other, tmp_path / "cache")) == 4
        waiting = threading.Thread(target=lambda: open_store(one, tmp_path / "cache", note=told.append))
        waiting.start()
        while not told:
            waiting.join(0.01)
    waiting.join(20)
    assert told == [f"Waiting for process {os.getpid()} on {platform.node()}, which reads {one}."]
    assert len(open_store(one, tmp_path / "cache")) == 3


def test_unusual_types_and_byte_orders_are_read(tmp_path):
    records = make_records(3)
    records[0]["keypoint"] = records[0]["keypoint"].astype(">f4")
    records[1]["keypoint"] = (records[1]["keypoint"] * 100).astype(np.int16)
    records[2]["label"], records[2]["keypoint"] = (
        np.int64(2),
        np.asfortranarray(records[2]["keypoint"].astype(np.float64)),
    )
    store = open_store(write(tmp_path / "x.pkl", records), tmp_path / "cache")
    for index, record in enumerate(records):
        start = store.starts[index, 0]
        np.testing.assert_array_equal(
            store.frames[start : start + store.lengths[index]], record["keypoint"][0].astype(np.float32)
        )


@pytest.mark.parametrize("protocol", range(6))
def test_every_pickle_protocol_is_read(tmp_path, protocol):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(make_records(2), protocol=protocol))
    assert len(annotations.read(path).records) == 2


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_that_asks_for_anything_else_is_refused_and_not_run(tmp_path):
    path = write(tmp_path / "x.pkl", [Hostile(tmp_path / "ran")])
    with pytest.raises(DataError, match=r"references (io|_io|builtins).open"):
        annotations.read(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps(make_records(2))[:-200], b"\x80\x04K\x01."])
def test_other_files_are_refused_with_what_they_are(tmp_path, content):
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.pkl"):
        annotations.read(tmp_path / "x.pkl")


def test_data_are_found_in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"ntu60\.pkl not found in data") as refused:
        find_pickles("ntu60", ("xsub_train", "xsub_val"), [])
    assert "stgcn prepare ntu60" in refused.value.hint
    (tmp_path / "old" / "xsub").mkdir(parents=True)
    for part in ("train", "val"):
        write(tmp_path / "old" / "xsub" / f"{part}.pkl", make_records(2))
    found = find_pickles("ntu60", ("xsub_train", "xsub_val"), [tmp_path / "old"])
    assert [path.name for path in found] == ["train.pkl", "val.pkl"]
    monkeypatch.setenv("STGCN_DATA", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere" / "ntu60.pkl", make_records(2))
    assert find_pickles("ntu60", (), [])[0].parent.name == "elsewhere"
