"""Which preset a checkpoint belongs to, on real checkpoints of the reference and on bare weights."""

import dataclasses
import hashlib
import json
import pickle
import shutil

import numpy as np
import pytest
import torch

from stgcn_cli.config import catalog, presets
from stgcn_cli.errors import CheckpointError, DataError
from stgcn_cli.evaluation import evaluate, export
from stgcn_cli.io.reporter import SILENT, Reporter
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint, identify, resolve
from tests.conftest import make_records
from tests.factories import weights
from tests.factories.http_server import Served, running

PUBLISHED = [entry.preset for entry in catalog.PUBLISHED if entry.base == catalog.BASE_URL]  # BABEL's hold no text
CONFIG = """
model = dict(
    type='SkeletonGCN',
    backbone=dict(type='STGCN', in_channels=3, graph_cfg=dict(layout='{layout}', strategy='spatial')),
    cls_head=dict(type='STGCNHead', num_classes={classes}, in_channels=256, loss_cls=dict(type='{loss}')))
train_pipeline = [{first}dict(type='FormatGCNInput', input_format='NCTVM'{persons})]
raise SystemExit('this text was run')
"""


def save(path, preset, meta=None, prefix="", **more):
    state = {prefix + key: value for key, value in build_model(preset).state_dict().items()}
    torch.save({"state_dict": state, "meta": meta, **more} if meta is not None else state, path)
    return path


def config_of(preset) -> str:
    two_d = preset.data.normalize == "image"
    return CONFIG.format(
        layout="coco" if two_d else "ntu-rgb+d", classes=preset.model.num_classes,
        loss="CBFocalLoss" if preset.loss.name == "cb-focal" else "CrossEntropyLoss",
        first="dict(type='PoseNormalize'), " if two_d else "dict(type='JointToBone'), " if preset.data.stream == "bone" else "",
        persons=", num_person=1" if preset.data.num_person == 1 else "",
    )  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_configuration_is_recognised(tmp_path, name):
    preset = presets.load(name)
    path = save(tmp_path / "x.pth", preset, {"config": config_of(preset), "strange": [1, {"a": None}]}, "module.")
    assert identify.the_preset(checkpoint.read(path), "") == identify.Likely((name,), "the configuration inside it")


def test_the_rules_go_from_sure_to_likely(tmp_path, monkeypatch):
    """A configuration says babel60-wfl; each rule before it is believed first."""
    meta = {"config": config_of(presets.load("babel60-wfl"))}
    path = save(tmp_path / "x.pth", presets.load("babel60"), meta)
    assert identify.likely(checkpoint.read(path)).presets == ("babel60-wfl",)
    hashed = dataclasses.replace(
        catalog.find("babel60"), sha256_prefix=hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    )
    monkeypatch.setattr(catalog, "PUBLISHED", (hashed, *catalog.PUBLISHED))
    assert identify.likely(checkpoint.read(path)) == identify.Likely(("babel60",), "its sha256")
    named = shutil.copy(path, tmp_path / "stgcn_80e_ntu60_xsub_keypoint_3d.pth")
    assert identify.likely(checkpoint.read(named)) == identify.Likely(("ntu60-xsub-3d",), "its file name")
    assert identify.likely(checkpoint.read(named), "babel120").identified_by == "its name in the catalogue"
    ours = save(
        tmp_path / "babel60.pth", presets.load("babel120"), {"preset": presets.to_toml(presets.load("babel120"))}
    )
    assert identify.likely(checkpoint.read(ours), "babel60") == identify.Likely(("babel120",), "the preset inside it")


def test_shapes_decide_alone_only_when_one_preset_fits(tmp_path):
    two_d = checkpoint.read(save(tmp_path / "a.pth", presets.load("ntu60-xsub-2d")))
    assert identify.the_preset(two_d, "").presets == ("ntu60-xsub-2d",)
    with pytest.raises(CheckpointError, match="ntu60-xsub-3d, babel60, babel60-wfl all fit") as caught:
        identify.the_preset(checkpoint.read(save(tmp_path / "b.pth", presets.load("babel60"))), "")
    assert "--preset" in caught.value.hint
    odd = save(tmp_path / "c.pth", presets.load("babel60", ["model.num_classes=99"]))
    with pytest.raises(CheckpointError, match="none fits: it has 99 classes"):
        identify.the_preset(checkpoint.read(odd), "")


