import json
import os
import signal
import subprocess
import sys
import time

import pytest

from stgcn_cli.data.pickles import read_pickle
from tests.cli.runner import environment
from tests.factories.skeletons import clips, golden_texts, write_folder, write_zip

LONG = "S008C002P010R002A050"


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


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_its_workers_start(tmp_path, signum):
    """The signal comes to every process, as Ctrl-C does, while the first of them has not begun to work."""
    write_zip(tmp_path / "raw.zip", clips(24))
    words = ("prepare", "ntu60", "--source", "raw.zip", "--out", "o/x.pkl", "--workers", "8")
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-m", "stgcn_cli", *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=tmp_path,
            env=environment(tmp_path), text=True, start_new_session=True,
        )  # fmt: skip
        until(lambda at=process: children(at))
        os.killpg(process.pid, signum)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 128 + signum and "Traceback" not in err, err
        assert not list((tmp_path / "o").glob("*"))


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
    result = stgcn("prepare", "ntu60", "--workers", 2)
    assert result.code == 0, result.err
    for word in ("xsub_train", "40,091", "it is empty", "data/ntu60.pkl", "data/ntu60.report.json"):
        assert word in result.out
    assert "not the official ones" in result.err
    assert result.err.endswith("Next: stgcn train --preset ntu60-xsub-3d --data data/ntu60.pkl\n")
    assert "Next" not in stgcn("prepare", "ntu60", "--workers", 1, "--quiet").err
    assert len(read_pickle(tmp_path / "data" / "ntu60.pkl")["annotations"]) == 24
    again = stgcn("prepare", "ntu60", "--json", env={"STGCN_DATA": "data"})
    as_json = json.loads(again.out)
    assert "Next" not in again.err
    assert as_json["clips"] == 24 and as_json["official"]["xsub_val"] == 16_487 and len(as_json["set_aside"]) == 1


def test_the_command_finds_the_unpacked_folder_and_writes_lists(stgcn, tmp_path):
    write_folder(tmp_path / "d" / "nturgb+d_skeletons", clips(12))
    result = stgcn("prepare", "ntu60", "--data", "d", "--format", "list", "--splits", "xview")
    assert result.code == 0, result.err
    files = sorted(str(path.relative_to(tmp_path / "d" / "ntu60")) for path in (tmp_path / "d" / "ntu60").rglob("*.*"))
    assert files == ["ntu60.report.json", "xview/train.pkl", "xview/val.pkl"]
    assert "Next" not in result.err  # no preset is for these splits


def test_many_set_aside_files_are_cut_short(stgcn, tmp_path):
    bad = {f"S002C001P001R001A0{number}": b"" for number in range(10, 25)}
    write_folder(tmp_path / "data" / "nturgb+d_skeletons", clips(20) | bad)
    result = stgcn("prepare", "ntu60", "--workers", 1)
    assert result.out.count("it is empty") == 10
    assert "and 5 more " in result.out and result.out.endswith("see data/ntu60.report.json\n")


@pytest.mark.parametrize(("words", "code", "cause"), [
    (["ntu61"], 2, "Unknown data set 'ntu61'. Did you mean 'ntu60'?"),
    (["NTU60"], 2, "Unknown data set 'NTU60'. Did you mean 'ntu60'?"),
    (["ntu60"], 3, "nturgbd_skeletons_s001_to_s017.zip in data"),
    (["ntu120"], 3, "https://rose1.ntu.edu.sg/dataset/actionRecognition/"),
    (["ntu60", "--source", "gone.zip"], 3, "gone.zip cannot be read: No such file or directory."),
    (["ntu60", "--source", "data.zip", "--splits", "xset"], 2, "ntu60 has no split 'xset' here. Did you mean 'xsub'?"),
    (["ntu60", "--source", "data.zip", "--format", "singel"], 2, "'singel' is not one of 'single', 'list'. Did you mean 'single'?"),
    (["ntu60", "--source", "data.zip", "--workers", "0"], 2, "--workers"),
    (["ntu60", "--source", "data.zip", "--max-bad", "2"], 2, "--max-bad"),
])  # fmt: skip
def test_invalid_calls_are_refused(stgcn, words, code, cause):
    result = stgcn("prepare", *words)
    assert result.code == code and cause in result.err, result.err
