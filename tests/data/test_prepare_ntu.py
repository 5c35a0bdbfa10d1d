import json
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from stgcn_cli.data.annotations import read_pickle
from stgcn_cli.data.pool import map_in_order
from stgcn_cli.data.prepare_ntu import prepare_ntu
from stgcn_cli.errors import DataError, RunError, UsageError
from tests.conftest import environment
from tests.data.skeletons import golden_texts, text, write_folder, write_zip
from tests.data.test_ntu_text import BAD

LONG, EMPTY = "S008C002P010R002A050", "S013C001P014R001A025"


def clips(count: int, seed: int = 0) -> dict[str, bytes]:
    """Texts of 1 to 3 bodies; persons 1 to 8, of whom 1 2 4 5 8 train, and cameras 1 to 3, of which 2 and 3 train."""
    names = [f"S001C00{i % 3 + 1}P00{i % 8 + 1}R001A{i % 60 + 1:03d}" for i in range(count)]
    return {name: text([1 + i % 3] * (2 + i % 4), seed + i) for i, name in enumerate(names)}


def test_golden_texts_become_golden_records(golden, tmp_path):
    summary = prepare_ntu("ntu60", [golden / "prepare" / "raw60.zip"], tmp_path / "ntu60.pkl")
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
    prepare_ntu(dataset, [place / f"raw{number}.zip"], tmp_path, format="mmaction0x")
    for part in ("xsub/train", "xsub/val", f"{other}/train", f"{other}/val"):
        found = pickle.loads((tmp_path / f"{part}.pkl").read_bytes())
        wanted = pickle.loads((place / f"out{number}" / f"{part}.pkl").read_bytes())
        assert [record["frame_dir"] for record in found] == sorted(record["frame_dir"] for record in wanted)
        for ours, theirs in zip(found, sorted(wanted, key=lambda record: record["frame_dir"]), strict=True):
            assert ours.pop("keypoint").tobytes() == np.ascontiguousarray(theirs.pop("keypoint")).tobytes()
            assert ours == theirs


@pytest.mark.parametrize("format", ["single", "mmaction0x"])
def test_any_number_of_workers_and_any_source_give_the_same_bytes(tmp_path, format):
    texts = clips(40) | {"S001C001P009R001A001": b"bad"}
    archive, folder = write_zip(tmp_path / "raw.zip", texts), write_folder(tmp_path / "raw", texts)
    written = []
    for number, (source, workers) in enumerate([(archive, 1), (archive, 2), (archive, 5), (folder, 2)]):
        summary = prepare_ntu("ntu60", [source], tmp_path / f"{number}", format=format, workers=workers)
        written.append([open(path, "rb").read() for path in summary.outputs])
    assert written[0] == written[1] == written[2] == written[3]


def test_splits_are_official_and_can_be_chosen(tmp_path):
    archive = write_zip(tmp_path / "raw.zip", clips(24))
    for wanted in (None, ["xsub"], ["xview"]):
        summary = prepare_ntu("ntu60", [archive], tmp_path / "x.pkl", splits=wanted)
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
    sixty = prepare_ntu("ntu60", [archive], tmp_path / "60.pkl")
    assert (sixty.clips, sixty.left_out, sixty.missing_dropped) == (1, 2, 1)
    both = prepare_ntu("ntu120", [archive], tmp_path / "120.pkl")
    assert (both.clips, both.left_out, both.missing_dropped) == (2, 0, 2)


def test_the_pickle_is_plain_and_numpy_1_can_read_it(tmp_path):
    prepare_ntu("ntu60", [write_zip(tmp_path / "raw.zip", clips(5))], tmp_path / "x.pkl", workers=2)
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
    summary = prepare_ntu("ntu60", [folder], tmp_path / "out" / "x.pkl", workers=2)
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
    for format, target in (("single", out / "x.pkl"), ("mmaction0x", out)):
        with pytest.raises(DataError) as caught:
            prepare_ntu("ntu60", [folder], target, format=format, workers=2)
        assert cause in caught.value.message and "report.json" in caught.value.hint
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == ["ntu60.report.json", "x.report.json"]


def test_bad_files_up_to_the_share_allowed_are_no_error(tmp_path):
    archive = write_zip(tmp_path / "raw.zip", clips(1) | {f"S009C001P001R001A00{i}": b"junk" for i in range(1, 4)})
    assert prepare_ntu("ntu60", [archive], tmp_path / "x.pkl", max_bad=0.75).clips == 1
    with pytest.raises(DataError):
        prepare_ntu("ntu60", [archive], tmp_path / "x.pkl", max_bad=0.74)


def test_places_that_cannot_work_are_refused_before_anything_is_read(tmp_path):
    archive = write_zip(tmp_path / "raw.zip", clips(1))
    for out, format, cause in [(archive, "single", "is the source"), (tmp_path, "single", "is a folder"),
                               (write_folder(tmp_path / "y", {"f.txt": b""}) / "f.txt", "mmaction0x", "is a file")]:  # fmt: skip
        with pytest.raises(UsageError, match=cause):
            prepare_ntu("ntu60", [archive], out, format=format)
    assert archive.read_bytes().startswith(b"PK")


