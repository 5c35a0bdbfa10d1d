"""Pages without a browser: what is in them, and that nothing in a name gets out of its place."""

import base64
import hashlib
import html.parser
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from stgcn_cli.config import presets, schema
from stgcn_cli.config.skeletons import COCO, NTU
from stgcn_cli.evaluation.metrics import most_confused
from stgcn_cli.evaluation.score import EvalResult, measured
from stgcn_cli.viz import report
from stgcn_cli.viz.html.clip import ClipPrediction, as_clip, clip_page
from stgcn_cli.viz.html.page import as_data
from stgcn_cli.viz.html.report import Report, Scored, report_page
from stgcn_cli.viz.skeleton import motion_of

HOSTILE = "</script><script>alert(1)</script><!-- \"'&amp; <img src=x onerror=alert(2)> {{data}} \u2028 \udcff"


class Outline(html.parser.HTMLParser):
    """The elements of a page, what it would load, and the texts of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.loads, self.handlers, self.scripts, self.ids = [], [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.handlers += [name for name in given if name.startswith("on")]
        names = ["src", "srcset", "data", "action", "poster", "xlink:href"] + ([] if tag == "a" else ["href"])
        self.loads += [given[name] for name in names if given.get(name)]
        self.ids += [given["id"]] if "id" in given else []
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.tags.append(f"/{tag}")

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "script":
            self.scripts[-1] += data


def outline(page: str) -> Outline:
    """The page's outline, after checking what every page must keep to."""
    page.encode("utf-8", "replace").decode("utf-8")
    found = Outline(page)
    assert len(found.scripts) == 2 and not found.handlers
    assert not [place for place in found.loads if not place.startswith(("data:", "#"))]
    assert not re.search(r"url\((?!#|\"?data:)|@import", page)
    json.loads(found.scripts[0])
    digest = base64.b64encode(hashlib.sha256(found.scripts[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page and "default-src 'none'" in page
    return found


def moving(persons=1, frames=6, joints=25, coordinates=3, seed=0):
    return np.random.default_rng(seed).normal(0.5, 0.3, (persons, frames, joints, coordinates)).astype(np.float32)


def result(names, labels, scores, classes=None):
    preset = presets.load("babel60", ["model.num_classes=3", "data.classes=none"])
    preset = replace(preset, data=replace(preset.data, classes=tuple(classes or "abc")))
    return measured(EvalResult(preset, "val", np.array(scores, np.float32), np.array(labels), names, {}))


@pytest.fixture
def some():
    """Six clips: of class 1 two are taken for class 2, of class 2 one for class 0."""
    best = [0, 1, 2, 2, 0, 2]
    return result([f"clip{i}" for i in range(6)], [0, 1, 1, 1, 2, 2], np.eye(3)[best] * [[3], [3], [1], [5], [2], [3]])


def test_a_report_shows_everything_and_breaks_out_of_nothing():
    wicked = result([f"{HOSTILE}{i}" for i in range(3)], [0, 1, 2], np.eye(3)[[1, 2, 0]], [HOSTILE, HOSTILE + "b", "c"])
    motion = motion_of(HOSTILE, moving(), NTU)
    pairs = [(pair, motion) for pair in most_confused(wicked.scores, wicked.labels, 8)]
    log = [{"mode": "epoch", "epoch": e, "lr": 0.1, "loss": 1 / e, "top1_acc": 0.5} for e in (1, 2)]
    scored = [Scored(HOSTILE, wicked, pairs, np.array([9, 3, 1]))] * 2
    page = report_page(
        Report(
            title=HOSTILE,
            preset=wicked.preset,
            scored=scored,
            log=log,
            environment={"command": [HOSTILE]},
            remarks=[HOSTILE],
        )
    )
    found = outline(page)
    assert "alert" not in found.scripts[1] and "img" not in found.tags and len(found.ids) == len(set(found.ids))
    data = json.loads(found.scripts[0])
    assert data["matrices"]["matrix-0"]["names"][0] == HOSTILE.replace(
        "\udcff", data["matrices"]["matrix-0"]["names"][0][-1]
    )
    assert page.count('class="player"') == len(data["clips"]) == 6
    assert "<svg" in page and "currentColor" in page and len(page) < 3_000_000


def test_data_reads_back_whatever_is_in_it():
    value = {"clips": {HOSTILE: [HOSTILE, 1.5, None]}}
    assert json.loads(as_data(value)) == value
    assert not set("<>&\u2028") & set(as_data(value))


def test_the_pairs_are_the_worst_with_their_surest_clip(some):
    pairs = most_confused(some.scores, some.labels, 8)
    assert [(p.label, p.taken_for, p.clips, p.of, p.example) for p in pairs] == [(1, 2, 2, 3, 3), (2, 0, 1, 2, 4)]
    assert pairs[0].probability == pytest.approx(np.exp(5) / (np.exp(5) + 2))
    assert len(most_confused(some.scores, np.full(6, -1), 8)) == 0


def test_a_model_that_went_wrong_has_a_report_too():
    broken = result(["a", "b"], [0, 1], np.full((2, 3), np.nan))
    pairs = [(pair, None) for pair in most_confused(broken.scores, broken.labels, 8)]
    outline(report_page(Report(title="x", preset=broken.preset, scored=[Scored("x", broken, pairs)])))


def test_a_result_without_labels_or_clips_has_no_confusions():
    for names, labels in ((["a"], [-1]), ([], [])):
        hidden = result(names, labels, np.zeros((len(names), 3)))
        page = report_page(Report(title="x", preset=hidden.preset, scored=[Scored("x", hidden)]))
        assert 'class="matrix"' not in page and json.loads(outline(page).scripts[0])["matrices"] == {}


def test_classes_are_reported_in_thirds_where_they_are_uneven(some):
    def page(counts):
        return report_page(
            Report(title="x", preset=some.preset, scored=[Scored("x", some, (), counts and np.array(counts))])
        )

    assert "<td>tail</td>" not in page([10, 10, 11]) and "<td>tail</td>" not in page(None)
    uneven = page([100, 1, 10])
    rows = re.findall(
        r"<tr><td>(head|middle|tail)</td><td class=\"number\">1</td><td class=\"number\">(\d+) to", uneven
    )
    assert rows == [("head", "100"), ("middle", "10"), ("tail", "1")]
    assert uneven.count('data-value="0.333333"') == 2  # of class 1: in the tail, and in the table


def test_a_run_without_scores_says_how_to_get_them():
    preset = presets.load("babel60")
    page = report_page(
        Report(
            title="x", preset=preset, log=[{"mode": "val", "epoch": 3, "top1_acc": 0.25}], remarks=[report.NO_SCORES]
        )
    )
    assert "25.00 %" in page and "epoch 3" in page and "stgcn eval CHECKPOINT --out best.result.npz" in page


@pytest.mark.parametrize(("persons", "coordinates", "layout"), [(2, 3, NTU), (1, 2, COCO), (0, 3, NTU), (3, 3, None)])
def test_a_clip_is_in_its_page_as_it_was(persons, coordinates, layout):
    keypoint = moving(persons, 5, len(layout.joints) if layout else 7, coordinates)
    keypoint[:1, 2] = 0  # the first person is away for a frame
    motion = motion_of(HOSTILE, keypoint, layout)
    found = outline(clip_page(motion, [("file", HOSTILE)], ClipPrediction(HOSTILE, [(HOSTILE, 0.9)], [HOSTILE])))
    clip = json.loads(found.scripts[0])["clips"]["clip"]
    assert clip["shape"] == [5, persons, keypoint.shape[2], coordinates] and len(clip["colours"]) == persons
    points = np.frombuffer(base64.b64decode(clip["points"]), "<i2")
    if not persons:
        assert not len(points)
        return
    points = points.reshape(clip["shape"]).transpose(1, 0, 2, 3)
    assert (points[0, 2] == -32768).all() and (points[0, 3] > -32768).all()
    seen, wanted = points[0, 3].astype(float), motion.points[0, 3]
    scale = np.ptp(wanted[:, 0]) / np.ptp(seen[:, 0])
    np.testing.assert_allclose((seen - seen[0]) * scale, wanted - wanted[0], atol=4 * scale)


def test_long_clips_are_thinned_and_take_as_long():
    clip = as_clip(motion_of("x", moving(frames=1000), NTU), 150)
    assert clip["shape"][0] == 143 and clip["step"] == 7 and clip["rate"] == 30


def test_the_templates_parts_are_in_the_package():
    from importlib.resources import files

    names = {part.name for part in files("stgcn_cli.viz.html").iterdir()}
    assert {
        "page.html",
        "clip.html",
        "report.html",
        "macros.html",
        "page.css",
        "page.js",
        "matrix.js",
        "player.js",
    } <= names
    assert isinstance(presets.load("demo"), schema.Preset)
