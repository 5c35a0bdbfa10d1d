"""Clips and layouts as pictures and pages."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from stgcn_cli.config import class_names, presets
from stgcn_cli.config.skeletons import COCO, LAYOUTS, NTU, Layout
from stgcn_cli.data.prepare import synthetic
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.errors import CheckpointError, DataError, UsageError
from stgcn_cli.evaluation import metrics
from stgcn_cli.evaluation.timeline import Segment
from stgcn_cli.evaluation.windows import Track
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.models import build_model
from stgcn_cli.viz import animation, plots, select, skeleton, view
from stgcn_cli.viz import layout as layout_drawing
from stgcn_cli.viz.html.clip import bars
from tests.cli.runner import run_stgcn
from tests.conftest import make_records
from tests.factories.checkpoints import loaded
from tests.viz.test_page import moving, outline

CHAIN = Layout("chain", tuple("abcde"), ((1, 0), (2, 1), (3, 2), (4, 3)), 0)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder with a raw .skeleton file and a pickle of three clips."""
    monkeypatch.chdir(tmp_path)
    joints = synthetic.clip(1, 3, np.random.default_rng(0))
    (tmp_path / "wave.skeleton").write_text(synthetic.skeleton_text(joints))
    (tmp_path / "three.pkl").write_bytes(pickle.dumps(make_records(3)))
    return tmp_path


@pytest.fixture
def weights(here):
    """A checkpoint of a small untrained model, as its parts are named in files."""
    torch.manual_seed(0)
    preset = presets.load("demo", ["data.clip_len=8"])
    model = build_model(preset)
    with torch.no_grad():
        for block, factor in enumerate(model.backbone.edge_importance):
            factor.fill_(1 + block / 10)
    torch.save({"meta": {"preset": presets.to_toml(preset)}, "state_dict": model.state_dict()}, "w.pth")
    return here / "w.pth"


def person(up, turn=0.0):
    """(1, 1, 25, 3) a standing person who looks at the sensor, with `up` upwards ("y" as Kinect's, "z" as prepared)."""
    flat = layout_drawing.positions(NTU)
    x, height = -flat[:, 0], flat[:, 1] - flat[1, 1]  # whose right is at +x
    zero = np.full(25, turn)
    columns = {"y": (x, height, zero), "-y": (-x, -height, zero), "z": (x, zero, height)}[up]
    return np.stack(columns, axis=-1)[None, None].astype(np.float32)


@pytest.mark.parametrize("up", ["y", "-y", "z"])
def test_heads_are_up_and_the_left_hand_is_to_the_right_of_who_looks(up):
    motion = skeleton.motion_of("x", person(up), NTU)
    seen = skeleton.projected(motion.points, 0.0, 0.0)[0, 0]
    head, foot, left, right = (NTU.joints.index(name) for name in ("head", "left foot", "left wrist", "right wrist"))
    assert motion.up == up and seen[head, 1] > seen[foot, 1] + 1
    assert seen[left, 0] > 0.3 > -0.3 > seen[right, 0]


def test_where_joints_do_not_show_it_the_layout_says_what_is_up():
    hand = np.zeros((1, 4, 21, 3), np.float32) + np.linspace(0, 1, 21)[:, None]
    assert skeleton.motion_of("x", hand, LAYOUTS["hand-21"]).up == "-y"
    lying = person("y")[..., [1, 0, 2]]
    assert skeleton.motion_of("x", lying, NTU).up == "y"
    assert skeleton.motion_of("x", hand[:, :, :3], Layout("own", ("a", "b", "c"), (), 0, up="z")).up == "z"


def test_no_body_is_mirrored_and_what_is_near_the_sensor_is_in_front():
    for matrix in skeleton._ONTO.values():
        assert np.linalg.det(matrix) == pytest.approx(1)
    keypoint = person("y")
    keypoint[..., NTU.joints.index("left foot"), 2] -= 0.3  # Kinect's z grows away from it
    near = skeleton.projected(skeleton.motion_of("x", keypoint, NTU).points, 0.0, 0.0)[0, 0, :, 2]
    assert near.argmax() == NTU.joints.index("left foot")


