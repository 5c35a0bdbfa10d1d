"""Clips of any format become annotation pickles that train: labels, splits, presets, and nothing lost."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from stgcn_cli.config import class_names, presets
from stgcn_cli.config.skeletons import layout_from, read_layout
from stgcn_cli.data import annotations
from stgcn_cli.data.convert.convert import ConvertOptions, MergeOptions, Rules, convert, merge
from stgcn_cli.data.convert.labels import read_labels
from stgcn_cli.data.convert.split import Division
from stgcn_cli.data.output import Target
from stgcn_cli.data.readers.parsing import Options
from stgcn_cli.errors import DataError, UsageError
from tests.conftest import make_records
from tests.factories import foreign, skeletons
from tests.factories.converted import made, splits, wave_and_kick
from tests.factories.prepared import prepare


def test_raw_skeletons_are_what_prepare_makes_of_them(tmp_path):
    source = skeletons.write_folder(tmp_path / "raw", skeletons.clips(6))
    prepare("ntu60", [source], tmp_path / "ntu60.pkl", workers=1)
    handed = convert(ConvertOptions(inputs=[str(source)], target=Target(tmp_path / "own.pkl")))
    ours, theirs = made(tmp_path / "own.pkl"), made(tmp_path / "ntu60.pkl")
    assert list(ours) == list(theirs) and handed.layout == "ntu"
    for name, record in theirs.items():
        np.testing.assert_array_equal(ours[name]["keypoint"], record["keypoint"])
        assert ours[name]["label"] == record["label"]
    assert presets.load(str(tmp_path / "own.toml")).data.pre_normalize == "ntu"


def same(ours: list[dict], theirs: list[dict]) -> bool:
    """Equal to the bit, every key."""
    return len(ours) == len(theirs) and all(
        a.keys() == b.keys()
        and all(np.array_equal(a[k], b[k]) and getattr(a[k], "dtype", 0) == getattr(b[k], "dtype", 0) for k in b)
        for a, b in zip(ours, theirs, strict=True)
    )


def test_there_and_back_between_the_dialects_is_equal_to_the_bit(tmp_path):
    records = make_records(8, note="kept")
    for half, part in ((records[:5], "train"), (records[5:], "val")):
        (tmp_path / f"x_{part}.pkl").write_bytes(pickle.dumps(half))
    convert(ConvertOptions(inputs=[str(tmp_path / "x_*.pkl")], target=Target(tmp_path / "one.pkl")))
    convert(ConvertOptions(inputs=[str(tmp_path / "one.pkl")], target=Target(tmp_path / "y.pkl", format="list")))
    for part in ("train", "val"):
        assert same(
            pickle.loads((tmp_path / f"y_{part}.pkl").read_bytes()),
            list(annotations.read(tmp_path / f"x_{part}.pkl").records),
        )
    assert {split: len(names) for split, names in splits(tmp_path / "one.pkl").items()} == {"train": 5, "val": 3}


def test_real_lists_there_and_back(shared, tmp_path):
    convert(ConvertOptions(inputs=[str(shared / "data" / "uiprmd_2d_*.pkl")], target=Target(tmp_path / "one.pkl")))
    convert(ConvertOptions(inputs=[str(tmp_path / "one.pkl")], target=Target(tmp_path / "y.pkl", format="list")))
    for part in ("train", "val"):
        theirs = annotations.read(shared / "data" / f"uiprmd_2d_{part}.pkl").records
        assert same(list(annotations.read(tmp_path / f"y_{part}.pkl").records), list(theirs))
    preset = presets.load(str(tmp_path / "one.toml"))
    assert (preset.data.layout, preset.data.channels, preset.data.normalize) == ("coco", "xys", "half-image")
    assert (preset.model.num_classes, preset.data.clip_len, preset.data.num_person, preset.data.passes) == (
        10,
        50,
        1,
        1,
    )


def test_a_folder_for_each_class(tmp_path):
    handed = convert(
        ConvertOptions(
            inputs=[str(wave_and_kick(tmp_path / "own"))],
            target=Target(tmp_path / "a.pkl"),
            rules=Rules(from_folders=True),
        )
    )
    records = made(tmp_path / "a.pkl")
    assert handed.classes == ["kick", "wave"] and handed.class_counts == [4, 4]
    assert all(record["label"] == ["kick", "wave"].index(name.split("/")[0]) for name, record in records.items())
    preset = presets.load(str(tmp_path / "a.toml"))
    assert (
        class_names.class_names(preset) == ["kick", "wave"] and preset.data.passes == 67
    )  # an epoch of some 400 clips
    assert handed.next == f"stgcn train --preset {tmp_path / 'a.toml'} --data {tmp_path / 'a.pkl'}"
    named = splits(tmp_path / "a.pkl")
    assert sorted(name.split("/")[0] for name in named["val"]) == ["kick", "wave"]  # of each class a share
    assert any("1920 x 1080" in warning for warning in handed.warnings)


def test_nothing_is_written_over_and_nothing_read_is_lost(tmp_path):
    source = wave_and_kick(tmp_path / "own")
    (tmp_path / "a.toml").write_text("mine")
    with pytest.raises(UsageError, match=r"a\.toml already exists"):
        convert(ConvertOptions(inputs=[str(source)], target=Target(tmp_path / "a.pkl")))
    convert(ConvertOptions(inputs=[str(source)], target=Target(tmp_path / "a.pkl", preset=False)))
    assert (tmp_path / "a.toml").read_text() == "mine"
    with pytest.raises(UsageError, match="is an input"):
        convert(ConvertOptions(inputs=[str(tmp_path / "a.pkl")], target=Target(tmp_path / "a.pkl", force=True)))
    with pytest.raises(UsageError, match=r"expected \.pkl\."):
        convert(ConvertOptions(inputs=[str(source)], target=Target(tmp_path / "a.npz")))
    assert not list(tmp_path.glob("*.part")) and sorted(p.name for p in tmp_path.iterdir()) == [
        "a.pkl",
        "a.toml",
        "own",
    ]


def test_a_skeleton_of_ones_own_travels_in_the_preset(tmp_path):
    (tmp_path / "hand.toml").write_text(
        'joints = ["wrist", "thumb", "index"]\nbones = [["thumb", "wrist"], [2, 0]]\ncentre = 0\n'
    )
    for index in range(4):
        (tmp_path / f"{index}.csv").write_text(
            f"clip,frame,joint,x,y,z,label\nc{index},0,thumb,1,2,{index},l{index % 2}\n"
        )
    layout = read_layout(tmp_path / "hand.toml")
    rules = Rules(options=Options(layout=layout))
    handed = convert(
        ConvertOptions(inputs=[str(tmp_path / "*.csv")], target=Target(tmp_path / "a.pkl", layout=layout), rules=rules)
    )
    preset = presets.load(str(tmp_path / "a.toml"))
    assert presets.layout_of(preset) == layout and preset.data.classes == ("l0", "l1") and handed.layout == "hand"
    assert made(tmp_path / "a.pkl")["c3"]["keypoint"].shape == (1, 1, 3, 3)
    np.save(tmp_path / "b.npy", np.ones((5, 7, 3)))
    with pytest.raises(DataError, match=r"7 joints .*has 3"):
        convert(
            ConvertOptions(
                inputs=[str(tmp_path / "b.npy")], target=Target(tmp_path / "b.pkl", layout=layout), rules=rules
            )
        )


def test_an_unknown_skeleton_has_no_preset_and_a_message_says_so(tmp_path):
    np.savez(tmp_path / "a.npz", keypoint=np.full((4, 1, 5, 9, 3), 2.5), labels=[0, 1, 0, 1])
    handed = convert(ConvertOptions(inputs=[str(tmp_path / "a.npz")], target=Target(tmp_path / "own.pkl")))
    assert not (tmp_path / "own.toml").exists() and "--layout my.toml" in handed.warnings[-1]


def test_a_clip_without_anybody_gets_the_joints_of_the_others(tmp_path):
    for index in range(4):
        xy, score = foreign.clip(joints=18, persons=1, seed=index)
        foreign.openpose(tmp_path / "own" / f"{index}", xy * (index > 0), score)
    handed = convert(ConvertOptions(inputs=[str(tmp_path / "own")], target=Target(tmp_path / "a.pkl")))
    records = made(tmp_path / "a.pkl")
    assert {record["keypoint"].shape for record in records.values()} == {(1, 6, 18, 2)} and len(records) == 4
    assert handed.layout == "openpose-18" and "all zeros: no person in any frame" in " ".join(handed.warnings)


def test_what_cannot_be_used_stops_or_is_left_out_and_named(tmp_path):
    source = wave_and_kick(tmp_path / "own")
    (source / "wave" / "0.json").write_text('{"instance_info": [')
    foreign.mmpose(source / "wave" / "1.json", *foreign.clip(joints=18))
    with pytest.raises(DataError, match=r"0\.json.*line 1"):
        convert(ConvertOptions(inputs=[str(source)], target=Target(tmp_path / "a.pkl")))
    handed = convert(ConvertOptions(inputs=[str(source)], target=Target(tmp_path / "a.pkl"), skip_bad=True))
    assert handed.clips == 6 and ["0.json" in handed.left_out[0][0], "18 joints" in handed.left_out[1][1]] == [
        True,
        True,
    ]


def test_arrays_with_a_score_last_and_sizes(tmp_path):
    xy, score = foreign.clip()
    for index in range(3):
        np.save(tmp_path / f"{index}.npy", np.concatenate([xy, score[..., None]], axis=-1))
    rules = Rules(options=Options(image_size=(720, 1280), score_last=True))
    handed = convert(
        ConvertOptions(inputs=[str(tmp_path / "*.npy")], target=Target(tmp_path / "a.pkl", preset=False), rules=rules)
    )
    record = made(tmp_path / "a.pkl")["0"]
    np.testing.assert_array_equal(record["keypoint_score"], score)
    assert record["keypoint"].shape == (2, 6, 17, 2) and record["img_shape"] == (720, 1280)
    assert handed.skeleton == "17 joints with x, y and a score"


def test_the_same_name_from_two_files_is_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        foreign.mmpose(tmp_path / folder / "1.json", *foreign.clip())
    with pytest.raises(DataError, match="it is also in"):
        convert(ConvertOptions(inputs=[str(tmp_path / "a"), str(tmp_path / "b")], target=Target(tmp_path / "a.pkl")))


def test_clips_that_wait_are_counted_once(tmp_path):
    """Clips without a person come first, so that they wait for the joints of the others; all have x, y, z and a score."""
    for index in range(6):
        keypoint = np.random.default_rng(index).normal(size=(1, 5, 18, 3)).astype(np.float32) * (index > 1)
        score = np.ones((1, 5, 18), np.float32)
        np.savez(tmp_path / f"clip{index}.npz", keypoint=keypoint, keypoint_score=score, label=index % 2)
    options = ConvertOptions(inputs=[str(tmp_path)], target=Target(tmp_path / "o" / "x.pkl", preset=False))
    said = " ".join(convert(options).warnings)
    assert (
        "the score was left out, in 6 of 6 clips" in said
        and "2 of 6 clips, for instance clip0: keypoint: all zeros" in said
    )


def test_what_validate_says_convert_says(tmp_path):
    """Fractions of the image, labels from 1, one clip twice under two names, and NaN, which become zeros."""
    records = make_records(6, joints=17)
    for record in records:
        record["keypoint"] = np.abs(record["keypoint"][..., :2]) / 10
        record["label"] += 1
    records[3]["keypoint"][0, 2, 4] = np.nan
    records[5] |= {"keypoint": records[0]["keypoint"], "total_frames": records[0]["total_frames"]}
    (tmp_path / "a_train.pkl").write_bytes(pickle.dumps(records))
    result = convert(ConvertOptions(inputs=[str(tmp_path / "a_train.pkl")], target=Target(tmp_path / "b.pkl")))
    said = " ".join(result.warnings)
    for words in (
        "fractions of the image",
        "counted from 1",
        "the same values as clip000",
        "NaN in 1 joints, which become zeros",
    ):
        assert words in said, words
    assert all(np.isfinite(record["keypoint"]).all() for record in annotations.read(tmp_path / "b.pkl").records)


def test_names_and_skeleton_of_the_preset_beside_a_pickle_stay(tmp_path):
    """Converted once with its own skeleton and names, a file keeps both when it is converted or merged again."""
    layout = layout_from("two", {"joints": ["a", "b"], "bones": [["a", "b"]], "centre": "b"}, "here")
    for index in range(6):
        keypoint = np.random.default_rng(index).normal(size=(5, 2, 3)).astype(np.float32)
        (tmp_path / "in" / "wk"[index % 2]).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "in" / "wk"[index % 2] / f"{index}.npy", keypoint)
    first = Target(tmp_path / "a.pkl", layout=layout)
    rules = Rules(from_folders=True, options=Options(layout=layout))
    convert(ConvertOptions(inputs=[str(tmp_path / "in")], target=first, rules=rules))
    convert(ConvertOptions(inputs=[str(tmp_path / "a.pkl")], target=Target(tmp_path / "b.pkl")))
    merge(MergeOptions(files=[tmp_path / "b.pkl"], target=Target(tmp_path / "c.pkl")))
    for name in ("a", "b", "c"):
        preset = presets.load(str(tmp_path / f"{name}.toml"))
        assert preset.data.classes == ("k", "w") and preset.data.layout == "two" and preset.layout.joints == ("a", "b")


def test_from_reads_files_whatever_they_are_called(tmp_path):
    xy, score = foreign.clip()
    (tmp_path / "own").mkdir()
    foreign.mmpose(tmp_path / "own" / "poses.txt", xy, score)
    for place in ("own/poses.txt", "own"):
        wish = ConvertOptions(
            inputs=[str(tmp_path / place)], target=Target(tmp_path / "a.pkl", force=True),
            rules=Rules(options=Options(format="mmpose")), division=Division(only="train"),
        )  # fmt: skip
        assert convert(wish).clips == 1
    np.testing.assert_allclose(made(tmp_path / "a.pkl")["poses"]["keypoint"], xy, atol=1e-3)


def test_notes_on_files_are_given_by_every_command_that_reads_them(tmp_path, stgcn):
    rows = "\n".join(f"{t},{0.1 * t + 0.2},{0.5 - 0.1 * t}" for t in range(3))
    (tmp_path / "a.csv").write_text(f"frame,x1,y1\n{rows}\n")
    for words in (("inspect",), ("validate",), ("convert", "--split", "train", "--out", tmp_path / "a.pkl")):
        said = stgcn("data", words[0], tmp_path / "a.csv", *words[1:])
        assert "shares of the image" in " ".join((said.out + said.err).split()), said


def test_advice_names_the_preset_beside_the_data_or_one_of_its_classes(tmp_path, stgcn):
    source = wave_and_kick(tmp_path / "own")
    convert(ConvertOptions(inputs=[str(source)], target=Target(tmp_path / "a.pkl"), rules=Rules(from_folders=True)))
    wrong = ("train", "--preset", "ntu60-xsub-3d", "--data", tmp_path / "a.pkl", "--dry-run", "--device", "cpu")
    wrong = (*wrong, "--set", "data.train=train", "--set", "data.val=val")
    assert f"--preset {tmp_path / 'a.toml'}" in stgcn(*wrong).err.replace("\n", "")
    (tmp_path / "a.toml").unlink()
    said = stgcn(*wrong).err
    assert "stgcn data convert" in said and "ntu60-xsub-2d" not in said  # of 60 classes


def _folders(root: Path, form: str) -> None:
    """Four clips with splits: in folders of splits and classes, in tables, or in one table with a column split."""
    for i in range(4):
        split, label, x = ("train", "train", "valid", "valid")[i], "ab"[i % 2], foreign.clip(persons=1, seed=i)[0][0]
        if form == "folders":
            (root / split / label).mkdir(parents=True)
            np.save(root / split / label / f"c{i}.npy", x)
            continue
        root.mkdir(exist_ok=True)
        table = root / ("all.csv" if form == "column" else f"{split}.csv")
        header = ",".join(["clip", "label", *["split"] * (form == "column"), *(f"x{v},y{v}" for v in range(17))])
        rows = [",".join(map(str, [f"c{i}", label, *[split] * (form == "column"), *frame.ravel()])) for frame in x]
        table.write_text("\n".join([*([table.read_text()] if table.exists() else [header]), *rows]))


@pytest.mark.parametrize("form", ["folders", "tables", "column"])
def test_splits_that_folders_files_or_columns_name_are_kept(form, tmp_path):
    _folders(tmp_path / "own", form)
    rules = Rules(from_folders=form == "folders")
    handed = convert(ConvertOptions(inputs=[str(tmp_path / "own")], target=Target(tmp_path / "a.pkl"), rules=rules))
    found = {split: {name[-2:] for name in names} for split, names in splits(tmp_path / "a.pkl").items()}
    assert found == {"train": {"c0", "c1"}, "val": {"c2", "c3"}} and handed.classes == ["a", "b"]


def test_a_table_of_labels_may_say_the_splits_and_a_folder_of_a_split_is_no_class(tmp_path):
    (tmp_path / "labels.csv").write_text("name,label,split\n0,a,test\n1,b,train\n2,a,train\n3,b,test\n")
    inputs = [str(wave_and_kick(tmp_path / "train") / "wave")]
    rules = Rules(labels=read_labels(tmp_path / "labels.csv"))
    convert(ConvertOptions(inputs=inputs, target=Target(tmp_path / "a.pkl"), rules=rules))
    assert splits(tmp_path / "a.pkl") == {"test": ["0", "3"], "train": ["1", "2"]}
    (tmp_path / "own").mkdir()
    (tmp_path / "train" / "kick").rename(tmp_path / "own" / "train")
    wish = ConvertOptions(
        inputs=[str(tmp_path / "own")], target=Target(tmp_path / "b.pkl"), rules=Rules(from_folders=True)
    )
    with pytest.raises(DataError, match="folder of the split train, and in none of a class"):
        convert(wish)
