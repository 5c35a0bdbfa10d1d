"""Every kind of problem is found, at its record and key; sound files have none."""

import copy
import pickle

import numpy as np
import pytest

from stgcn_cli.config.skeletons import NTU
from stgcn_cli.data.convert import validate as validating
from stgcn_cli.data.facts import histogram, survey, take_census
from stgcn_cli.data.findings import Findings
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.io.reporter import SILENT
from tests.conftest import make_records
from tests.factories import bodies, foreign


def write(path, records, **splits):
    path.write_bytes(pickle.dumps({"split": splits, "annotations": records} if splits else records))
    return path


def check(tmp_path, records, names=None, **splits):
    found = take_census(str(write(tmp_path / "a.pkl", records, **splits))).finish(names or ())
    return [(finding.level, finding.where, finding.key, finding.found) for finding in found.found]


def all_of(records):
    names = [record["frame_dir"] for record in records]
    return {"train": names[:-4], "val": names[-4:]}


def test_sound_files_have_nothing_wrong(tmp_path, shared):
    records = make_records(12)
    assert check(tmp_path, records, **all_of(records)) == check(tmp_path, records) == []
    assert take_census(str(shared / "data" / "uiprmd_2d_val.pkl")).finish().found == []


def _set(key, value):
    return lambda record: record.__setitem__(key, value)


def _values(place, value):
    return lambda record: record["keypoint"].__setitem__(place, value)


ODD = [
    (_values((0, 3, 4, 1), np.nan), "error", "keypoint", "NaN or infinite: 1 of "),
    (_values(..., np.inf), "error", "keypoint", "first in frame 0"),
    (_values(..., 0), "warning", "keypoint", "all zeros"),
    (_set("keypoint", [[1, 2]]), "error", "keypoint", "a list, not an array"),
    (_set("keypoint", np.zeros((4, 5))), "error", "keypoint", "has shape (4, 5)"),
    (_set("keypoint", np.ones((1, 99, 17, 3))), "error", "keypoint", "17 joints with x, y, z"),
    (_set("keypoint_score", np.zeros((1, 2, 25))), "error", "keypoint_score", "has shape"),
    (_set("label", "wave"), "error", "label", "'wave'"),
    (_set("label", -1), "error", "label", "-1"),
    (_set("label", 1.0), "error", "label", "1.0"),
    (_set("label", None), "warning", "label", "hidden"),
    (_set("total_frames", 99), "error", "total_frames", "99, but keypoint holds"),
    (_set("total_frames", 5), "warning", "total_frames", "are not used"),
    (_set("frame_dir", 3), "error", "frame_dir", "a int"),
    (_set("mine", 3), "note", "mine", "not used here"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "level", "key", "said"), ODD)
def test_each_problem_is_reported_with_its_record_and_key(change, level, key, said, tmp_path):
    records = make_records(12)
    splits = all_of(records)
    change(records[7])
    found = [f for f in check(tmp_path, records, **splits) if f[0] == level and f[2] == key and said in f[3]]
    assert len(found) == 1 and ("clip007" in found[0][1] or "record 7" in found[0][1] or level == "note")


def test_labels_that_start_at_one_leave_gaps_or_exceed_the_names(tmp_path):
    def labelled(*labels):
        return [record | {"label": label} for record, label in zip(make_records(4), labels, strict=True)]

    said = {
        labels: check(tmp_path, labelled(*labels))
        for labels in ((1, 2, 3, 1), (0, 3, 3, 0), (2, 2, 2, 2), (0, 1, 0, 1))
    }
    assert "counted from 1" in said[1, 2, 3, 1][0][3] and "none is 1, 2" in said[0, 3, 3, 0][0][3]
    assert "all are 2" in said[2, 2, 2, 2][0][3] and said[0, 1, 0, 1] == []
    assert [f[:3] for f in check(tmp_path, labelled(0, 1, 2, 0), names=["a", "b"])] == [("error", "clip002", "label")]


def test_duplicates_and_copies(tmp_path):
    records = make_records(6)
    records += [copy.deepcopy(records[0]), records[1] | {"label": 2}, records[2] | {"frame_dir": "copy"}]
    found = check(tmp_path, records)
    assert ("warning", "clip000", "frame_dir", "2 records of this name with label 0") in found
    assert ("note", "clip001", "label", "one name under the labels 1, 2") in found
    assert ("warning", "copy", "keypoint", "the same values as clip002") in found and len(found) == 3


def test_splits_that_do_not_fit_their_records(tmp_path):
    records = make_records(6)
    found = check(
        tmp_path, records, xsub_train=["clip000", "clip001", "nope", "clip001"], xsub_val=["clip001", "clip002"],
        xview_train=["clip003", "clip002"], empty=["lost"], none=[],
    )  # fmt: skip
    assert [f for f in found if f[0] == "error"] == [
        ("error", "clip001", "split", "it is in xsub_train and in xsub_val: the figures would be too good"),
    ]  # fmt: skip
    assert {f[1:] for f in found if f[0] == "warning"} == {
        ("split xsub_train", "split", "'nope' has no record"), ("split empty", "split", "'lost' has no record"),
        ("split xsub_train", "split", "'clip001' is listed more than once"),
        ("split empty", "split", "no clip is in it"), ("split none", "split", "no clip is in it"),
        ("clip004", "split", "it is in no split"), ("clip005", "split", "it is in no split"),
    }  # fmt: skip
    assert ("error", "split all", "split", "no clip is in it") in check(tmp_path, records, all=["lost"])


