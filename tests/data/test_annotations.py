"""Annotation pickles read as data: the same values as Python's own reader gives, in little memory, whoever wrote them."""

import os
import pickle
from collections import OrderedDict
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stgcn_cli.data import annotations, pickles
from stgcn_cli.data.output import list_item, one_pickle
from stgcn_cli.data.store_build import build
from stgcn_cli.errors import DataError
from stgcn_cli.io.pickle_values import HeldArray
from tests.conftest import make_records

_KINDS = ("f2", "<f4", ">f4", ">f8", "i1", ">i2", "u8", "?", "c8", "S3", "<U2", ">U2")
_PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300) | st.binary(max_size=300)
_KEYS = st.integers() | st.text(max_size=5) | st.booleans() | st.none()
_ARRAYS = st.sampled_from(_KINDS).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_side=9, min_side=0))
)
_VALUES = st.recursive(
    _PLAIN | _ARRAYS | _ARRAYS.map(np.asfortranarray) | st.sampled_from([np.int64(3), np.float16(0.5), np.bool_(True), np.str_("a"), bytearray(b"x")]),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(_KEYS, inner, max_size=4)
    | st.sets(_KEYS, max_size=4) | st.frozensets(_KEYS, max_size=4) | st.dictionaries(_KEYS, inner, max_size=3).map(OrderedDict),
    max_leaves=12,
)  # fmt: skip


def same(a, b) -> bool:
    """Whether two values are the same to the bit, and of the same types."""
    if isinstance(a, np.ndarray | np.generic):
        return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return type(a) is type(b) and same(list(a.items()), list(b.items()))
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


@settings(max_examples=150, deadline=None)
@given(value=_VALUES, protocol=st.integers(0, 5))
def test_plain_values_are_read_as_python_reads_them(tmp_path_factory, value, protocol):
    path = tmp_path_factory.getbasetemp() / "plain.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    assert same(pickles.read_pickle(path), pickle.loads(path.read_bytes()))


def test_arrays_of_objects_and_shared_values_are_read(tmp_path):
    shared, array = ["a", (1, 2)], np.array(["clip0", None, 3, ["x"]], dtype=object).reshape(2, 2)
    value = {
        "one": shared,
        "two": shared,
        "array": array,
        "again": array,
        "big": np.zeros(9, ">f8"),
        "same dtype": np.ones(9, ">f8"),
    }
    for protocol in range(6):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
        read = pickles.read_pickle(tmp_path / "x.pkl")
        assert (
            read["one"] is read["two"] and read["array"] is read["again"] and read["array"].tolist() == array.tolist()
        )
        expected = pickle.loads((tmp_path / "x.pkl").read_bytes())
        assert same(read["big"], expected["big"]) and same(read["same dtype"], expected["same dtype"])


def records(count: int) -> list[dict]:
    """Of several types, byte orders and memory layouts, with values that are shared."""
    made, shape = make_records(count, persons=2), (1080, 1920)
    for index, record in enumerate(made):
        keypoint = record["keypoint"].astype(("f4", ">f4", "f8", "f2")[index % 4])
        record["keypoint"] = np.asfortranarray(keypoint) if index % 3 == 0 else keypoint
        record |= {
            "img_shape": shape,
            "original_shape": shape,
            "label": np.int64(index % 3) if index % 2 else index % 3,
        }
    return made


def stored(path, folder) -> dict[str, bytes]:
    """Every file of the store of the pickle, but meta.json, which names its source."""
    build(path, folder, "key", lambda n: None)
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "splits.npz"}


@pytest.mark.parametrize("protocol", range(6))
def test_any_protocol_and_dialect_gives_the_same_store(tmp_path, protocol):
    made = records(8)
    names = [record["frame_dir"] for record in made]
    first = pickle.dumps({"split": {"a_train": names}, "annotations": made}, protocol=protocol)
    last = pickle.dumps({"annotations": made, "split": {"a_train": np.array(names)}}, protocol=2)
    (tmp_path / "first.pkl").write_bytes(first)
    (tmp_path / "last.pkl").write_bytes(last)
    expected = stored(tmp_path / "first.pkl", tmp_path / "a")
    assert stored(tmp_path / "last.pkl", tmp_path / "b") == expected
    frames = np.frombuffer(expected["frames.bin"], "f4").reshape(-1, 25, 3)
    assert frames[1:].tobytes() == b"".join(p.astype("f4").tobytes() for r in made for p in r["keypoint"])


def test_arrays_stay_in_the_file_until_a_record_is_asked_for(tmp_path):
    path = tmp_path / "x.pkl"
    for protocol in range(2, 6):
        path.write_bytes(pickle.dumps(records(6), protocol=protocol))
        read, expected = annotations.read(path), pickle.loads(path.read_bytes())
        held = [isinstance(record["keypoint"], HeldArray) for record in read.records.bare]
        assert all(held)
        assert same(list(read.records), expected) and same(read.records[-1], expected[-1])
        assert same(list(read.records[2:4]), expected[2:4]) and len(read.records) == 6
        assert same(pickles.complete(read.records.bare[3], path), expected[3])


