"""Annotation pickles put together: classes by name, splits by name, and no clip twice unseen."""

import pickle

import pytest

from stgcn_cli.config import presets
from stgcn_cli.config.skeletons import NTU, find_layout
from stgcn_cli.data import annotations
from stgcn_cli.data.convert.convert import ConvertOptions, MergeOptions, Rules, convert, merge
from stgcn_cli.data.convert.split import Division
from stgcn_cli.data.output import Target
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.errors import DataError, UsageError
from tests.conftest import make_records


@pytest.fixture
def two(tmp_path):
    """One file with splits, and the list of a validation split with other clips."""
    records = make_records(9)
    names = [record["frame_dir"] for record in records]
    (tmp_path / "a.pkl").write_bytes(
        pickle.dumps({"split": {"train": names[:6], "val": names[6:]}, "annotations": records})
    )
    others = [record | {"frame_dir": f"other{index}"} for index, record in enumerate(make_records(4, seed=1))]
    (tmp_path / "b_val.pkl").write_bytes(pickle.dumps(others))
    return [tmp_path / "a.pkl", tmp_path / "b_val.pkl"]


def labels(path):
    return {record["frame_dir"]: record["label"] for record in annotations.read(path).records}


def test_splits_of_one_name_become_one(two, tmp_path):
    handed = merge(MergeOptions(files=two, target=Target(tmp_path / "c.pkl", layout=NTU)))
    assert handed.splits == {"train": 6, "val": 7} and handed.clips == 13 and len(labels(tmp_path / "c.pkl")) == 13
    assert presets.load(str(tmp_path / "c.toml")).model.num_classes == 3


def test_classes_are_merged_by_name(two, tmp_path):
    named = [["wave", "kick", "jump"], ["jump", "run", "wave"]]
    handed = merge(MergeOptions(files=two, target=Target(tmp_path / "c.pkl", layout=NTU), names=named))
    assert handed.classes == ["wave", "kick", "jump", "run"]
    assert [labels(tmp_path / "c.pkl")[f"other{i}"] for i in range(4)] == [2, 3, 0, 2]
    (tmp_path / "a.toml").write_bytes((tmp_path / "c.toml").read_bytes())  # names beside one of two files
    with pytest.raises(UsageError, match=r"b_val\.pkl has no class names"):
        merge(MergeOptions(files=two, target=Target(tmp_path / "e.pkl")))
    with pytest.raises(DataError, match="label is 2, but its file has 2"):
        merge(MergeOptions(files=two, target=Target(tmp_path / "e.pkl"), names=[named[0], ["jump", "run"]]))


def test_a_file_given_twice_is_refused(two, tmp_path):
    (tmp_path / "link.pkl").symlink_to(two[0])
    for files in ([two[0], two[1], two[0]], [two[0], tmp_path / "link.pkl"]):
        with pytest.raises(UsageError, match=r"a\.pkl is given twice"):
            merge(MergeOptions(files=files, target=Target(tmp_path / "c.pkl")))
    assert not (tmp_path / "c.pkl").exists()


def test_another_format_is_refused_with_the_supported_one(two, tmp_path):
    with pytest.raises(UsageError, match=r"^Unsupported output format .*c\.npz; expected \.pkl\."):
        merge(MergeOptions(files=two, target=Target(tmp_path / "c.npz")))


def test_clips_of_one_name_in_two_files_are_refused(two, tmp_path):
    again = [record | {"label": 7} for record in make_records(2)] + make_records(4)[3:]
    (tmp_path / "again_test.pkl").write_bytes(pickle.dumps(again))
    files = [two[0], tmp_path / "again_test.pkl"]
    with pytest.raises(DataError, match=r"clip000: it is also in .*; clip names must be unique"):
        merge(MergeOptions(files=files, target=Target(tmp_path / "c.pkl")))
    assert not (tmp_path / "c.pkl").exists()


def test_several_labels_in_one_file_are_kept(tmp_path):
    records = [*make_records(4), make_records(4)[0] | {"label": 2}]
    (tmp_path / "a_train.pkl").write_bytes(pickle.dumps(records))
    assert merge(MergeOptions(files=[tmp_path / "a_train.pkl"], target=Target(tmp_path / "c.pkl"))).clips == 5


def test_other_joints_are_refused_by_name(two, tmp_path):
    (tmp_path / "b_val.pkl").write_bytes(
        pickle.dumps([record | {"frame_dir": "x"} for record in make_records(1, joints=17)])
    )
    with pytest.raises(DataError, match=r"b_val\.pkl: x has 17 joints.* but .*clip000 has 25 joints"):
        merge(MergeOptions(files=two, target=Target(tmp_path / "c.pkl")))


def test_presets_beside_the_files_that_contradict_each_other_are_refused(tmp_path):
    for name, layout, classes in (("a", "ntu", ["x", "y"]), ("b", "openpose-25", ["y", "x"])):
        (tmp_path / name).mkdir()
        clips = [record | {"frame_dir": f"{name}{i}", "label": i % 2} for i, record in enumerate(make_records(6))]
        with open(tmp_path / name / "c.pkl", "wb") as stream:
            pickle.dump(clips, stream)
        (tmp_path / name / "names.txt").write_text("\n".join(classes))
        chosen = find_layout(layout)
        convert(ConvertOptions(
            inputs=[str(tmp_path / name / "c.pkl")], target=Target(tmp_path / f"{name}.pkl", layout=chosen), names=classes,
            rules=Rules(options=Options(layout=chosen)), division=Division(val_fraction=0.5),
        ))  # fmt: skip
    files = [tmp_path / "a.pkl", tmp_path / "b.pkl"]
    with pytest.raises(DataError, match=r"different skeletons: ntu beside .*openpose-25"):
        merge(MergeOptions(files=files, target=Target(tmp_path / "c.pkl")))
    with pytest.raises(DataError, match="different class names"):
        convert(ConvertOptions(inputs=list(map(str, files)), target=Target(tmp_path / "c.pkl")))
    (tmp_path / "b.toml").unlink()  # what one file says holds for both
    with pytest.raises(UsageError, match="no class names"):
        merge(MergeOptions(files=files, target=Target(tmp_path / "c.pkl")))
    names = [["x", "y"], ["y", "x"]]
    assert merge(MergeOptions(files=files, target=Target(tmp_path / "c.pkl"), names=names)).layout == "ntu"