def test_turning_changes_no_distance():
    points = skeleton.motion_of("x", person("y"), NTU).points
    seen = skeleton.projected(points, 37.0, -20.0)
    np.testing.assert_allclose(np.linalg.norm(seen[0, 0] - seen[0, 0, 0], axis=-1),
                               np.linalg.norm(points[0, 0] - points[0, 0, 0], axis=-1), atol=1e-5)  # fmt: skip


def test_what_was_not_seen_is_left_out():
    keypoint = np.concatenate([person("z"), person("z"), 0 * person("z")]).repeat(3, axis=1)
    keypoint[:2] -= keypoint[:2, :, 1:2]  # centred: mid spine is at zero, and seen
    keypoint[0, 1, 5] = 0  # one joint lost in one frame
    keypoint[1, 2] = 0  # a person who left
    points = skeleton.motion_of("x", keypoint, NTU).points
    assert len(points) == 2
    lost = ~np.isfinite(points).all(axis=-1)
    assert np.argwhere(lost[0]).tolist() == [[1, 5]] and lost[1, 2].all() and not lost[1, :2].any()


def test_joints_without_a_score_are_left_out_and_pixels_go_down():
    keypoint, score = np.ones((1, 2, 17, 2)), np.ones((1, 2, 17))
    keypoint[..., 1], score[0, 1, 3] = 700, 0
    points = skeleton.motion_of("x", keypoint, COCO, score).points
    assert np.argwhere(np.isnan(points[..., 0])).tolist() == [[0, 1, 3]] and points[0, 0, 0, 1] == -700


@pytest.mark.parametrize(("layout", "coordinates", "persons"), [(NTU, 3, 2), (COCO, 2, 1), (None, 3, 1), (NTU, 3, 0)])
def test_a_gif_has_the_frames_asked_for_and_a_sheet_its_panels(tmp_path, layout, coordinates, persons):
    shape = (persons, 9, len(layout.joints) if layout else 4, coordinates)
    motion = skeleton.motion_of("a $name$", np.random.default_rng(0).normal(1, 1, shape), layout)
    assert animation.write_gif(motion, tmp_path / "x.gif", "caption", 5) == 5
    with Image.open(tmp_path / "x.gif") as gif:
        assert (gif.n_frames, gif.size[0], gif.info["duration"], gif.info["loop"]) == (5, 320, 60, 0)
    assert animation.write_gif(motion, tmp_path / "x.gif") == 9
    assert animation.write_sheet(motion, tmp_path / "x.png", frames=8) == 8
    with Image.open(tmp_path / "x.png") as sheet:
        assert sheet.format == "PNG" and sheet.size[0] == 6 * 221


def test_the_view_does_not_jump(tmp_path):
    keypoint = person("y").repeat(6, axis=1) + np.linspace(0.5, 4.5, 6, dtype=np.float32)[:, None, None] * (1, 0, 0)
    motion = skeleton.motion_of("x", keypoint, NTU)
    (left, right), _ = animation.limits(motion)
    seen = skeleton.projected(motion.points, motion.azimuth)[..., 0]
    assert left < seen.min() and seen.max() < right and right - left > 4 * np.cos(np.radians(motion.azimuth))


@pytest.mark.parametrize("layout", [*LAYOUTS.values(), CHAIN], ids=lambda layout: layout.name)
@pytest.mark.parametrize("learned", [False, True])
def test_every_layout_is_drawn(tmp_path, layout, learned):
    count = len(layout.joints)
    a = np.eye(count)[None]
    over = layout_drawing.importance(layout, a, 1.5 * np.ones((2, 1, count, count)), "x") if learned else None
    for suffix in (".png", ".svg"):
        plots.save(layout_drawing.draw(layout, over), tmp_path / f"x{suffix}")
    svg = (tmp_path / "x.svg").read_text()
    assert all(f">{layout_drawing.label_of(layout, index)}<" in svg for index in range(count))
    at = layout_drawing.positions(layout)
    apart = np.linalg.norm(at[:, None] - at[None], axis=-1)[~np.eye(count, dtype=bool)]
    assert apart.min() > (0.04 if count < 100 else 0.02) * apart.max()  # no two joints on one spot