def test_long_bytes_that_are_no_array_are_read(tmp_path):
    made, path = make_records(2), tmp_path / "x.pkl"
    made[0] |= {
        "jpeg": bytes(5000),
        "audio": bytearray(5000),
        "parts": (np.zeros(3), (bytes(range(256)) * 20, "x" * 5000, 1, 2, 3)),
    }
    made[1] |= {"objects": np.array([b"x" * 5000], object), "more": {"deep": [bytes(5000)]}}
    for protocol in range(6):
        path.write_bytes(pickle.dumps(made, protocol=protocol))
        read = list(annotations.read(path).records)
        assert read[1].pop("objects").tolist() == [b"x" * 5000]
        assert same(read, [made[0], {key: value for key, value in made[1].items() if key != "objects"}])


def test_what_we_write_is_held_as_well(tmp_path):
    made, path = make_records(3), tmp_path / "x.pkl"
    with one_pickle(path, {"a_train": ["clip000"]}) as add:
        for record in made:
            add(list_item(record), ["a_train"])
    read = annotations.read(path)
    assert isinstance(read.records.bare[0]["keypoint"], HeldArray) and same(list(read.records), made)
    assert read.splits == {"a_train": ["clip000"]}


def test_a_file_that_changes_while_it_is_read_is_reported(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(make_records(3)))
    read = annotations.read(path)
    with open(path, "r+b") as stream:
        stream.truncate(1000)
    with pytest.raises(DataError, match=r"x\.pkl: the record 'clip000' cannot be read: .* changed"):
        list(read.records)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x3f",
        b"\x80\x05\x96" + b"\xff" * 6 + b"\x00\x00",
        b"\x80\x02B\xff\xff\xff\xff",
        b"\x80\x02\x8b\xff\xff\xff\x7f",
    ],
)
def test_bytes_that_are_only_announced_get_no_room(tmp_path, content):
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(DataError, match=r"ends too early|asks for more memory|an integer of"):
        annotations.read(tmp_path / "x.pkl")


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.pkl")
    with pytest.raises(DataError, match="not a regular file"):
        annotations.read(tmp_path / "pipe.pkl")


def own(tmp_path, value, name="own.pkl", mode="wb"):
    with open(tmp_path / name, mode) as stream:
        pickle.dump(value, stream)
    return tmp_path / name


def test_records_appended_to_a_file_are_all_read(tmp_path):
    records = make_records(5)
    own(tmp_path, records[:3])
    path = own(tmp_path, records[3:], mode="ab")
    found = annotations.read(path).records
    assert [record["frame_dir"] for record in found] == [record["frame_dir"] for record in records]
    assert all(np.array_equal(a["keypoint"], b["keypoint"]) for a, b in zip(found, records, strict=True))
    for record in records:
        own(tmp_path, record, "each.pkl", "ab")
    assert len(annotations.read(tmp_path / "each.pkl").records) == 5
    path.write_bytes(path.read_bytes() + b"\x00" * 9)
    with pytest.raises(DataError, match="9 bytes follow"):
        annotations.read(path)


def test_a_pickle_of_one_record_is_a_clip_named_after_its_file(tmp_path):
    (record,) = make_records(1)
    nameless = {key: value for key, value in record.items() if key != "frame_dir"}
    assert annotations.read(own(tmp_path, record)).records[0]["frame_dir"] == record["frame_dir"]
    assert annotations.read(own(tmp_path, nameless, "v7.pkl")).records[0]["frame_dir"] == "v7"


def test_harmless_types_in_records_become_plain_values(tmp_path):
    (record,) = make_records(1)
    odd = record | {"frame_dir": PurePosixPath("clips/a"), "label": np.array([2]), "total_frames": None}
    read = annotations.read(own(tmp_path, {"split": {"val": [PurePosixPath("clips/a")]}, "annotations": [odd]}))
    assert read.records[0]["frame_dir"] == "clips/a" and read.records[0]["label"] == 2
    assert "total_frames" not in read.records[0] and read.splits == {"val": ["clips/a"]}


@pytest.mark.parametrize("wrong", [[np.ones(3)] * 2, {"pred_score": np.ones((2, 3))}])
def test_scores_are_called_scores(tmp_path, wrong):
    with pytest.raises(DataError, match="scores of an evaluation"):
        annotations.read(own(tmp_path, wrong))


def test_a_pickle_copied_as_text_is_recognised(tmp_path):
    path = tmp_path / "own.pkl"
    path.write_bytes(pickle.dumps(make_records(2), 0).replace(b"\n", b"\r\n"))
    with pytest.raises(DataError, match="CRLF"):
        annotations.read(path)


def test_names_in_splits_match_without_folders_and_suffixes(tmp_path):
    records = make_records(4)
    names = [record["frame_dir"] for record in records]
    splits = {"train": [f"raw/{name}.skeleton" for name in names[:3]], "val": names[3:]}
    read = annotations.read(own(tmp_path, {"split": splits, "annotations": records}))
    assert read.splits == {"train": names[:3], "val": names[3:]} and "raw/" in read.notes[0]
    lost = annotations.read(own(tmp_path, {"split": {"train": ["x"]}, "annotations": records}))
    assert "'x'" in lost.lost_splits and names[0] in lost.lost_splits
