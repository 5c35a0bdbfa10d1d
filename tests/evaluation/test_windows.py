"""Windows of a recording, and the same frame by frame: one timeline, whatever the input does in between."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from stgcn_cli.api import load
from stgcn_cli.data.records import Clip
from stgcn_cli.errors import UsageError
from stgcn_cli.evaluation.live import Live, LiveOptions, stream
from stgcn_cli.evaluation.windows import Segment, Timeline, WindowOptions, as_srt, timelines, window_starts
from stgcn_cli.io.reporter import Reporter
from tests.cli.runner import environment
from tests.conftest import make_records
from tests.factories import checkpoints


class Told:
    """A predictor without a network: the logits of a window follow from its mean, and calls are counted."""

    def __init__(self, preset):
        self.preset, self.classes, self.calls = preset, ["low", "middle", "high"], 0

    def scores(self, clips):
        self.calls += 1
        means = np.array([np.mean(clip.record["keypoint"]) for clip in clips])
        return np.stack([-means, 0 * means, means], 1).astype(np.float32)


@pytest.fixture
def told():
    from stgcn_cli.config import presets

    return Told(presets.load("ntu60-xsub-3d", checkpoints.SMALL))


def recording(frames=83, persons=2, seed=0):
    """(M, T, V, C) with persons who come and go."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (persons, frames, 25, 3)) + 4 * np.sin(np.arange(frames) / 9 + seed)[None, :, None, None]
    x[0, 30:70] = 0
    x[-1, :5] = 0
    x[:, 40] = 0
    return x.astype(np.float32)


def lines_of(x):
    for number, frame in enumerate(x.swapaxes(0, 1)):
        persons = [{"id": who, "keypoints": each.tolist()} for who, each in enumerate(frame) if each.any()]
        yield json.dumps({"t": number / 10, "persons": persons})


def whole(told, x, options):
    clip = Clip(record={"frame_dir": "a", "keypoint": x, "total_frames": x.shape[1]}, source="a", raw=True)
    return {track.person: track.segments for track in timelines(told, [clip], options).tracks}


@pytest.mark.parametrize("frames", [5, 16, 17, 83])
@pytest.mark.parametrize("smooth", [1, 3])
@pytest.mark.parametrize("stride", [1, 5, 16])
def test_a_stream_gives_the_timeline_of_the_file(told, frames, smooth, stride):
    options = WindowOptions(window=16, stride=stride, smooth=smooth, min_score=0.4, fps=10)
    x = recording()[:, :frames]
    wanted = whole(told, x, options)
    answers = list(stream(Live(told, LiveOptions(windows=options)), lines_of(x), Reporter()))
    segments = [each for each in answers if each["event"] == "segment"]
    for person, expected in wanted.items():
        mine = [each for each in segments if each["person"] == person]
        assert [(e["start"], e["end"], told.classes.index(e["class"])) for e in mine] == [
            (e.start, e.end, e.label) for e in expected
        ]
        assert [e["score"] for e in mine] == pytest.approx([e.score for e in expected], abs=1e-5)
        assert all(each["start_s"] == pytest.approx(each["start"] / 10) for each in mine)
    assert {each["person"] for each in segments} <= set(wanted)


def test_frames_are_the_mean_of_the_windows_over_them():
    options = WindowOptions(window=4, stride=2)
    line, shares = Timeline(options), np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    seen = np.ones(4, bool)
    found = [each for i, share in enumerate(shares) for each in line.add(2 * i, share, seen)] + line.finish()
    assert found == [Segment(0, 4, 0, pytest.approx((2 * 0.9 + 2 * 0.55) / 4)),
                     Segment(4, 8, 1, pytest.approx((2 * 0.7 + 2 * 0.6) / 4))]  # fmt: skip
    assert window_starts(9, options) == [0, 2, 4, 5] and window_starts(3, options) == [0]


def test_windows_of_all_inputs_are_computed_together(told):
    clips = [
        Clip(record={"frame_dir": str(n), "keypoint": recording(seed=n), "total_frames": 83}, source="a")
        for n in range(3)
    ]
    timelines(told, clips, WindowOptions(window=16, stride=4))
    assert told.calls == 1


