"""Laws of a user's own skeleton: by names or indices alike, refused by name, carried by the preset and the checkpoint."""

import numpy as np
import pytest
import torch

from stgcn_cli.config import class_names, presets
from stgcn_cli.config.skeletons import LAYOUTS, find_layout, joint_key, layout_from, pairs_by_name, read_layout
from stgcn_cli.errors import UsageError
from stgcn_cli.models import build_model
from stgcn_cli.runs import checkpoint
from tests.conftest import SMALL, make_records

HAND = """
name = "three-fingers"
joints = ["wrist", "thumb", "index", "tip"]
bones = [["thumb", "wrist"], ["index", 0], [3, "index"]]
centre = "wrist"
"""
OWN = ("ntu60-xsub-3d", ["data.layout=hand.toml", "model.num_classes=3", "data.channels=xy", "data.clip_len=8"])


@pytest.fixture
def hand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hand.toml").write_text(HAND)
    return tmp_path / "hand.toml"


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_built_in_layouts_say_what_is_up_which_joints_are_mirrored_and_lead_to_the_centre(layout):
    assert layout.up in ("y", "-y")
    mirror = {a: b for pair in layout.pairs for a, b in (pair, pair[::-1])}
    assert len(mirror) == 2 * len(layout.pairs)
    bones = {frozenset(bone) for bone in layout.bones}
    mirrored = {frozenset(mirror.get(joint, joint) for joint in bone) for bone in bones}
    assert mirrored == bones
    if layout.name not in ("coco", "openpose-18"):  # published with bones that run elsewhere
        inward = dict(reversed(layout.bones))
        for joint in (
            set(range(len(layout.joints))) - {20, 21, 23} if layout.name == "ntu" else range(len(layout.joints))
        ):
            way = [joint]
            while way[-1] != layout.centre:
                way.append(inward[way[-1]])
                assert len(way) <= len(layout.joints)


def test_built_in_layouts_are_in_the_order_of_their_data_sets():
    joints = {name: layout.joints for name, layout in LAYOUTS.items()}
    assert joints["coco-wholebody-133"][:17] == joints["halpe-26"][:17] == joints["coco"]
    assert joints["coco-wholebody-133"][91::21] == ("left hand root", "right hand root")
    assert [joints["mediapipe-33"][i] for i in (0, 11, 16, 23, 32)] == [
        "nose", "left shoulder", "right wrist", "left hip", "right foot index",
    ]  # fmt: skip
    assert [joints["smpl-22"][i] for i in (0, 9, 15, 21)] == ["pelvis", "spine 3", "head", "right wrist"]
    assert [joints["kinect-20"][i] for i in (0, 3, 11, 19)] == ["hip centre", "head", "right hand", "right foot"]


@pytest.mark.parametrize("name", ["LeftShoulder", "left_shoulder", "Left Shoulder", "shoulder.L", "L_Shoulder"])
def test_a_joints_name_has_many_spellings(name):
    assert joint_key(name) == "left shoulder"
    assert pairs_by_name([name, "neck", joint_key(name).replace("left", "right")]) == ((0, 2),)


def test_up_and_pairs_of_a_file_travel_with_the_preset(hand):
    hand.write_text(HAND + 'up = "-y"\npairs = [["thumb", "index"]]\n')
    preset = presets.load(*OWN)
    again = presets.layout_of(presets.from_text(presets.to_toml(preset).encode(), "again", "again"))
    assert again == read_layout(hand) and (again.up, again.pairs) == ("-y", ((1, 2),))


def test_names_and_indices_are_the_same_joints(hand):
    layout = read_layout(hand)
    assert (layout.name, layout.centre) == ("three-fingers", 0)
    assert layout.bones == ((1, 0), (2, 0), (3, 2))
    assert find_layout("coco") is LAYOUTS["coco"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("centre = ", "center = "), ["center", "centre"]),
        (('"index", 0', '"indx", 0'), ["'indx'", "'index'"]),
        (('"index", 0', '"index", 4'), ["names 4", "0 to 3"]),
        (('["index", 0]', '["index", "index"]'), ["to itself"]),
        (('"tip"]', '"thumb"]'), ["'thumb' stands there twice"]),
        (("bones = ", "bones = 3\nx = "), ["'x'"]),
        (('name = "three-fingers"', 'name = "coco"'), ["'coco' cannot be"]),
        (("joints", "= joints"), ["not valid TOML"]),
        (("name = ", 'up = "down"\nname = '), ["up = 'down'", "-y"]),
    ],
)
def test_what_is_wrong_is_named(hand, change, words):
    hand.write_text(HAND.replace(*change, 1))
    with pytest.raises(UsageError) as error:
        read_layout(hand)
    assert all(word in f"{error.value.message} {error.value.hint}" for word in ["hand.toml", *words])


def test_a_layout_without_a_centre_is_refused():
    with pytest.raises(UsageError, match="centre is missing"):
        layout_from("own", {"joints": ["a", "b"], "bones": [["a", "b"]]}, "here")


def test_the_resolved_preset_carries_the_layout(hand):
    preset = presets.load(*OWN)
    hand.unlink()  # from now on the preset alone must do
    again = presets.from_text(presets.to_toml(preset).encode(), "again", "again")
    assert presets.layout_of(again) == presets.layout_of(preset)
    model = build_model(again)
    assert model(torch.zeros(2, 2, 8, 4, 1)).shape == (2, 3)


def test_a_preset_may_name_a_layout_beside_it(hand, tmp_path):
    text = presets.to_toml(presets.load("ntu60-xsub-3d")).replace('layout = "ntu"', 'layout = "hand.toml"')
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "own.toml").write_text(text)
    hand.rename(tmp_path / "deep" / "hand.toml")
    assert presets.load("deep/own.toml").data.layout == "three-fingers"


def test_classes_may_be_listed_in_the_preset():
    names = class_names.class_names(presets.load("demo", ['data.classes=["a", "b"]', "model.num_classes=2"]))
    assert names == ["a", "b"]
    with pytest.raises(UsageError, match=r"data\.classes has 2 names, but model\.num_classes = 5"):
        presets.load("demo", ['data.classes=["a", "b"]'])


def test_own_skeletons_are_trained_and_evaluated(stgcn, hand, tmp_path):
    import pickle

    records = make_records(12, joints=4)
    for record in records:
        record["keypoint"] = np.ascontiguousarray(record["keypoint"][..., :2])
    names = [record["frame_dir"] for record in records]
    (tmp_path / "own.pkl").write_bytes(
        pickle.dumps({"split": {"xsub_train": names[:8], "xsub_val": names[8:]}, "annotations": records})
    )
    own = ("--set", "data.layout=hand.toml", "--set", "data.channels=xy", "--set", 'data.classes=["x","y","z"]')
    trained = stgcn("train", "-p", "ntu60-xsub-3d", "--data", "own.pkl", "--work-dir", "run", *SMALL, *own)
    assert trained.code == 0, trained.err
    assert checkpoint.read(tmp_path / "run" / "last.pth").meta["CLASSES"] == ["x", "y", "z"]
    hand.unlink()
    assert stgcn("eval", "run/last.pth", "--data", "own.pkl").code == 0
