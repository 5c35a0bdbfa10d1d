"""BABEL's official archive: what its files give, and archives that are odd, damaged or made to do harm."""

import io
import shutil
import tarfile
from collections import namedtuple

import pytest

from stgcn_cli.data.prepare import babel_archive
from stgcn_cli.errors import DataError, RunError
from tests.factories.prepared import prepare
from tests.factories.releases import made_up, write_archive, write_split


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_an_archive_gives_the_same_bytes_as_its_files_and_leaves_nothing(tmp_path, mode):
    for split in ("train", "val", "test"):
        write_split(tmp_path / "in", split, made_up(5, split))
    archive = write_archive(tmp_path / "babel_feats_labels.tar.gz", tmp_path / "in", "any/where/", mode)
    prepare("babel60", [tmp_path / "in"], tmp_path / "a.pkl")
    prepare("babel60", [archive], tmp_path / "out" / "b.pkl")
    assert (tmp_path / "a.pkl").read_bytes() == (tmp_path / "out" / "b.pkl").read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.pkl", "b.report.json"]


def member(name: str, content: bytes = b"x", **facts) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, io.BytesIO(content)


def test_no_path_in_an_archive_leads_out_of_the_folder_it_is_unpacked_to(tmp_path):
    folder = write_split(tmp_path / "in", "train", made_up(3))
    archive = tmp_path / "x.tar.gz"
    with tarfile.open(archive, "w:gz") as stream:
        stream.addfile(*member("../../escaped.txt"))
        stream.addfile(*member(str(tmp_path / "absolute.txt")))
        stream.addfile(*member("here", type=tarfile.SYMTYPE, linkname=str(tmp_path), size=0))
        for file in sorted(folder.iterdir()):
            stream.add(file, f"../../../here/{file.name}")
    before = set(tmp_path.rglob("*"))
    assert prepare("babel60", [archive], tmp_path / "o" / "x.pkl").clips == 3
    assert {path.name for path in set(tmp_path.rglob("*")) - before} == {"o", "x.pkl", "x.report.json"}


@pytest.mark.parametrize(("members", "cause"), [
    ([member("train_ntu_sk_60.npy", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "is a link or a special file"),
    ([member("train_ntu_sk_60.npy", b"", type=tarfile.LNKTYPE, linkname="x")], "is a link or a special file"),
    ([member("train_ntu_sk_60.npy", b"", type=tarfile.FIFOTYPE)], "is a link or a special file"),
    ([member("a/train_label_60.pkl"), member("b/train_label_60.pkl")], "holds train_label_60.pkl twice"),
    ([member("train_label_60.pkl", bytes(2000))], "more than 1,000 are not unpacked"),
    ([member(f"file{i}") for i in range(12)], "more than 10 files"),
    ([member("notes.txt")], "train_ntu_sk_60.npy not found in"),
])  # fmt: skip
def test_an_archive_that_is_odd_is_refused(tmp_path, monkeypatch, members, cause):
    monkeypatch.setattr(babel_archive, "MAX_BYTES", {".npy": 1000, ".pkl": 1000})
    monkeypatch.setattr(babel_archive, "MAX_MEMBERS", 10)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as stream:
        for info, content in members:
            content.seek(0)
            stream.addfile(info, content)
    with pytest.raises(DataError) as caught:
        prepare("babel60", [tmp_path / "x.tar.gz"], tmp_path / "out" / "x.pkl")
    assert cause in caught.value.message and not list((tmp_path / "out").iterdir())


def test_a_damaged_archive_is_refused_and_leaves_nothing(tmp_path):
    folder = write_split(tmp_path / "in", "train", made_up(30))
    whole = write_archive(tmp_path / "whole.tar.gz", folder).read_bytes()
    flipped = whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 255]) + whole[len(whole) // 2 + 1 :]
    for number, content in enumerate([whole[:100], whole[: len(whole) // 2], flipped, b"", b"<html>Log in</html>"]):
        archive = tmp_path / f"{number}.tar.gz"
        archive.write_bytes(content)
        with pytest.raises(DataError, match="cannot be unpacked"):
            prepare("babel60", [archive], tmp_path / "out" / "x.pkl")
    assert not list((tmp_path / "out").iterdir())


def test_a_disk_that_is_too_small_is_reported_before_it_is_full(tmp_path, monkeypatch):
    archive = write_archive(tmp_path / "x.tar.gz", write_split(tmp_path / "in", "train", made_up(3)))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(100, 100, 0))
    with pytest.raises(RunError, match="disk is full: not enough space to unpack"):
        prepare("babel60", [archive], tmp_path / "out" / "x.pkl")


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_long_header_is_not_held_in_memory(tmp_path, monkeypatch, format):
    """A name of gigabytes packs into a few kilobytes."""
    monkeypatch.setattr(babel_archive, "_BLOCK", 5000)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz", format=format) as stream:
        stream.addfile(*member("a/" * 4000 + "train_ntu_sk_60.npy"))
    with pytest.raises(DataError, match=r"a header of 8[,\d]* bytes"):
        prepare("babel60", [tmp_path / "x.tar.gz"], tmp_path / "o" / "x.pkl")
