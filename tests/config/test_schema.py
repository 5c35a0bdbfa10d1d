import dataclasses

import pytest

from stgcn_cli.config import catalog, class_names, presets
from stgcn_cli.errors import UsageError


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_loads_and_reads_back_equal(name):
    preset = presets.load(name)
    assert presets.from_text(presets.to_toml(preset).encode(), "again", name) == preset
    assert len(class_names.class_names(preset)) == preset.model.num_classes


@pytest.mark.parametrize("entry", catalog.PUBLISHED, ids=lambda entry: entry.preset)
def test_a_published_name_is_the_preset(entry):
    assert presets.load(entry.name) == presets.load(entry.preset)


def test_a_preset_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        presets.load("demo").optim.lr = 1


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("optim.lrr=3", "Did you mean 'optim.lr'"),
        ("lr=0.1", "unknown key 'lr'. Did you mean 'optim.lr'"),
        ("data.batch_size=8", "Did you mean 'train.batch_size'"),
        ("total_epochs=8", "Did you mean 'train.epochs'"),
        ("optimizer.lr=8", "Did you mean 'optim'"),
        ("train.batch_size=0", "a whole number from 1"),
        ("train.batch_size=2.5", "a whole number"),
        ("optim.lr=fast", "a number"),
        ("optim.lr=nan", "a number"),
        ("optim.steps=3", "a list"),
        ("data.layout=coco17", "one of ntu, coco"),
        ("data.dataset=../x", "not a path"),
        ('name="../../x"', "becomes a folder's name"),
        ('name=".."', "becomes a folder's name"),
        ('name="/x"', "becomes a folder's name"),
        ('name=""', "becomes a folder's name"),
        ('name="a\\u0007b"', "becomes a folder's name"),
        ('data.layout=["a", "b"]', "data.layout"),
        ("model.nesterov=true", "unknown key 'model.nesterov'"),
        ("trian.epochs=3", "Did you mean 'train'"),
        ("train=3", "a section"),
        ("loss.name=cb-focal", "needs loss.class_counts"),
        ("loss.class_counts=[1, 2]", "2 entries"),
        ("loss.class_counts=[0, 0, 0, 0, 0]", "only zeros"),
        ("optim.momentum=0", "nesterov"),
        ('eval.metrics=["top_k"]', "each one of 'top_k_accuracy'"),
        ("nonsense", "key=value"),
        ("train.epochs.x=1", "is a value, not a section"),
    ],
)
def test_what_is_wrong_in_a_setting_is_named(setting, told):
    with pytest.raises(UsageError, match=r"--set") as refused:
        presets.load("demo", [setting])
    assert told in refused.value.message


def test_what_is_wrong_in_a_file_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text((presets.folder() / "demo.toml").read_text().replace("clip_len", "clip_lenght"))
    with pytest.raises(UsageError, match=r"mine\.toml: unknown key 'data.clip_lenght'. Did you mean 'data.clip_len'"):
        presets.load(str(path))
    path.write_text("[data\n")
    with pytest.raises(UsageError, match="not valid TOML"):
        presets.load(str(path))
    path.write_text("[data]\ndataset = 'x'\n")
    with pytest.raises(UsageError, match="is missing"):
        presets.load(str(path))


def test_the_issues_settings_are_keys():
    settings = ["data.clip_len=100", "data.num_person=1", "train.batch_size=16", "train.epochs=10", "optim.lr=0.05"]
    preset = presets.load("ntu60-xsub-3d", [*settings, "optim.steps=[6, 9]", "loss.class_counts=data"])
    assert (preset.data.clip_len, preset.data.num_person, preset.optim.steps) == (100, 1, (6, 9))
    assert presets.load("ntu60-xsub-3d", ["data.clip_len=none"]).data.clip_len is None
    assert presets.load("ntu60-xsub-3d", ["optim.steps=[10, 500]"]).optim.steps == (10, 500)


def test_a_file_of_the_reference_is_answered_with_its_preset(stgcn):
    said = stgcn("presets", "show", "configs/skeleton/stgcn/stgcn_80e_babel60.py")
    assert said.code == 2 and "--preset babel60\n" in said.err


def test_an_unknown_preset_gets_the_nearest(stgcn):
    said = stgcn("presets", "show", "ntu60-xsub-3")
    assert said.code == 2
    assert "Did you mean 'ntu60-xsub-3d'" in said.err


def test_the_list_has_every_published_column(stgcn):
    said = stgcn("presets")
    assert said.code == 0
    for word in (
        "ntu60-xsub-2d",
        "2d",
        "86.91",
        "84.61",
        "42.39",
        "28.28",
        "41.14",
        "24.46",
        "33.00",
        "26.17",
        "e41eb6d7.pth",
    ):
        assert word in said.out


def test_show_prints_the_resolved_file(stgcn):
    said = stgcn("presets", "show", "stgcn_80e_ntu60_xsub_keypoint_3d", "--set", "optim.lr=0.05")
    assert said.code == 0
    assert presets.from_text(said.out.encode(), "out", "x") == presets.load("ntu60-xsub-3d", ["optim.lr=0.05"])