@pytest.mark.parametrize(
    ("file", "name"),
    [("forward/ckpt_stgcn_80e_babel60_wfl", "babel60-wfl"), ("forward/ckpt_stgcn_80e_ntu60_xsub_keypoint_3d", "ntu60-xsub-3d"),
     ("e2e/epoch_4", "ntu60-xsub-3d")],
)  # fmt: skip
def test_real_checkpoints_of_the_reference_are_recognised(shared, file, name):
    found = identify.the_preset(checkpoint.read(shared / "golden" / f"{file}.pth"), "")
    assert found == identify.Likely((name,), "the configuration inside it")


def test_the_references_checkpoint_gives_the_references_result(shared, stgcn, tmp_path):
    golden = shared / "golden"
    said = stgcn("eval", golden / "e2e" / "epoch_4.pth", "--data", golden / "trajectory" / "train.pkl", "--out", "r.pkl",
                 "--set", "data.clip_len=30", "--eval", "top_k_accuracy", "mean_class_accuracy", "--json")  # fmt: skip
    assert said.code == 0 and "the configuration inside it" in said.err, said.err
    wanted = pickle.loads((golden / "e2e" / "result.pkl").read_bytes())
    np.testing.assert_allclose(
        np.stack(pickle.loads((tmp_path / "r.pkl").read_bytes())), np.stack(wanted), rtol=1e-5, atol=1e-5
    )
    result = json.loads(said.out)
    measured = [round(result[key], 4) for key in ("top1_acc", "top5_acc", "mean_class_accuracy")]
    assert measured == [0.0781, 0.2656, 0.0286]
    assert not result["published"]["metrics"]  # 35 of 60 classes are another task
    assert "64 labelled clips, officially 16,487" in result["published"]["differs"]


def test_a_clip_length_against_the_preset_is_reported(tmp_path):
    preset, said = presets.load("ntu60-xsub-3d"), []
    path = save(tmp_path / "x.pth", preset, {"config": config_of(preset) + "dict(type='PaddingWithLoop', clip_len=30)"})
    resolve.preset_of(checkpoint.read(path), resolve.EvalOptions(checkpoint=str(path)), Reporter(warn=said.append))
    assert len(said) == 1 and "--set data.clip_len=30" in said[0]


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Published weights of babel60 that can be downloaded: (mirror, annotation pickle)."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    model = build_model(presets.load("babel60"))
    weights.fill(model, "B")
    content = tmp_path / "published.pth"
    torch.save({"meta": {}, "state_dict": model.state_dict()}, content)
    prefix = hashlib.sha256(content.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(
        catalog, "PUBLISHED",
        tuple(dataclasses.replace(e, sha256_prefix=prefix) if e.preset == "babel60" else e for e in catalog.PUBLISHED),
    )  # fmt: skip
    (tmp_path / "babel60.pkl").write_bytes(pickle.dumps(make_records(6)))
    with running() as mirror:
        mirror.files["/" + catalog.find("babel60").weights] = Served(content.read_bytes())
        yield mirror, tmp_path / "babel60.pkl"


def test_published_weights_are_downloaded_once_and_evaluated(published):
    mirror, data = published
    for name in ("babel60", "stgcn_80e_babel60"):
        notes = []
        wishes = resolve.EvalOptions(
            checkpoint=name, data=(data,), device="cpu", base_url=mirror.base, settings=("data.clip_len=8",)
        )
        result = evaluate.evaluate(wishes, Reporter(note=notes.append))
        assert result.scores.shape == (6, 60) and "its name in the catalogue" in notes[0]
    assert len(mirror.asked) == 1


def test_a_missing_split_is_reported_before_weights_are_downloaded(published, tmp_path):
    mirror, _ = published
    own = tmp_path / "own.pkl"
    own.write_bytes(pickle.dumps({"split": {"xsub_val": ["clip000"]}, "annotations": make_records(1)}))
    wishes = resolve.EvalOptions(checkpoint="babel60", data=(own,), device="cpu", base_url=mirror.base)
    with pytest.raises(DataError, match="split 'val' not found"):
        evaluate.evaluate(wishes, SILENT)
    with pytest.raises(DataError, match="split 'val' not found"):
        export.write(export.ExportOptions(model=wishes, out=tmp_path / "m.pt2"), SILENT)
    assert not mirror.asked


def test_a_file_goes_before_a_published_name(published, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "babel60", presets.load("babel120"), {"preset": presets.to_toml(presets.load("babel120"))})
    assert (
        resolve.locate(resolve.EvalOptions(checkpoint="babel60"), SILENT).name == "babel60" and not published[0].asked
    )


def test_a_name_that_is_nothing_is_answered_with_the_nearest():
    with pytest.raises(CheckpointError, match="babel60-wfl"):
        resolve.locate(resolve.EvalOptions(checkpoint="babel60-wlf"), SILENT)
