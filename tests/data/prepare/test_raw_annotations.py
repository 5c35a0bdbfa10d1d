"""Raw 3-D annotations: pickles of NTU skeletons that somebody else has made."""

import pickle

import numpy as np
import pytest

from stgcn_cli.data.ntu.normalize import choose_two
from stgcn_cli.data.ntu.parser import read_skeleton
from stgcn_cli.data.pickles import read_pickle
from stgcn_cli.errors import DataError
from tests.factories.prepared import prepare
from tests.factories.skeletons import golden_texts, write_zip


def write(path, value):
    path.write_bytes(pickle.dumps(value, protocol=4))
    return path


def raw_records(dtype=np.float32) -> list[dict]:
    """The golden texts as PYSKL would have them if it chose the bodies as the reference does; not normalised."""
    records = []
    for name, text in golden_texts().items():
        keypoint = choose_two(read_skeleton(text)).astype(dtype)
        bodies = keypoint if keypoint[1].any() else keypoint[:1]
        records.append(
            {"frame_dir": name, "label": int(name[-3:]) - 1, "keypoint": bodies, "total_frames": len(keypoint[0])}
        )
    return records


@pytest.mark.parametrize("dialect", ["list", "split"])
@pytest.mark.parametrize("workers", [1, 2])
def test_raw_annotations_become_what_the_texts_become(golden, tmp_path, dialect, workers):
    records = raw_records()
    source = write(
        tmp_path / "ntu60_3danno.pkl", records if dialect == "list" else {"split": {}, "annotations": records}
    )
    summary = prepare("ntu60", [source], tmp_path / "x.pkl", workers=workers)
    prepare("ntu60", [golden / "prepare" / "raw60.zip"], tmp_path / "y.pkl")
    assert (tmp_path / "x.pkl").read_bytes() == (tmp_path / "y.pkl").read_bytes()
    assert sum("chosen by another rule" in warning for warning in summary.warnings) == 1
    write(source, raw_records(np.float16))  # as published
    prepare("ntu60", [source], tmp_path / "z.pkl", workers=workers)
    for half, whole in zip(
        read_pickle(tmp_path / "z.pkl")["annotations"], read_pickle(tmp_path / "y.pkl")["annotations"], strict=True
    ):
        assert half["keypoint"].dtype == np.float32 and half["frame_dir"] == whole["frame_dir"]


@pytest.mark.parametrize(("change", "cause"), [
    (lambda r: r.update(keypoint=r["keypoint"][:, :, :17, :2]), "it has 17 joints with 2 values"),
    (lambda r: r["keypoint"].__setitem__((0, 0, 0, 0), np.inf), "NaN or infinite"),
    (lambda r: r.update(label=59), "its label is 59, expected"),
    (lambda r: r.update(total_frames=1000), "total_frames is 1000"),
    (lambda r: r.update(frame_dir=None), "not a record with a frame_dir"),
    (lambda r: r.update(frame_dir="walking"), "its name is not an NTU sample name"),
    (lambda r: r.update(raw_records()[0]), "a second S001C002P006R001A059"),
])  # fmt: skip
def test_a_bad_raw_annotation_is_set_aside_and_named(tmp_path, change, cause):
    records = raw_records()
    change(records[4])
    source = write(tmp_path / "ntu60_3danno.pkl", records)
    summary = prepare("ntu60", [source], tmp_path / "x.pkl")
    ((place, reason),) = summary.set_aside
    assert cause in reason and place.startswith(f"{source}: ") and summary.clips == 9


def test_the_command_says_that_other_bodies_were_chosen(stgcn, tmp_path):
    write(tmp_path / "ntu120_3danno.pkl", raw_records())
    result = stgcn("prepare", "ntu120", "--source", "ntu120_3danno.pkl")
    assert result.code == 0 and result.err.count("another rule") == 1, result.err
    assert list(read_pickle(tmp_path / "data" / "ntu120.pkl")["split"]) == [
        "xsub_train",
        "xsub_val",
        "xset_train",
        "xset_val",
    ]
    write_zip(tmp_path / "x.zip", golden_texts())
    result = stgcn("prepare", "ntu60", "--source", "ntu120_3danno.pkl", "--source", "x.zip")
    assert result.code == 2 and "x.zip is not" in result.err


def test_what_prepare_made_is_not_prepared_once_more(golden, tmp_path):
    prepare("ntu60", [golden / "prepare" / "raw60.zip"], tmp_path / "ntu60.pkl")
    with pytest.raises(DataError, match="pre-normalised already"):
        prepare("ntu60", [tmp_path / "ntu60.pkl"], tmp_path / "again.pkl")
    assert not (tmp_path / "again.pkl").exists()
