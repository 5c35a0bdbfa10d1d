"""The files of BABEL's release: arrays of any order and type, hidden labels, and files that are none."""

import io
import pickle

import numpy as np
import pytest

from stgcn_cli.data.pickles import read_pickle
from stgcn_cli.data.prepare import babel
from stgcn_cli.data.store import open_store
from stgcn_cli.errors import DataError
from tests.factories.prepared import prepare
from tests.factories.releases import made_up, names_of, write_split


@pytest.mark.parametrize("labels", ["none", "minus one", "no column", "no file"])
def test_hidden_test_labels_are_understood(tmp_path, labels):
    release, folder = made_up(4), tmp_path / "in"
    hidden = {"none": [None] * 4, "minus one": [-1] * 4, "no column": None, "no file": None}[labels]
    write_split(folder, "train", made_up(3, "b"))
    write_split(folder, "test", release | {"labels": hidden}, labels=labels != "no file")
    summary = prepare("babel60", [folder], tmp_path / "x.pkl")
    records = read_pickle(tmp_path / "x.pkl")["annotations"][3:]
    names = [f"test_{i:06d}" for i in range(4)] if labels == "no file" else names_of(release)
    assert [(record["frame_dir"], record["label"]) for record in records] == [(name, None) for name in names]
    assert summary.census.labels[-1] == 4 and summary.census.classes == 3
    store = open_store(tmp_path / "x.pkl", tmp_path / "cache")
    assert store.labels[store.indices("test")].tolist() == [-1] * 4


def test_numbers_of_any_order_and_layout_give_the_same_bytes(tmp_path):
    release, written = made_up(5), []
    for number, clips in enumerate([
        release["clips"], release["clips"].astype(np.float64), release["clips"].astype(">f8"), np.asfortranarray(release["clips"])
    ]):  # fmt: skip
        folder = write_split(tmp_path / str(number), "train", release | {"clips": clips})
        prepare("babel60", [folder], tmp_path / "x.pkl")
        written.append((tmp_path / "x.pkl").read_bytes())
    assert len(set(written)) == 1


def saved(array, **more) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **more)
    return stream.getvalue()


class Evil:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(("name", "content", "cause"), [
    ("train_ntu_sk_60.npy", saved(np.array([Evil()]), allow_pickle=True), "cannot be read"),
    ("train_ntu_sk_60.npy", pickle.dumps(Evil()), "cannot be read"),
    ("train_ntu_sk_60.npy", saved(np.zeros((3, 3, 4, 25, 1)))[:-1], "cannot be read"),
    ("train_ntu_sk_60.npy", b"", "cannot be read"),
    ("train_ntu_sk_60.npy", saved(np.zeros((3, 3, 4, 25, 1), int)), "expected an array of floating-point numbers"),
    ("train_ntu_sk_60.npy", saved(np.zeros((3, 3, 4, 17, 1))), "has the shape (3, 3, 4, 17, 1)"),
    ("train_ntu_sk_60.npy", saved(np.zeros((4, 3, 4, 25, 1))), "train_label_60.pkl has 3 clips, train_ntu_sk_60.npy 4"),
    ("train_label_60.pkl", pickle.dumps(Evil()), "Refused to load"),
    ("train_label_60.pkl", b"\x80\x04", "is not a readable pickle"),
    ("train_label_60.pkl", pickle.dumps({"labels": []}), "does not hold (segment ids, (labels,"),
    ("train_label_60.pkl", pickle.dumps((["a"] * 3, ([1] * 3, [1] * 3))), "does not hold (segment ids, (labels,"),
    ("train_label_60.pkl", pickle.dumps((["a"] * 3, ([1] * 3, [1] * 2, [1] * 3, [1] * 3))), "have 3, 3, 2, 3, 3 rows"),
    ("train_label_60.pkl", pickle.dumps((["a"] * 3, ([1] * 3, 7, [1] * 3, [1] * 3))), "one of its columns is a int"),
])  # fmt: skip
def test_damaged_files_are_refused_and_nothing_in_them_is_run(tmp_path, capfd, name, content, cause):
    folder = write_split(tmp_path / "in", "train", made_up(3))
    (folder / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        prepare("babel60", [folder], tmp_path / "x.pkl")
    assert cause in caught.value.message and not (tmp_path / "x.pkl").exists()
    assert "run" not in capfd.readouterr().out


def test_labels_are_bounded_in_size(tmp_path, monkeypatch):
    monkeypatch.setattr(babel, "MAX_LABELS", 100)
    with pytest.raises(DataError, match=r"train_label_60\.pkl has [\d,]+ bytes; labels have less than 100"):
        prepare("babel60", [write_split(tmp_path / "in", "train", made_up(20))], tmp_path / "o" / "x.pkl")