def test_a_stream_survives_what_cameras_send(told):
    warned: list[str] = []
    x = recording()
    good = list(lines_of(x[:, :20]))
    lines = [
        "no JSON",
        "[1, 2",
        '{"persons": 5}',
        '{"persons": [{"id": 1, "keypoints": [[1, 2]]}]}',
        "",
        *good,
        "{}",
        "null",
    ]
    live = Live(told, LiveOptions(windows=WindowOptions(window=8, stride=4), every=10))
    answers = list(stream(live, lines, Reporter(warn=warned.append)))
    assert len(warned) == 5 and all("is skipped" in each for each in warned)
    assert {each["person"] for each in answers} == {0, 1} and all(
        each["latency_ms"] >= 0 for each in answers if "latency_ms" in each
    )
    frames = [each["frame"] for each in answers if each["event"] == "answer"]
    assert 9 in frames and 19 in frames


def test_frame_forms_of_pose_estimators(told):
    body = np.random.default_rng(0).normal(size=(25, 3))
    forms = [
        {"persons": [{"id": 3, "keypoints": body.tolist()}]},
        {"people": [{"person_id": [3], "pose_keypoints_3d": np.c_[body, np.ones(25)].ravel().tolist()}]},
        {"frame_id": 9, "instances": [{"track_id": 3, "keypoints": body.tolist(), "keypoint_scores": [1.0] * 25}]},
    ]
    for form in forms:
        live = Live(told, LiveOptions(windows=WindowOptions(window=2, stride=1)))
        answers = list(stream(live, [json.dumps(form)] * 3, Reporter()))
        assert {each["person"] for each in answers} == {3}, form
    loose = json.dumps({"persons": [{"keypoints": body.tolist()}, {"keypoints": (body + 50).tolist()}]})
    live = Live(told, LiveOptions(windows=WindowOptions(window=2, stride=1)))
    assert {each["person"] for each in stream(live, [loose] * 3, Reporter())} == {"#0", "#1"}


