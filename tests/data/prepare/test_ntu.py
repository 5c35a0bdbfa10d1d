import contextlib
import json
import os
import pickle
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from stgcn_cli.data.pickles import read_pickle
from stgcn_cli.errors import DataError, RunError, UsageError
from stgcn_cli.io.reporter import Reporter
from stgcn_cli.runtime.pool import map_in_order
from tests.data.ntu.test_parser import BAD
from tests.factories.prepared import prepare
from tests.factories.skeletons import clips, text, write_folder, write_zip

EMPTY = "S013C001P014R001A025"


def test_golden_texts_become_golden_records(golden, tmp_path):
    summary = prepare("ntu60", [golden / "prepare" / "raw60.zip"], tmp_path / "ntu60.pkl")
    wanted = np.load(golden / "prepare" / "out60.npz")
    whole = pickle.loads((tmp_path / "ntu60.pkl").read_bytes())
    assert [record["frame_dir"] for record in whole["annotations"]] == sorted(wanted.files)
    for record in whole["annotations"]:
        name, keypoint = record["frame_dir"], record.pop("keypoint")
        assert keypoint.tobytes() == wanted[name].tobytes()
        assert record == {
            "frame_dir": name,
            "label": int(name[-3:]) - 1,
            "img_shape": (1080, 1920),
            "original_shape": (1080, 1920),
            "total_frames": keypoint.shape[1],
        }
    assert summary.empty_clips == [EMPTY] and summary.clips == 10 and not summary.set_aside


@pytest.mark.parametrize(("dataset", "other"), [("ntu60", "xview"), ("ntu120", "xsetup")])
def test_the_lists_of_the_reference_are_met_record_by_record(shared, tmp_path, dataset, other):
    place, number = shared / "golden" / "prepare", dataset.removeprefix("ntu")
    prepare(dataset, [place / f"raw{number}.zip"], tmp_path, format="list")
    for part in ("xsub/train", "xsub/val", f"{other}/train", f"{other}/val"):
        found = pickle.loads((tmp_path / f"{part}.pkl").read_bytes())
        wanted = pickle.loads((place / f"out{number}" / f"{part}.pkl").read_bytes())
        assert [record["frame_dir"] for record in found] == sorted(record["frame_dir"] for record in wanted)
        for ours, theirs in zip(found, sorted(wanted, key=lambda record: record["frame_dir"]), strict=True):
            assert ours.pop("keypoint").tobytes() == np.ascontiguousarray(theirs.pop("keypoint")).tobytes()
            assert ours == theirs


@pytest.mark.parametrize("format", ["single", "list"])
def test_any_number_of_workers_and_any_source_give_the_same_bytes(tmp_path, format):
    texts = clips(40) | {"S001C001P009R001A001": b"bad"}
    archive, folder = write_zip(tmp_path / "raw.zip", texts), write_folder(tmp_path / "raw", texts)
    written = []
    for number, (source, workers) in enumerate([(archive, 1), (archive, 2), (archive, 5), (folder, 2)]):
        summary = prepare("ntu60", [source], tmp_path / f"{number}", format=format, workers=workers)
        written.append([Path(path).read_bytes() for path in summary.outputs])
    assert written[0] == written[1] == written[2] == written[3]


def test_beside_other_threads_workers_are_started_afresh_and_write_the_same(tmp_path):
    archive, done = write_zip(tmp_path / "raw.zip", clips(4)), threading.Event()
    prepare("ntu60", [archive], tmp_path / "alone.pkl", workers=1)
    thread = threading.Thread(target=done.wait)
    thread.start()  # with a second thread, forking could copy a lock that is held
    try:
        prepare("ntu60", [archive], tmp_path / "beside.pkl", workers=2)
    finally:
        done.set()
        thread.join()
    assert (tmp_path / "alone.pkl").read_bytes() == (tmp_path / "beside.pkl").read_bytes()


def test_splits_are_official_and_can_be_chosen(tmp_path):
    archive = write_zip(tmp_path / "raw.zip", clips(24))
    for wanted in (None, ["xsub"], ["xview"]):
        summary = prepare("ntu60", [archive], tmp_path / "x.pkl", splits=wanted)
        splits = pickle.loads((tmp_path / "x.pkl").read_bytes())["split"]
        assert {name.partition("_")[0] for name in splits} == set(wanted or ["xsub", "xview"])
        assert {name: len(members) for name, members in splits.items()} == summary.split_sizes
        for name, members in splits.items():
            assert members == sorted(members)
            trains = [
                n[10:12] in ("01", "02", "04", "05", "08") if "xsub" in name else n[5:8] != "001" for n in members
            ]
            assert all(train == name.endswith("train") for train in trains)


def test_ntu60_leaves_out_later_setups_and_both_drop_the_missing(tmp_path):
    names = ["S001C001P001R001A001", "S018C001P001R001A001", "S001C002P005R002A008", "S019C001P046R001A075"]
    archive = write_zip(tmp_path / "raw.zip", dict.fromkeys(names, text([1])))
    sixty = prepare("ntu60", [archive], tmp_path / "60.pkl")
    assert (sixty.clips, sixty.left_out, sixty.missing_dropped) == (1, 2, 1)
    both = prepare("ntu120", [archive], tmp_path / "120.pkl")
    assert (both.clips, both.left_out, both.missing_dropped) == (2, 0, 2)