def test_bones_of_an_own_layout_are_about_as_long_as_each_other():
    at = layout_drawing.positions(CHAIN)
    lengths = [np.linalg.norm(at[i] - at[j]) for i, j in CHAIN.bones]
    assert max(lengths) < 1.2 * min(lengths)


def test_edge_importance_is_the_learned_factor():
    a = np.array([[[0, 2.0, 0, 0, 0]] * 5])
    a[0, 0, 0] = 1
    learned = np.stack([np.full_like(a, 0.5), np.full_like(a, 1.5)])
    learned[:, 0, 0, 1] = 3
    over = layout_drawing.importance(CHAIN, a, learned, "x")
    assert over.joints[0] == pytest.approx(1.0) and over.bones[0] == pytest.approx(3.0)
    assert np.isnan(over.bones[3])  # the model does not join them


def test_edge_importance_of_a_checkpoint(weights):
    layout, over = view.learned("w.pth", None, 4, SILENT)
    assert layout == NTU and np.allclose(over.bones, 1.4) and np.allclose(over.joints, 1.4)
    _, over = view.learned("w.pth", NTU, None, SILENT)
    assert np.allclose(over.bones, 1.45) and "mean of all" in over.what
    page = view.view(view.ViewOptions(edge_importance="w.pth", block=2), SILENT)
    assert page.name == "ntu.html" and "1.200" in page.read_text()
    outline(page.read_text())
    with pytest.raises(CheckpointError, match="trained on 25 joints, the skeleton has 17"):
        view.view(view.ViewOptions(layout="coco", edge_importance="w.pth"), SILENT)
    with pytest.raises(UsageError, match="blocks 0 to 9"):
        view.view(view.ViewOptions(edge_importance="w.pth", block=10), SILENT)


def test_a_model_says_in_the_page_what_it_scores(weights, here):
    path = view.view(view.ViewOptions(source="wave.skeleton", checkpoint="w.pth", device="cpu"), SILENT)
    page = path.read_text("utf-8")
    from stgcn_cli.data.readers.inputs import read_inputs

    scores = loaded("w.pth").answer(list(read_inputs(["wave.skeleton"])))[0]
    best = class_names.class_names(presets.load("demo"))[int(scores[0].argmax())]
    assert f"<td>{best}</td>" in page and f"{100 * metrics.probabilities(scores)[0].max():.1f} %" in page
    assert json.loads(outline(page).scripts[0])["clips"]["clip"]["name"] == "wave"


@pytest.mark.parametrize(("dataset", "label"), [("demo", "wave both hands"), ("own", "class 1")])
def test_the_action_in_a_file_name_is_named_by_models_of_that_data_set_only(here, dataset, label):
    (here / "wave.skeleton").rename(name := "S001C001P001R001A002.skeleton")
    preset = presets.load("demo", ["data.clip_len=8", f"data.dataset={dataset}"])
    torch.save({"meta": {"preset": presets.to_toml(preset)}, "state_dict": build_model(preset).state_dict()}, "m.pth")
    page = view.view(view.ViewOptions(source=name, checkpoint="m.pth", device="cpu"), SILENT).read_text()
    assert f"<dt>label</dt><dd>{label}</dd>" in page


