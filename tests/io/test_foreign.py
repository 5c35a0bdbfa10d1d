"""Files are known by their first bytes, texts in the encodings of spreadsheets are read."""

import bz2
import gzip
import io
import lzma
import pickle
import zipfile

import numpy as np
import pytest

from stgcn_cli.errors import DataError
from stgcn_cli.io import foreign


def written(save, *values) -> bytes:
    stream = io.BytesIO()
    save(stream, *values)
    return stream.getvalue()


def zipped(*names) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>\n<html><head>", "html"),
        (b"\xef\xbb\xbf\n  <!-- saved -->\n<HTML>", "html"),
        ("<html>".encode("utf-16"), "html"),
        (b'<?xml version="1.0"?><!DOCTYPE html><html>', "html"),
        (b'<?xml version="1.0"?><data/>', "xml"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "lfs"),
        (gzip.compress(b"x", mtime=0), "gzip"),
        (bz2.compress(b"x"), "packed"),
        (lzma.compress(b"x"), "packed"),
        (written(np.save, np.ones(3)), "npy"),
        (written(np.savez, np.ones(3)), "npz"),
        (zipped("raw/a.skeleton"), "zip"),
        (zipped("archive/data.pkl", "archive/version"), "torch"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "excel"),
        (b"\x89HDF\r\n\x1a\n....", "hdf5"),
        (b"\x00\x00\x00\x20ftypisom", "video"),
        *((pickle.dumps([{"a": np.ones(3)}], protocol), "pickle") for protocol in range(6)),
    ],
)  # fmt: skip
def test_a_file_is_what_its_first_bytes_are(content, key):
    assert foreign.kind_of(content[: foreign.HEAD]).key == key


@pytest.mark.parametrize(
    "text", [b"clip,frame,joint,x,y\n", b'[{"a": 1}]', b"1 0.5 0.5\n", b"class\nwave\n", b"(a;b)\n", b"25\n1\n72"]
)
def test_plain_texts_are_no_kind(text):
    assert foreign.kind_of(text) is None


def test_what_is_expected_is_accepted_and_all_else_refused_with_a_way_out(tmp_path):
    head = gzip.compress(b"x")
    foreign.refuse(tmp_path, head, "a text", ("gzip",))
    with pytest.raises(DataError, match=r"packed with gzip; expected a text") as refusal:
        foreign.refuse(tmp_path / "a.pkl", head, "a text")
    assert "gunzip" in refusal.value.hint


WORDS = {"utf-8": "踢腿 é", "utf-8-sig": "踢腿 é", "utf-16": "踢腿 é", "utf-16-le": "frame,é", "utf-16-be": "frame,x", "utf-32": "é",
         "gbk": "踢腿,挥手", "cp1252": "café, señal", "gb18030": "frame,踢腿"}  # fmt: skip


@pytest.mark.parametrize("encoding", WORDS)
def test_texts_are_read_in_the_encodings_of_spreadsheets(encoding):
    assert foreign.decode(WORDS[encoding].encode(encoding)) == WORDS[encoding]


def test_a_text_of_another_encoding_is_refused():
    with pytest.raises(ValueError, match="Save it as UTF-8"):
        foreign.decode("kick,x,y,ä".encode("cp1252") + b"\x81\x8d\x00\xff")