def test_progress_ends_at_all_clips(tmp_path):
    heard = []
    prepare_ntu(
        "ntu60", [write_zip(tmp_path / "r.zip", clips(20))], tmp_path / "x.pkl", progress=lambda *now: heard.append(now)
    )
    assert heard[-1] == (20, 20) and [done for done, _ in heard] == sorted(done for done, _ in heard)


def test_a_worker_that_dies_is_told():
    with pytest.raises(RunError, match="worker process ended"):
        list(map_in_order(os._exit, [1, 1], 2))


@pytest.fixture
def running(tmp_path):
    """`stgcn prepare` at work on 3000 clips, once it has begun to write, and the folder it writes to."""
    one, raw, out = (
        write_folder(tmp_path / "one", golden_texts()) / f"{LONG}.skeleton",
        tmp_path / "raw",
        tmp_path / "out",
    )
    raw.mkdir()
    for i in range(3000):
        os.link(one, raw / f"S001C001P001R{i // 60 + 1:03d}A{i % 60 + 1:03d}.skeleton")
    command = [
        sys.executable,
        "-m",
        "stgcn_cli",
        "prepare",
        "ntu60",
        "--source",
        raw,
        "--out",
        out / "x.pkl",
        "--workers",
        "2",
    ]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, env=environment(tmp_path), text=True, start_new_session=True
    )
    until(lambda: any(path.stat().st_size > 10_000 for path in out.glob("*.part")))
    yield process, out
    process.kill()
    process.communicate()


def until(happened, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


def children(process: subprocess.Popen) -> list[str]:
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as stream:
        return stream.read().split()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_leaves_nothing_behind(running, signum, code):
    process, out = running
    workers = children(process)
    os.killpg(process.pid, signum) if signum == signal.SIGINT else process.send_signal(signum)  # as a terminal does
    _, err = process.communicate(timeout=30)
    assert process.returncode == code and "Traceback" not in err, err
    assert list(out.iterdir()) == [] and not any(os.path.exists(f"/proc/{pid}") for pid in workers)


def test_workers_end_with_their_parent(running):
    process, out = running
    workers = children(process)
    assert len(workers) == 2
    process.kill()
    process.wait()
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers))
    assert not (out / "x.pkl").exists()


def test_the_command_finds_the_official_archive_and_says_what_it_did(stgcn, tmp_path):
    (tmp_path / "data").mkdir()
    write_zip(tmp_path / "data" / "nturgbd_skeletons_s001_to_s017.zip", clips(24) | {"S002C001P001R001A001": b""})
    said = stgcn("prepare", "ntu60", "--workers", 2)
    assert said.code == 0, said.err
    for word in ("xsub_train", "40,091", "it is empty", "data/ntu60.pkl", "data/ntu60.report.json"):
        assert word in said.out
    assert "not the official ones" in said.err
    assert len(read_pickle(tmp_path / "data" / "ntu60.pkl")["annotations"]) == 24
    as_json = json.loads(stgcn("prepare", "ntu60", "--json", env={"STGCN_DATA": "data"}).out)
    assert as_json["clips"] == 24 and as_json["official"]["xsub_val"] == 16_487 and len(as_json["set_aside"]) == 1


def test_the_command_finds_the_unpacked_folder_and_writes_lists(stgcn, tmp_path):
    write_folder(tmp_path / "d" / "nturgb+d_skeletons", clips(12))
    said = stgcn("prepare", "ntu60", "--data", "d", "--format", "mmaction0x", "--splits", "xview")
    assert said.code == 0, said.err
    files = sorted(str(path.relative_to(tmp_path / "d" / "ntu60")) for path in (tmp_path / "d" / "ntu60").rglob("*.*"))
    assert files == ["ntu60.report.json", "xview/train.pkl", "xview/val.pkl"]


def test_many_set_aside_files_are_cut_short(stgcn, tmp_path):
    bad = {f"S002C001P001R001A0{number}": b"" for number in range(10, 25)}
    write_folder(tmp_path / "data" / "nturgb+d_skeletons", clips(20) | bad)
    said = stgcn("prepare", "ntu60", "--workers", 1)
    assert said.out.count("it is empty") == 10
    assert "and 5 more " in said.out and said.out.endswith("see data/ntu60.report.json\n")


@pytest.mark.parametrize(("words", "code", "cause"), [
    (["ntu61"], 2, "There is no data set 'ntu61'. Did you mean 'ntu60'?"),
    (["ntu60"], 3, "nturgbd_skeletons_s001_to_s017.zip in data"),
    (["ntu120"], 3, "https://rose1.ntu.edu.sg/dataset/actionRecognition/"),
    (["ntu60", "--source", "gone.zip"], 3, "gone.zip cannot be read: No such file or directory."),
    (["ntu60", "--source", "data.zip", "--splits", "xset"], 2, "ntu60 has no benchmark 'xset'. Did you mean 'xsub'?"),
    (["ntu60", "--source", "data.zip", "--format", "singel"], 2, "There is no format 'singel'. Did you mean 'single'?"),
    (["ntu60", "--source", "data.zip", "--workers", "0"], 2, "--workers"),
    (["ntu60", "--source", "data.zip", "--max-bad", "2"], 2, "--max-bad"),
])  # fmt: skip
def test_what_cannot_work_is_said(stgcn, words, code, cause):
    said = stgcn("prepare", *words)
    assert said.code == code and cause in said.err, said.err