def test_a_clip_is_chosen_by_name_or_index_and_the_others_are_listed(here):
    told: list[str] = []
    view.view(view.ViewOptions(source="three.pkl", out=here / "x.png"), Reporter(note=told.append))
    assert "3 clips; this is clip000" in told[0]
    for wanted in ("clip002", "2"):
        assert select.choose("three.pkl", wanted, Options(), SILENT)[0].record["frame_dir"] == "clip002"
    with pytest.raises(DataError, match=r"no clip 'clip9'.*3 clips, numbered from 0\. Did you mean 'clip00"):
        select.choose("three.pkl", "clip9", Options(), SILENT)
    (here / "many").mkdir()
    for name in ("S001C001P001R001A001", "S001C001P001R001A002"):
        (here / "many" / f"{name}.skeleton").write_bytes((here / "wave.skeleton").read_bytes())
    assert select.choose("many", None, Options(), SILENT)[1] == "2 clips"
    for wanted in ("S001C001P001R001A002", "1"):
        assert select.choose("many", wanted, Options(), SILENT)[0].record["frame_dir"] == "S001C001P001R001A002"


def test_a_skeleton_that_is_not_known_is_drawn_without_bones(here):
    np.save("own.npy", np.random.default_rng(0).normal(size=(6, 5, 3)).astype(np.float32))
    warned: list[str] = []
    page = view.view(view.ViewOptions(source="own.npy"), Reporter(warn=warned.append)).read_text()
    assert "--layout" in warned[0] and json.loads(outline(page).scripts[0])["clips"]["clip"]["bones"] == []
    with pytest.raises(DataError, match=r"5 joints .*has 25"):
        view.view(view.ViewOptions(source="own.npy", layout="ntu"), SILENT)
    with pytest.raises(UsageError, match=r"expected \.html, \.gif or \.png\."):
        view.view(view.ViewOptions(source="own.npy", out=here / "x.mp4"), SILENT)


def test_names_of_clips_do_not_lead_out_of_the_folder():
    assert view.file_name("../../etc/passwd") == "etc-passwd"
    assert view.file_name("wave/clip 1\x1b[2J") == "wave-clip-1-2J" and view.file_name("…/.") == "clip"


def test_the_command_says_the_file_on_stdout(here):
    said = run_stgcn(here, "view", "wave.skeleton", "--out", "w.gif", "--frames", "3")
    assert (said.code, said.out) == (0, "w.gif\n") and Image.open(here / "w.gif").n_frames == 3
    said = run_stgcn(here, "view", "--clip", "3", "--layout", "ntu")
    assert said.code == 2 and "INPUT" in said.err


def test_real_clips_stand_upright(shared):
    clip, _ = select.choose(str(shared / "data" / "uiprmd_skeletons.zip"), "S001C001P001R001A001", Options(), SILENT)
    motion = skeleton.motion_of("x", clip.record["keypoint"], NTU)
    seen = skeleton.projected(motion.points, 0.0, 0.0)[0, 0]
    assert motion.up == "y" and seen[3, 1] > seen[15, 1] + 1 and seen[4, 0] > seen[8, 0]


@pytest.mark.parametrize(
    "layout", [each for each in LAYOUTS.values() if len(each.joints) < 100], ids=lambda layout: layout.name
)
def test_names_of_joints_do_not_overlap_and_factors_near_to_one_are_written_out(layout):
    a, count = np.ones((3, len(layout.joints), len(layout.joints))), len(layout.joints)
    learned = 1 + 1e-4 * np.random.default_rng(0).normal(size=(2, 3, count, count))
    figure = layout_drawing.draw(layout, layout_drawing.importance(layout, a, learned, "x"))
    figure.draw_without_rendering()
    drawn, scale = figure.axes
    boxes = [text.get_window_extent() for text in drawn.texts]
    assert len(boxes) == count and not any(x.overlaps(y) for i, x in enumerate(boxes) for y in boxes[:i])
    assert not scale.yaxis.get_offset_text().get_text()


def test_frames_are_counted_from_one():
    motion = skeleton.motion_of("clip", moving(1, 10), NTU)
    assert animation._when(motion, 0).startswith("frame 1 ") and animation._when(motion, 9).startswith("frame 10 ")
    (bar,) = bars(Track(clip="clip", person=1, frames=10, segments=[Segment(0, 10, 0, 0.5)]), ["wave"])
    assert "frames 1 to 10" in bar[3]
