"""docs/deployment.md says what the program does: its runner and its camera scripts run as they stand."""

import json
import re
import subprocess
import sys
import types

import numpy as np
import pytest

from stgcn_cli.evaluation.export import ExportOptions, write
from stgcn_cli.evaluation.frames import frame_of
from stgcn_cli.io.reporter import SILENT
from stgcn_cli.runs.resolve import EvalOptions
from tests.cli.runner import ROOT
from tests.conftest import make_records
from tests.factories import checkpoints

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def blocks():
    path = ROOT / "docs" / "deployment.md"
    if not path.is_file():
        pytest.skip("the documentation is not here")
    return re.findall(r"```(\w+)\n(.*?)```", path.read_text("utf-8"), re.DOTALL)


def script(blocks, word):
    (found,) = [text for language, text in blocks if language == "python" and word in text]
    return found


@pytest.mark.slow
def test_the_runner_needs_numpy_and_onnxruntime_only(tmp_path, blocks, stgcn):
    code = script(blocks, "InferenceSession(sys.argv[1]")
    assert len([line for line in code.splitlines() if line]) <= 22
    path = checkpoints.made(tmp_path / "best.pth")
    write(ExportOptions(model=EvalOptions(checkpoint=str(path)), out=tmp_path / "model.onnx"), SILENT)
    clip = make_records(1)[0]["keypoint"]
    checkpoints.write(tmp_path / "clip.pkl", make_records(1))
    np.save(tmp_path / "clip.npy", clip)
    blocked = "import sys\nfor name in ('torch', 'stgcn_cli', 'onnx', 'pandas'): sys.modules[name] = None\n"
    (tmp_path / "runner.py").write_text(blocked + code)
    done = subprocess.run([sys.executable, "-I", "runner.py", "model.onnx", "clip.npy"], cwd=tmp_path, capture_output=True,
                          text=True, check=True)  # fmt: skip
    said = json.loads(stgcn("predict", path, "clip.pkl", "--json", "--device", "cpu").out)["clips"][0]["top"]
    lines = [f"{100 * each['probability']:5.1f} %  {each['name']}" for each in said]
    assert done.stdout.splitlines() == lines


class Fake(types.ModuleType):
    """A package that is not installed: every attribute is what the test put there."""


def test_camera_scripts_write_frames_that_are_read(blocks, monkeypatch, capsys):
    joints = np.random.default_rng(0).uniform(0, 600, (2, 17, 3))
    tensor = types.SimpleNamespace(tolist=joints.tolist)
    ids = types.SimpleNamespace(int=lambda: types.SimpleNamespace(tolist=lambda: [4, 7]))
    result = types.SimpleNamespace(keypoints=types.SimpleNamespace(data=tensor), boxes=types.SimpleNamespace(id=ids))
    yolo = Fake("ultralytics")
    yolo.YOLO = lambda name: types.SimpleNamespace(track=lambda **options: [result, result])
    point = types.SimpleNamespace(x=0.5, y=0.25, visibility=0.9)
    found = types.SimpleNamespace(pose_landmarks=types.SimpleNamespace(landmark=[point] * 33))
    frames = [(True, np.zeros((480, 640, 3))), (False, None)]
    cv2, mediapipe = Fake("cv2"), Fake("mediapipe")
    cv2.VideoCapture = lambda index: types.SimpleNamespace(read=lambda: frames.pop(0))
    cv2.cvtColor, cv2.COLOR_BGR2RGB = lambda image, how: image, 4
    mediapipe.solutions = types.SimpleNamespace(
        pose=types.SimpleNamespace(Pose=lambda: types.SimpleNamespace(process=lambda i: found))
    )
    for module in (yolo, cv2, mediapipe):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for word, persons, count in (("ultralytics", [4, 7], 17), ("mediapipe", [0], 33)):
        code = script(blocks, f"import {word}" if word == "mediapipe" else f"from {word} import")
        assert len(code.splitlines()) < 25
        exec(code, {})
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        read = frame_of(lines[0]).persons
        assert [each.track for each in read] == persons and all(each.values.shape == (count, 3) for each in read)
    np.testing.assert_allclose(frame_of(lines[0]).persons[0].values[0], [320, 120, 0.9], rtol=1e-6)


def test_the_lines_shown_are_read(blocks):
    shown = [text for language, text in blocks if language == "json"]
    assert len(frame_of(json.loads(shown[0])).persons[0].values) == 2
    assert [json.loads(line)["event"] for line in shown[1].splitlines()] == ["answer", "segment"]