def test_memory_stays_flat(told):
    live = Live(told, LiveOptions(windows=WindowOptions(window=16, stride=16)))
    x = recording(64)
    for number in range(3000):  # new persons again and again
        persons = [{"id": number // 40, "keypoints": x[0, number % 30].tolist()}, {"keypoints": x[1, 10].tolist()}]
        list(live.frame({"persons": persons}))
    assert len(live.bodies) <= 3 and len(live.identities.tracks) <= 1 and len(live.times) <= 64
    assert all(len(body.timeline.sums) <= 64 and len(body.timeline.given) <= 2 for body in live.bodies.values())


def test_a_gap_between_frame_numbers_is_frames_without_a_person(told):
    x = recording()[1:, 45:79]
    frames = [{"frame": n, "persons": [{"id": 0, "keypoints": each.tolist()}]} for n, each in enumerate(x[0])]
    options = WindowOptions(window=8, stride=4)
    x[:, 10:20] = 0
    wanted = whole(told, x, options)[0]
    kept = [json.dumps(each) for each in frames if not 10 <= each["frame"] < 20]
    found = [e for e in stream(Live(told, LiveOptions(windows=options)), kept, Reporter()) if e["event"] == "segment"]
    assert [(e["start"], e["end"]) for e in found] == [(e.start, e.end) for e in wanted]


def test_impossible_windows_are_refused():
    for wrong in ({"window": 8, "stride": 9}, {"window": 8, "stride": 2, "smooth": 2}):
        with pytest.raises(UsageError):
            WindowOptions(**wrong)


def test_the_command_writes_tables_and_subtitles(tmp_path, stgcn):
    checkpoints.made(tmp_path / "best.pth")
    np.save(tmp_path / "long.npy", recording())
    words = ("predict", "best.pth", "long.npy", "--window", "16", "--stride", "8", "--device", "cpu", "--axes", "MTVC")
    found = json.loads(stgcn(*words, "--json").out)
    assert {"clip", "person", "start", "end", "name", "score"} <= found["segments"][0].keys()
    for suffix, begin in ((".srt", "1\n00:00:00,"), (".csv", "clip,person,start,end"), (".json", "{")):
        done = stgcn(*words, "--out", f"a{suffix}")
        assert done.code == 0 and (tmp_path / f"a{suffix}").read_text().startswith(begin), done.err
    assert "person" in stgcn(*words).out and stgcn(*words, "--out", "a.txt").code == 2
    assert stgcn("predict", "best.pth", "long.npy", "--stride", "3").code == 2


def test_times_of_subtitles(told):
    options = WindowOptions(window=16, stride=8, fps=10)
    clip = Clip(record={"frame_dir": "a", "keypoint": recording(), "total_frames": 83}, source="a")
    text = as_srt(timelines(told, [clip], options))
    assert "-->" in text and "person 1: " in text and text.startswith("1\n00:00:0")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_program_answers_while_it_reads_and_ends_at_ctrl_c(tmp_path):
    checkpoints.made(tmp_path / "best.pth")
    argv = [
        sys.executable,
        "-m",
        "stgcn_cli",
        "predict",
        "best.pth",
        "--stream",
        "--window",
        "8",
        "--device",
        "cpu",
        "-q",
    ]
    program = subprocess.Popen(
        argv, cwd=tmp_path, env=environment(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    for line in list(lines_of(recording()))[:20]:
        program.stdin.write(line + "\n")
    program.stdin.flush()
    assert json.loads(program.stdout.readline())["event"] == "answer"
    os.kill(program.pid, signal.SIGINT)
    rest, _ = program.communicate(timeout=20)
    assert program.returncode == 130 and any(json.loads(each)["event"] == "segment" for each in rest.splitlines())
    program = subprocess.Popen(argv, cwd=tmp_path, env=environment(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    program.stdout.close()  # a reader that stops
    try:
        for line in list(lines_of(recording())) * 5:
            program.stdin.write(line + "\n")
            program.stdin.flush()
            time.sleep(0.001)
    except BrokenPipeError:
        pass
    assert program.wait(20) == 0 and "Traceback" not in program.stderr.read()


def test_features_are_written(tmp_path, stgcn):
    checkpoints.made(tmp_path / "best.pth")
    checkpoints.write(tmp_path / "own.pkl", make_records(3))
    done = stgcn("predict", "best.pth", "own.pkl", "--features", "out.npz", "--device", "cpu")
    assert done.code == 0, done.err
    found, model = np.load(tmp_path / "out.npz"), load(str(tmp_path / "best.pth"), "cpu")
    assert list(found["names"]) == ["clip000", "clip001", "clip002"] and found["classes"].shape == (3,)
    head = model.network.cls_head.fc
    weight, bias = head.weight.detach().numpy()[:, :, 0, 0], head.bias.detach().numpy()
    np.testing.assert_allclose(found["features"] @ weight.T + bias, found["logits"], atol=1e-5)
    assert stgcn("predict", "best.pth", "own.pkl", "--features", "out.csv").code == 2


def test_the_page_shows_what_happens_when(tmp_path, stgcn):
    checkpoints.made(tmp_path / "best.pth")
    np.save(tmp_path / "long.npy", recording())
    done = stgcn(
        "view", "long.npy", "-c", "best.pth", "--window", "16", "--axes", "MTVC", "--out", "a.html", "--device", "cpu"
    )
    assert done.code == 0, done.err
    page = (tmp_path / "a.html").read_text()
    found = json.loads(
        stgcn("predict", "best.pth", "long.npy", "--window", "16", "--axes", "MTVC", "--json", "--device", "cpu").out
    )
    assert page.count('<rect x="') == len(found["segments"]) and page.count('class="strip"') == 2
    assert stgcn("view", "long.npy", "--window", "16").code == 2


def test_a_recording_suggests_windows(tmp_path):
    data = checkpoints.write(tmp_path / "ntu60_train.pkl", make_records(6))
    path = checkpoints.made(tmp_path / "best.pth", settings=checkpoints.WHOLE, trained_on=data)
    np.save(tmp_path / "long.npy", recording(200)[1])
    assert any("--window" in each for each in checkpoints.predicted(path, tmp_path / "long.npy").warnings)
    np.save(tmp_path / "short.npy", recording()[1, :20])
    assert not any("--window" in each for each in checkpoints.predicted(path, tmp_path / "short.npy").warnings)