def test_a_split_is_written_alone_by_its_name(tmp_path):
    archive = write_zip(tmp_path / "raw.zip", clips(5))
    summary = prepare("ntu60", [archive], tmp_path / "x.pkl", splits=["xview_val", "xsub"])
    assert list(summary.members) == ["xsub_train", "xsub_val", "xview_val"]
    whole = prepare("ntu60", [archive], tmp_path / "whole.pkl")
    assert all(summary.members[split] == whole.members[split] for split in summary.members)


def test_the_pickle_is_plain_and_numpy_1_can_read_it(tmp_path):
    prepare("ntu60", [write_zip(tmp_path / "raw.zip", clips(5))], tmp_path / "x.pkl", workers=2)
    content = (tmp_path / "x.pkl").read_bytes()
    assert content[:2] == b"\x80\x03" and b"numpy.core.multiarray" in content and b"numpy._core" not in content
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(pickle.loads(content)["annotations"]) == 5
    assert len(read_pickle(tmp_path / "x.pkl")["annotations"]) == 5


def test_bad_files_are_set_aside_with_their_reasons_in_summary_and_report(tmp_path):
    bad = {f"S002C001P001R001A{number:03d}": content for number, (content, _) in enumerate(BAD.values(), start=1)}
    good = clips(len(bad))
    folder = write_folder(
        tmp_path / "raw", good | bad | {".DS_Store": b"x", "notes.txt": b"", "XS001C001P001R001A001": b""}
    )
    summary = prepare("ntu60", [folder], tmp_path / "out" / "x.pkl", workers=2)
    assert summary.clips == len(good)
    reasons = {os.path.basename(place).removesuffix(".skeleton"): reason for place, reason in summary.set_aside}
    assert set(reasons) == {*bad, ".DS_Store", "notes.txt", "XS001C001P001R001A001"}
    for name, (_, cause) in zip(bad, BAD.values(), strict=True):
        assert cause in reasons[name] and reasons[name].isprintable()
    report = json.loads((tmp_path / "out" / "x.report.json").read_text())
    assert report["set_aside"] == [list(pair) for pair in summary.set_aside] and report["clips"] == len(good)


@pytest.mark.parametrize(("texts", "cause"), [
    (clips(4) | {f"S009C001P001R001A00{i}": b"junk" for i in range(1, 6)}, "5 of 9 files are bad"),
    ({EMPTY: b""}, "1 of 1 files are bad"),
    ({"notes.txt": b""}, "no file is named like an NTU sample"),
    ({"S018C001P001R001A061": text([1])}, "all 1 clips belong to setups after 17"),
    ({}, "no file is named like an NTU sample"),
])  # fmt: skip
def test_too_many_bad_files_or_none_left_is_an_error_that_leaves_only_the_report(tmp_path, texts, cause):
    folder, out = write_folder(tmp_path / "raw", texts), tmp_path / "out"
    for format, target in (("single", out / "x.pkl"), ("list", out)):
        with pytest.raises(DataError) as caught:
            prepare("ntu60", [folder], target, format=format, workers=2)
        assert cause in caught.value.message and "report.json" in caught.value.hint
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == ["ntu60.report.json", "x.report.json"]


def test_bad_files_up_to_the_share_allowed_are_no_error(tmp_path):
    archive = write_zip(tmp_path / "raw.zip", clips(1) | {f"S009C001P001R001A00{i}": b"junk" for i in range(1, 4)})
    assert prepare("ntu60", [archive], tmp_path / "x.pkl", max_bad=0.75).clips == 1
    with pytest.raises(DataError):
        prepare("ntu60", [archive], tmp_path / "x.pkl", max_bad=0.74)


def test_places_that_cannot_work_are_refused_before_anything_is_read(tmp_path):
    archive = write_zip(tmp_path / "raw.zip", clips(1))
    for out, format, cause in [(archive, "single", "is an input"), (tmp_path, "single", "is a folder"),
                               (write_folder(tmp_path / "y", {"f.txt": b""}) / "f.txt", "list", "is a file")]:  # fmt: skip
        with pytest.raises(UsageError, match=cause):
            prepare("ntu60", [archive], out, format=format)
    assert archive.read_bytes().startswith(b"PK")


def test_progress_ends_at_all_clips(tmp_path):
    steps = []

    @contextlib.contextmanager
    def progress(description, total, shown=True):
        yield lambda n=1: steps.append((n, total))

    prepare("ntu60", [write_zip(tmp_path / "r.zip", clips(20))], tmp_path / "x.pkl", Reporter(progress))
    assert sum(n for n, _ in steps) == 20 and {total for _, total in steps} == {20}


def test_a_worker_that_dies_is_reported():
    with pytest.raises(RunError, match="worker process ended"):
        list(map_in_order(os._exit, [1, 1], 2))
