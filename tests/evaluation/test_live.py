"""Frames of a stream: the timeline of the file, whatever the input does in between, in memory that stays flat."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from stgcn_cli.config import presets
from stgcn_cli.data.readers.inputs import read_inputs
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.data.readers.persons import Person
from stgcn_cli.errors import DataError
from stgcn_cli.evaluation.adapt import adapted
from stgcn_cli.evaluation.frames import Frame
from stgcn_cli.evaluation.live import Live, LiveOptions, stream
from stgcn_cli.evaluation.timeline import WindowOptions
from stgcn_cli.evaluation.windows import timelines
from stgcn_cli.io.reporter import Reporter
from tests.cli.runner import environment
from tests.factories import checkpoints
from tests.factories.recordings import Told, lines_of, recording, whole


@pytest.fixture
def told():
    return Told()


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


class Recorder(Told):
    """Keeps what it is asked about, as the network would see it."""

    def __init__(self, preset):
        super().__init__()
        self.preset, self.seen = presets.load(preset), []

    def answer(self, clips):
        for clip in clips:
            record = adapted(clip, self.preset).clip.record
            self.seen.append((record["keypoint"], record["keypoint_score"], record["img_shape"]))
        return np.zeros((len(clips), 3), np.float32), [None] * len(clips)


def points(joints, frames=8):
    """(T, V, 3): x and y in pixels, and a score."""
    rng = np.random.default_rng(0)
    xy = rng.uniform((100, 50), (1800, 1000), (frames, joints, 2)).round(1)
    return np.concatenate([xy, rng.uniform(0.1, 0.9, (frames, joints, 1)).round(3)], -1)


def forms(joints):
    """Files of one person, and the same frames one by one, as programs write them: {name: (file name, content, frames)}."""
    x, size = points(joints), np.array([1920, 1080, 1])
    share, scores = (x / size).round(4), x[..., 2].tolist()
    own = [{"persons": [{"id": 1, "keypoints": each.tolist()}]} for each in x]
    names = [{"persons": [{"id": 1, "keypoints": [dict(zip(("x", "y", "score"), p, strict=True)) for p in each]}]} for each in share.tolist()]  # fmt: skip
    mmpose = [{"frame_id": i, "instances": [{"keypoints": each[:, :2].tolist(), "keypoint_scores": each[:, 2].tolist()}]} for i, each in enumerate(x)]  # fmt: skip
    coco = [
        [{"image_id": i, "category_id": 1, "keypoints": each.ravel().tolist(), "score": 1.5}]
        for i, each in enumerate(x)
    ]
    alpha = [[{"image_id": f"{i}.jpg", "category_id": 1, "keypoints": each.ravel().tolist(), "score": 2.1, "idx": 1}] for i, each in enumerate(x)]  # fmt: skip
    ultra = [[{"name": "person", "class": 0, "confidence": 0.9, "track_id": 1, "box": {"x1": 1.0, "y1": 1.0, "x2": 9.0, "y2": 9.0},
               "keypoints": {"x": each[:, 0].tolist(), "y": each[:, 1].tolist(), "visible": each[:, 2].tolist()}}] for each in x]  # fmt: skip
    kinetics = [{"frame_index": i, "skeleton": [{"pose": each[:, :2].ravel().tolist(), "score": s}]} for i, (each, s) in enumerate(zip(share, scores, strict=True))]  # fmt: skip
    return {
        "own": ("a.jsonl", "\n".join(map(json.dumps, own)), own), "shares": ("a.json", json.dumps(names), names),
        "mmpose": ("a.json", json.dumps({"meta_info": {}, "instance_info": mmpose}), mmpose),
        "coco": ("a.json", json.dumps([entry for frame in coco for entry in frame]), coco),
        "alphapose": ("a.json", json.dumps([entry for frame in alpha for entry in frame]), alpha),
        "ultralytics": ("a.json", json.dumps(ultra), ultra),
        "kinetics": ("a.json", json.dumps({"data": kinetics, "label": "jump", "label_index": 1}), kinetics),
    }  # fmt: skip


@pytest.mark.parametrize("name", forms(17))
def test_frame_forms_give_what_their_files_give(tmp_path, name):
    joints = 18 if name == "kinetics" else 17
    preset = "kinetics-skeleton" if name == "kinetics" else "ntu60-xsub-2d"
    file, content, frames = forms(joints)[name]
    (tmp_path / file).write_text(content)
    size = None if name in ("kinetics", "shares") else (1080, 1920)  # of those the records tell it
    options, reading = WindowOptions(window=4, stride=2), Options(image_size=size)
    file_model, live_model = Recorder(preset), Recorder(preset)
    (clip,) = read_inputs([str(tmp_path / file)], options=reading)
    timelines(file_model, [clip], options)
    list(stream(Live(live_model, LiveOptions(windows=options, reading=reading)), map(json.dumps, frames), Reporter()))
    assert len(live_model.seen) == len(file_model.seen) == 3
    for ours, theirs in zip(live_model.seen, file_model.seen, strict=True):
        shapes = [np.array(each[2][::-1]) for each in (ours, theirs)]
        np.testing.assert_allclose(ours[0] / shapes[0], theirs[0] / shapes[1], atol=1e-6)  # in shares of their images
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_openpose_and_persons_without_ids(told):
    body = np.random.default_rng(0).normal(size=(25, 3))
    frame = {"people": [{"person_id": [3], "pose_keypoints_3d": np.c_[1000 * body, np.ones(25)].ravel().tolist()}]}
    live = Live(told, LiveOptions(windows=WindowOptions(window=2, stride=1)))
    assert {each["person"] for each in stream(live, [json.dumps(frame)] * 3, Reporter())} == {3}
    two = [{"keypoints": body.tolist()}, {"keypoints": (body + 50).tolist()}]
    for people, ids in ((two, {"#0", "#1"}), ([each | {"id": 0} for each in two], {0, "#0"})):
        live = Live(told, LiveOptions(windows=WindowOptions(window=2, stride=1)))
        lines = [
            json.dumps({"persons": people}),
            json.dumps({"persons": people[::-1] if ids == {"#0", "#1"} else people}),
        ]
        assert {each["person"] for each in stream(live, [*lines, lines[0]], Reporter())} == ids


def test_values_that_are_no_coordinates_of_the_model_end_the_stream(told):
    """x, y and a score are no x, y, z: an answer would mean nothing."""
    told.answer = lambda clips: [adapted(clip, told.preset) for clip in clips]
    flat = json.dumps({"persons": [{"id": 1, "keypoints": points(25)[0].tolist()}]})
    with pytest.raises(DataError, match="the stream has 25 joints with x, y and a score"):
        list(stream(Live(told, LiveOptions(windows=WindowOptions(window=2, stride=1))), [flat] * 3, Reporter()))


SLOW = pytest.mark.slow
SAMPLINGS = (("data.sampling=uniform", "eval.clips=3"), ("data.sampling=loop",), ("data.sampling=uniform", "data.stream=bone-motion"), ("data.clip_len=none",))  # fmt: skip


@pytest.mark.parametrize("settings", [SAMPLINGS[0], *(pytest.param(each, marks=SLOW) for each in SAMPLINGS[1:])])
def test_every_sampling_gives_the_timeline_of_the_file(tmp_path, settings):
    path = checkpoints.made(tmp_path / "x.pth", settings=(*checkpoints.SMALL, *settings))
    (tmp_path / "a.jsonl").write_text("\n".join(lines := list(lines_of(recording(52)))))
    model, options = checkpoints.loaded(path), WindowOptions(window=12, stride=9, smooth=3, fps=10)
    wanted = timelines(model, read_inputs([str(tmp_path / "a.jsonl")], options=model.reading(Options())), options)
    found = [e for e in stream(Live(model, LiveOptions(windows=options)), lines, Reporter()) if e["event"] == "segment"]
    assert len(found) == sum(len(track.segments) for track in wanted.tracks) > 2
    by_person = {len([e for e in found if e["person"] == who]) for who in (0, 1)}
    assert by_person == {len(track.segments) for track in wanted.tracks}
    segments = sorted(
        (s.start, s.end, model.classes[s.label], round(s.score, 4)) for t in wanted.tracks for s in t.segments
    )
    assert sorted((e["start"], e["end"], e["class"], round(e["score"], 4)) for e in found) == segments


def rss():
    """Megabytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(told, frames):
    """Frames with new persons again and again, with and without ids; the state, and how much memory all but the first took."""
    live = Live(told, LiveOptions(windows=WindowOptions(window=64, stride=64), every=5000))
    x, before = recording(64), 0.0
    for number in range(frames):
        persons = [Person(x[0, number % 30], None, number // 40), *[Person(x[1, 10])] * (number % 50 == 0)]
        for _ in live.take(Frame(persons=persons, t=number / 30)):
            pass
        before = rss() if number == frames // 10 else before
    return live, rss() - before


@pytest.mark.parametrize("frames", [5000, pytest.param(1_000_000, marks=SLOW)])
def test_memory_stays_flat(told, frames):
    live, grown = soak(told, frames)
    assert live.count == frames and grown < 2
    assert len(live.bodies) <= 4 and len(live.identities.tracks) <= 1 and len(live.times) <= 256


def test_a_gap_between_frame_numbers_is_frames_without_a_person(told):
    x = recording()[1:, 45:79]
    frames = [{"frame": n, "persons": [{"id": 0, "keypoints": each.tolist()}]} for n, each in enumerate(x[0])]
    options = WindowOptions(window=8, stride=4)
    x[:, 10:20] = 0
    wanted = whole(told, x, options)[0]
    kept = [json.dumps(each) for each in frames if not 10 <= each["frame"] < 20]
    found = [e for e in stream(Live(told, LiveOptions(windows=options)), kept, Reporter()) if e["event"] == "segment"]
    assert [(e["start"], e["end"]) for e in found] == [(e.start, e.end) for e in wanted]


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
