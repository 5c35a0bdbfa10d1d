"""Tables of labels and subjects, and class names."""

from pathlib import Path

import pytest

from stgcn_cli.data.convert.convert import ConvertOptions, Rules, convert
from stgcn_cli.data.convert.labels import LabelRow, LabelTable, read_labels
from stgcn_cli.data.convert.split import Division
from stgcn_cli.data.output import Target
from stgcn_cli.errors import DataError
from tests.factories.converted import made, splits, wave_and_kick


def test_labels_and_subjects_by_a_table(tmp_path):
    names = [str(index) for index in range(4)]
    told = {name: LabelRow("b" if index % 2 else "a", str(index // 2)) for index, name in enumerate(names)}
    wish = ConvertOptions(
        inputs=[str(wave_and_kick(tmp_path / "own") / "wave")],
        target=Target(tmp_path / "a.pkl"),
        rules=Rules(labels=LabelTable(Path("labels.csv"), told)),
        division=Division(("1",)),
    )
    handed = convert(wish)
    assert handed.classes == ["a", "b"] and splits(tmp_path / "a.pkl") == {"train": ["0", "1"], "val": ["2", "3"]}
    told.pop("3")
    rules = Rules(labels=LabelTable(Path("labels.csv"), told))
    with pytest.raises(DataError, match=r"3: it is not in labels\.csv, which names .0. for instance"):
        convert(ConvertOptions(inputs=wish.inputs, target=Target(tmp_path / "b.pkl"), rules=rules))


def test_names_and_indices_mixed_or_out_of_the_list_are_refused(tmp_path):
    rows = "clip,frame,joint,x,y,label\na,0,0,1,1,wave\nb,0,0,1,1,{}\nc,0,0,1,1,wave\n"
    (tmp_path / "a.csv").write_text(rows.format(2))
    inputs, target = [str(tmp_path / "a.csv")], Target(tmp_path / "a.pkl", preset=False)
    with pytest.raises(DataError, match="b the label 2"):
        convert(ConvertOptions(inputs=inputs, target=target))
    with pytest.raises(DataError, match="counted from 1"):
        convert(ConvertOptions(inputs=inputs, target=target, names=["kick", "wave"]))
    (tmp_path / "a.csv").write_text(rows.format("wve"))
    with pytest.raises(DataError, match="'wve', which is no class"):
        convert(ConvertOptions(inputs=inputs, target=target, names=["kick", "wave"]))
    (tmp_path / "a.csv").write_text(rows.format(0))
    convert(ConvertOptions(inputs=inputs, target=target, names=["kick", "wave"]))
    assert {name: record["label"] for name, record in made(tmp_path / "a.pkl").items()} == {"a": 1, "b": 0, "c": 1}


@pytest.mark.parametrize("names", ["clips/{}.npy", "D:\\data\\{}.npy", "{}"])
@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "utf-8"), (";", "utf-16"), ("\t", "utf-8-sig")])
def test_a_table_of_labels_names_clips_with_folders_and_suffixes(tmp_path, names, delimiter, encoding):
    rows = [("file", "class"), *((names.format(f"v{i}"), "ab"[i % 2]) for i in range(4))]
    (tmp_path / "labels.csv").write_text("\n".join(map(delimiter.join, rows)), encoding)
    table = read_labels(tmp_path / "labels.csv")
    assert [table[f"v{i}"].label for i in range(4)] == ["a", "b", "a", "b"]
    assert bool(table.notes()) == (names != "{}")
    with pytest.raises(ValueError, match=r"names .*v0.* for instance"):
        table["v9"]
    if names != "{}":
        with pytest.raises(ValueError, match="fits v0 as well"):
            table["elsewhere/clips/v0" if "clips" in names else "v0.json"]
