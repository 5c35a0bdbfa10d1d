"""Windows of a recording as timelines of its persons, in tables, subtitles, pages."""

import json
from pathlib import Path

import numpy as np
import pytest

from stgcn_cli.api import load
from stgcn_cli.data.clips import Clip
from stgcn_cli.errors import UsageError
from stgcn_cli.evaluation.timeline import Segment, Timeline, WindowOptions, window_starts
from stgcn_cli.evaluation.windows import as_srt, timelines
from tests.conftest import make_records
from tests.factories import checkpoints
from tests.factories.recordings import Told, recording


@pytest.fixture
def told():
    return Told()


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
    assert stgcn(*words, "--out", "-").out.startswith("{")
    for unused in (("--stride", "3"), ("--smooth", "3"), ("--min-score", "0.5"), ("--every", "4")):
        assert stgcn("predict", "best.pth", "long.npy", *unused).code == 2
    assert stgcn("predict", "best.pth", "--stream", "--out", "a.json").code == 2


def test_windows_warn_of_what_predict_warns_of(tmp_path, stgcn):
    data = checkpoints.write(tmp_path / "ntu60_train.pkl", make_records(6))
    checkpoints.made(tmp_path / "best.pth", settings=checkpoints.WHOLE, trained_on=data)
    np.save(tmp_path / "mm.npy", 1000 * recording(60)[1])
    done = stgcn("predict", "best.pth", "mm.npy", "--window", "12", "--axes", "TVC", "--device", "cpu", "--csv")
    assert done.code == 0 and "bodies of another size" in done.err and "Read as:" in done.err, done.err
    Path(tmp_path / "=1+1.npy").write_bytes((tmp_path / "mm.npy").read_bytes())
    done = stgcn("predict", "best.pth", "=1+1.npy", "--window", "12", "--axes", "TVC", "--device", "cpu", "--csv")
    assert "\n'=1+1,0," in done.out, done.out


def test_times_of_subtitles(told):
    options = WindowOptions(window=16, stride=8, fps=10)
    clip = Clip(record={"frame_dir": "a", "keypoint": recording(), "total_frames": 83}, source="a")
    text = as_srt(timelines(told, [clip], options))
    assert "-->" in text and "person 1: " in text and text.startswith("1\n00:00:0")


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
