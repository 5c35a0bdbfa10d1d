"""Which clips train and which validate: by subject, by a list, by a share, or as the clips say."""

import pickle

import pytest

from stgcn_cli.data.convert.convert import ConvertOptions, convert
from stgcn_cli.data.convert.split import Division
from stgcn_cli.data.output import Target
from stgcn_cli.errors import DataError
from tests.conftest import make_records
from tests.factories import skeletons
from tests.factories.converted import splits, wave_and_kick


def test_no_subject_is_in_both_splits_whatever_the_order_of_the_inputs(tmp_path):
    source = skeletons.write_folder(tmp_path / "raw", skeletons.clips(24))
    files = sorted(map(str, source.iterdir()))
    found = []
    for name, inputs in (("a", files), ("b", files[::-1])):
        convert(
            ConvertOptions(
                inputs=inputs, target=Target(tmp_path / f"{name}.pkl"), division=Division(val_fraction=0.3, seed=4)
            )
        )
        found.append({split: set(names) for split, names in splits(tmp_path / f"{name}.pkl").items()})
    assert found[0] == found[1]
    subjects = [{name[8:12] for name in names} for names in found[0].values()]
    assert not subjects[0] & subjects[1] and len(found[0]["val"]) >= 3


def test_a_list_a_share_or_one_split(tmp_path):
    source, inputs = wave_and_kick(tmp_path / "own") / "kick", []
    inputs = [str(source)]
    convert(ConvertOptions(inputs=inputs, target=Target(tmp_path / "a.pkl"), division=Division(val_names=("2",))))
    assert splits(tmp_path / "a.pkl") == {"train": ["0", "1", "3"], "val": ["2"]}
    handed = convert(ConvertOptions(inputs=inputs, target=Target(tmp_path / "b.pkl"), division=Division(only="test")))
    assert splits(tmp_path / "b.pkl") == {"test": ["0", "1", "2", "3"]} and "No preset" in handed.warnings[-1]
    assert handed.next.startswith("stgcn data validate")
    for division, said in (
        (Division(val_names=("22",)), "no clip has this name"), (Division(val_subjects=("1",)), "is not known"),
        (Division(val_names=("0", "1", "2", "3")), "'train' would have no clip"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=said):
            convert(ConvertOptions(inputs=inputs, target=Target(tmp_path / "c.pkl"), division=division))
    assert not (tmp_path / "c.pkl").exists()


def test_clips_without_a_subject_or_a_label_stay_out_of_a_division(tmp_path):
    source = skeletons.write_folder(tmp_path / "raw", skeletons.clips(12))
    first = sorted(source.iterdir())[0]
    (source / f"{first.stem} (1).skeleton").write_bytes(first.read_bytes())
    handed = convert(ConvertOptions(inputs=[str(source)], target=Target(tmp_path / "a.pkl")))
    found = splits(tmp_path / "a.pkl")
    subjects = [{name[8:12] for name in names} for names in found.values()]
    assert not subjects[0] & subjects[1] and sum(map(len, found.values())) == 12
    assert any("(1)" in warning for warning in handed.warnings)
    for path in sorted(source.glob("*P00*"))[:5]:
        path.rename(source / f"x{path.name}")
    with pytest.raises(DataError, match="subject of 5 of 13 clips is not known"):
        convert(ConvertOptions(inputs=[str(source)], target=Target(tmp_path / "b.pkl")))


def test_splits_that_name_no_clip_are_never_replaced_by_a_draw(tmp_path):
    records = make_records(6)
    with open(tmp_path / "own.pkl", "wb") as stream:
        pickle.dump({"split": {"train": ["x"], "val": ["y"]}, "annotations": records}, stream)
    inputs = [str(tmp_path / "own.pkl")]
    with pytest.raises(DataError, match=r"split train names 'x', but clips are called"):
        convert(ConvertOptions(inputs=inputs, target=Target(tmp_path / "a.pkl")))
    again = ConvertOptions(inputs=inputs, target=Target(tmp_path / "a.pkl"), division=Division(val_fraction=0.5))
    assert sorted(convert(again).splits) == ["train", "val"]


@pytest.mark.parametrize("division", [Division(), Division(only="train")])
def test_a_clip_without_a_label_is_trained_on_in_no_division(tmp_path, division):
    records = make_records(6)
    del records[0]["label"]
    names = [record["frame_dir"] for record in records]
    (tmp_path / "own.pkl").write_bytes(
        pickle.dumps({"split": {"train": names[:4], "val": names[4:]}, "annotations": records})
    )
    inputs = [str(tmp_path / "own.pkl")]
    handed = convert(ConvertOptions(inputs=inputs, target=Target(tmp_path / "a.pkl"), division=division))
    assert names[0] not in splits(tmp_path / "a.pkl")["train"] and names[1] in splits(tmp_path / "a.pkl")["train"]
    assert any("hidden" in warning and names[0] in warning for warning in handed.warnings)