def test_units_that_are_not_pixels(tmp_path):
    xy, score = foreign.clip()
    records = [
        {"frame_dir": str(i), "label": i, "keypoint": (xy + i) / 2000, "keypoint_score": score} for i in range(2)
    ]
    assert [f[2] for f in check(tmp_path, records)] == ["img_shape", "img_shape", "keypoint"]
    packed = [
        {"frame_dir": str(i), "label": i, "keypoint": np.concatenate([xy + i, score[..., None]], -1)} for i in range(2)
    ]
    assert "is it a score" in check(tmp_path, packed)[0][3]


def test_what_inspect_counts(tmp_path):
    records = make_records(9, joints=25)
    records[0]["keypoint"][0, :4] = 0  # frames without anybody
    records[1]["keypoint"][0, :, 3] = 0  # a joint that is never seen
    records[2] = "no record"
    path = write(tmp_path / "a.pkl", records, train=["clip000", "clip001", "lost"], val=["clip003"])
    facts = survey(str(path), options=Options(layout=NTU))
    assert facts.clips == 9 and facts.unusable == [{"record": "record 2", "cause": "record: a str"}]
    assert facts.splits == {"train": {"clips": 2, "classes": 2}, "val": {"clips": 1, "classes": 1}}
    assert facts.missing_names == {"train": 1} and facts.layout == "ntu" and facts.frames_without_anybody == 4
    bodies = facts.frames - 4
    assert facts.missing_most == {"head": pytest.approx(records[1]["total_frames"] / bodies)}
    assert facts.missing_joints == pytest.approx(records[1]["total_frames"] / bodies / 25)
    assert facts.lengths["max"] == max(record["total_frames"] for record in records if record != "no record")
    assert sum(row["clips"] for row in facts.histogram) == 8


@pytest.mark.parametrize("lengths", [[1], [5, 5, 5], [1, 100_000], list(range(30, 301)), [28, 71, 179]])
def test_a_histogram_holds_every_length_in_at_most_ten_equal_rows(lengths):
    rows = list(histogram(lengths))
    assert len(rows) <= 10 and sum(count for *_, count in rows) == len(lengths)
    assert len({last - first for first, last, _ in rows}) == 1
    assert all(sum(first <= n <= last for n in lengths) == count for first, last, count in rows)


@pytest.mark.parametrize(("joints", "coordinates", "more", "told"), [
    (25, 3, {}, {}), (25, 3, {"img_shape": (1080, 1920)}, {"1920x1080": 2}), (17, 2, {}, {"not told": 2}),
])  # fmt: skip
def test_only_pixels_need_the_size_of_their_image(tmp_path, joints, coordinates, more, told):
    records = make_records(2, joints=joints, **more)
    for record in records:
        record["keypoint"] = record["keypoint"][..., :coordinates]
    assert survey(str(write(tmp_path / "a.pkl", records))).image_sizes == told


def test_raw_files_can_be_inspected(tmp_path):
    foreign.table(tmp_path / "a.csv", *foreign.clip(), label="wave", subject=3)
    (tmp_path / "b.json").write_text('{"people": 3}')
    facts = survey(str(tmp_path))
    assert facts.classes[0]["name"] == "wave" and facts.layout == "coco" and len(facts.unusable) == 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ntu60", "stgcn train --preset ntu60-xsub-3d --data "),
        ("babel60", "stgcn train --preset babel60 --data "),
        ("mine", "stgcn data convert "),
    ],
)
def test_what_comes_next_follows_from_the_name_that_prepare_gives(tmp_path, name, told):
    wishes = validating.ValidateOptions(file=tmp_path / f"{name}.pkl")
    assert validating.next_command(wishes, Findings(name)).startswith(told)


def test_what_validate_says_inspect_says(tmp_path):
    records = make_records(8, joints=17)
    for record in records:
        record |= {"keypoint": np.abs(record["keypoint"][..., :2] % 0.9), "label": record["label"] + 1}
    said = " ".join(survey(str(write(tmp_path / "a.pkl", records, train=["clip000"]))).problems)
    assert "counted from 1" in said and "fractions of the image" in said


def test_clips_of_any_format_are_validated(tmp_path):
    np.save(tmp_path / "a.npy", bodies.kinect(9)[0])
    found = validating.validate(validating.ValidateOptions(file=tmp_path / "a.npy"), SILENT)
    assert found.clips == 1 and not found.count("error") and "axes T V C" in " ".join(found.shortened(9))
    (tmp_path / "b.npy").write_bytes(b"\x93NUMPY\x01\x00")
    assert validating.validate(validating.ValidateOptions(file=tmp_path / "b.npy"), SILENT).count("error")
